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

// Certificates are the certificates of a directory, by name, compared with what the process has loaded. If the process cannot be asked, or
// has not loaded the directory, it returns them with an error. Any goroutine may call it.
func (h *Instance) Certificates(ctx context.Context, dir string) ([]haproxy.Certificate, error) {
	files, _, err := h.certificates(ctx, filepath.Clean(dir))
	return plain(files), err
}

// LoadCertificates puts the new and changed good certificates of a directory into the process. It returns these, and all with their states
// after that. If the process refuses one, its Problem says why. Any goroutine may call it.
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

// put puts a certificate into the process, and verifies it.
func put(ctx context.Context, process runtimeapi.Client, dir string, f certfile.File) error {
	// HAProxy has only one transaction for certificates, so a started one is always ended. Each command has its own timeout.
	ctx = context.WithoutCancel(ctx)
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

// certificates reads the files, and compares them with the process.
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

// compare sets the state of a good file, and warns of names that HAProxy would lose.
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
