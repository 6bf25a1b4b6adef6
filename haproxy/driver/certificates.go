package driver

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/certfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// Certificates are those of the files in a directory, by name, with what the process has of them. Where the process cannot be asked, or
// has not loaded the directory, err says so, and they are there nevertheless. Any goroutine may call it.
func (h *Instance) Certificates(ctx context.Context, dir string) ([]haproxy.Certificate, error) {
	files, _, err := h.certificates(ctx, filepath.Clean(dir))
	return plain(files), err
}

// LoadCertificates puts those files of a directory into the process that are new there, or changed, and good. It returns which it put
// there, and all as they are then. What the process does not take is a Problem. Any goroutine may call it.
func (h *Instance) LoadCertificates(ctx context.Context, dir string) (loaded, all []haproxy.Certificate, err error) {
	dir = filepath.Clean(dir)
	files, process, err := h.certificates(ctx, dir)
	for i := range files {
		f := &files[i]
		if err != nil || f.Problem != "" || f.State != haproxy.CertificateNew && f.State != haproxy.CertificateChanged {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		if err := put(ctx, process, dir, *f); err != nil {
			f.Problem = err.Error()
			continue
		}
		f.State = haproxy.CertificateLoaded
		loaded = append(loaded, f.Certificate)
	}
	return loaded, plain(files), err
}

// put puts a certificate into the process, and reads it back.
func put(ctx context.Context, process runtimeapi.Client, dir string, f certfile.File) error {
	ctx = context.WithoutCancel(ctx) // what has begun is ended: HAProxy has one such transaction for all; each command has a limit of its own
	payload, err := f.Load(time.Now())
	if err != nil {
		return err
	}
	if f.State == haproxy.CertificateNew {
		err = process.AddCertificate(ctx, dir, f.Path, payload)
	} else {
		err = process.SetCertificate(ctx, f.Path, payload)
	}
	if err != nil {
		return err
	}
	has, err := process.Certificate(ctx, f.Path)
	if err == nil && !f.Is(has.SHA1, has.Chain) {
		err = errors.New("HAProxy said that it took it, but has another one")
	}
	return err
}

// certificates reads the files, and asks the process.
func (h *Instance) certificates(ctx context.Context, dir string) ([]certfile.File, runtimeapi.Client, error) {
	files, err := certfile.Read(dir, time.Now())
	if err != nil {
		return nil, runtimeapi.Client{}, err
	}
	f, err := h.files.Reread()
	if err != nil {
		return files, runtimeapi.Client{}, err
	}
	process, err := h.runtime(f.Base)
	if err != nil {
		return files, process, err
	}
	has, there, err := process.Certificates(ctx, dir)
	if err == nil && !there {
		err = fmt.Errorf("HAProxy has not loaded the directory %s: write \"bind :443 ssl crt %s\" into a frontend, and reload", dir, dir)
	}
	for i := 0; i < len(files) && err == nil; i++ {
		if files[i].State == haproxy.CertificateUnknown {
			err = compare(ctx, process, &files[i], has[files[i].Path])
		}
	}
	return files, process, err
}

// compare sets the state of a good file, and warns of names that HAProxy would lose with it.
func compare(ctx context.Context, process runtimeapi.Client, f *certfile.File, there bool) error {
	if !there {
		f.State = haproxy.CertificateNew
		return nil
	}
	has, err := process.Certificate(ctx, f.Path)
	if err != nil {
		return err
	}
	f.State = haproxy.CertificateLoaded
	if f.Is(has.SHA1, has.Chain) {
		return nil
	}
	f.State = haproxy.CertificateChanged
	lost := slices.DeleteFunc(has.Names, func(name string) bool { return slices.Contains(f.Names, name) })
	if len(lost) > 0 && f.Warning == "" && len(f.Names) < certfile.MaxNames {
		f.Warning = "it is no longer for " + strings.Join(lost[:min(len(lost), 10)], ", ")
	}
	return nil
}

func plain(files []certfile.File) []haproxy.Certificate {
	all := make([]haproxy.Certificate, len(files))
	for i, f := range files {
		all[i] = f.Certificate
	}
	return all
}
