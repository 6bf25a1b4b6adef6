package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A prepared is what hapsync init writes for each HAProxy. It is run once for all boxes, as it takes as long as many a test.
type prepared struct {
	mu    sync.Mutex
	files map[string][]preparedFile // by the path of the binary
}

// A preparedFile has @DIR@, @WEB@ and @STATS@ in its text for what each box has of its own.
type preparedFile struct {
	name, text string // name is below the box's directory
	mode       fs.FileMode
	uid, gid   int
}

// prepare is as init without flags, but for what it prints. Idle clients may stay for longer than init lets them: on a busy machine
// what a test does meanwhile can take those 10 s.
func (b *box) prepare(t testing.TB) {
	t.Helper()
	for _, f := range world.prepared.of(t, b.haproxy) {
		path := filepath.Join(b.dir, f.name)
		var err error
		if f.mode.IsDir() {
			err = os.Mkdir(path, 0o700)
		} else {
			text := strings.NewReplacer("@DIR@", b.dir, "@WEB@", b.web, "@STATS@", b.stats).Replace(f.text)
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err = errors.Join(err, os.Chown(path, f.uid, f.gid), os.Chmod(path, f.mode.Perm())); err != nil {
			t.Fatal(err)
		}
	}
}

// of runs hapsync init where it has not run for this HAProxy.
func (p *prepared) of(t testing.TB, h haproxy) []preparedFile {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if files, ok := p.files[h.path]; ok {
		return files
	}
	b := newBox(t, h)
	b.init(t)
	generic := strings.NewReplacer(b.dir, "@DIR@", b.web, "@WEB@", b.stats, "@STATS@")
	var files []preparedFile
	err := filepath.WalkDir(b.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == b.dir {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		owner := info.Sys().(*syscall.Stat_t)
		f := preparedFile{name: strings.TrimPrefix(path, b.dir+"/"), mode: info.Mode(), uid: int(owner.Uid), gid: int(owner.Gid)}
		if !entry.IsDir() {
			f.text = strings.Replace(generic.Replace(read(t, path)), "timeout http-keep-alive 10s", "timeout http-keep-alive 1m", 1)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.files == nil {
		p.files = map[string][]preparedFile{}
	}
	p.files[h.path] = files
	return files
}
