package driver

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// A record is the servers that hapsync has put into the process of one worker. It is kept in a file beside the managed one,
// so that they are known to be hapsync's after a restart of hapsync: one line for each, with the words that it was added with, under a
// first line that names the worker. Lines are written before their servers are added; one with a dropMark follows when a server is removed.
type record struct {
	path, like string // like has the mode and the owner for a new file
	worker     runtimeapi.Worker
	// servers are those words, by server.
	servers map[haproxy.ServerKey]string
	// missing is set if there is no file, of whatever worker.
	missing bool
	// file is the file as it was read or written last; nil without one. Another hapsync, such as a sync beside an agent, writes it, too.
	file os.FileInfo
	// lines is the number of lines that may be followed by others of this worker; 0 if the file is to be replaced.
	lines int
}

func newRecord(managed string) record {
	dir, name := filepath.Split(managed)
	return record{path: filepath.Join(dir, "."+name+".added"), like: managed}
}

// of reads the record of a worker. What hapsync has put into the worker before counts, too: the next one may have loaded it from the
// file, and the file may say something else by now.
func (r *record) of(w runtimeapi.Worker) error {
	file, err := os.Lstat(r.path)
	if err != nil {
		file = nil // reading it says why
	}
	if r.servers != nil && r.worker.Same(w) && sameFile(r.file, file) {
		return nil
	}
	text, there, err := configfile.ReadBeside(r.path)
	if err != nil {
		return err
	}
	r.worker, r.servers, r.missing, r.file, r.lines = w, map[haproxy.ServerKey]string{}, !there, file, 0
	if strings.HasPrefix(text, loadedHeader(w)) && strings.HasSuffix(text, "\n") {
		r.lines = strings.Count(text, "\n")
	}
	_, lines, _ := strings.Cut(text, "\n")
	for l := range strings.Lines(lines) {
		backend, name, ok := strings.Cut(strings.TrimSuffix(l, "\n"), "/")
		if !ok || !strings.HasSuffix(l, "\n") {
			continue
		}
		name, words, _ := strings.Cut(name, " ")
		if gone, dropped := strings.CutPrefix(backend, dropMark); dropped {
			delete(r.servers, haproxy.ServerKey{Backend: gone, Name: name})
		} else {
			r.servers[haproxy.ServerKey{Backend: backend, Name: name}] = words
		}
	}
	return nil
}

// add writes servers into the record of the worker.
func (r *record) add(added map[haproxy.ServerKey]string) error {
	if err := r.of(r.worker); err != nil {
		return err
	}
	added = maps.Clone(added)
	maps.DeleteFunc(added, func(k haproxy.ServerKey, words string) bool {
		known, ok := r.servers[k]
		return ok && known == words
	})
	if len(added) == 0 && !r.missing {
		return nil
	}
	if err := r.write(added); err != nil {
		return fmt.Errorf("record what is put into HAProxy: %w", err)
	}
	maps.Copy(r.servers, added)
	return nil
}

// write appends to the file where it is that of the worker, and replaces it where it is not, or has grown long.
func (r *record) write(added map[haproxy.ServerKey]string) error {
	if r.grows() {
		return r.append(lines(added))
	}
	all := maps.Clone(r.servers)
	maps.Copy(all, added)
	return r.replace(all)
}

func (r *record) grows() bool { return r.lines > 0 && r.lines < 2*len(r.servers)+1000 }

func (r *record) replace(all map[haproxy.ServerKey]string) error {
	if err := configfile.ReplaceVolatile(r.path, r.like, loadedHeader(r.worker)+lines(all)); err != nil {
		return err
	}
	r.missing, r.file, r.lines = false, nil, len(all)+1
	return nil
}

func lines(servers map[haproxy.ServerKey]string) string {
	all := make([]string, 0, len(servers))
	for k, words := range servers {
		all = append(all, strings.TrimSuffix(k.String()+" "+words, " ")+"\n")
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// append writes at the end of the file. If it has grown by more than that, another hapsync has written, and it is read again. After an
// error, which may have left half a line, the file is to be replaced.
func (r *record) append(text string) error {
	grown := r.lines + strings.Count(text, "\n")
	r.lines = 0
	f, err := configfile.OpenBeside(r.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = f.WriteString(text); err != nil {
		return err
	}
	now, err := f.Stat()
	if err != nil {
		return err
	}
	r.lines = grown
	if r.file != nil && os.SameFile(r.file, now) && now.Size() == r.file.Size()+int64(len(text)) {
		r.file = now
	}
	return nil
}

// sameFile reports whether a file was neither replaced nor written; nil is a file that there is not.
func sameFile(was, is os.FileInfo) bool {
	if was == nil || is == nil {
		return was == nil && is == nil
	}
	return os.SameFile(was, is) && was.Size() == is.Size() && was.ModTime().Equal(is.ModTime())
}

// dropMark is before a server's name in the record once hapsync has removed it. No backend of hapsync's begins with it.
const dropMark = "-"

// drop forgets servers that are gone from the process, so that those of the same names that an operator adds later are the operator's.
// If that cannot be written, the next write does it.
func (r *record) drop(keys []haproxy.ServerKey) {
	_ = r.of(r.worker) // if it cannot be read, memory is all there is
	var text strings.Builder
	for _, key := range keys {
		if _, ok := r.servers[key]; ok {
			delete(r.servers, key)
			text.WriteString(dropMark + key.String() + "\n")
		}
	}
	switch {
	case text.Len() == 0:
	case r.grows():
		_ = r.append(text.String())
	default:
		_ = r.replace(r.servers)
	}
}
