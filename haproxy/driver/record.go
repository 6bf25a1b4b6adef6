package driver

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// A record has the servers that hapsync added to the process of one worker. It is kept in a file beside the managed file, for hapsync's
// next start. The first line names the worker. Each server has a line, with its Params, which is written before the server is added. A
// removed server gets another line, with dropMark.
type record struct {
	path, like string // a new file gets the mode and the owner of like
	worker     runtimeapi.Worker
	// servers are the servers with their Params.
	servers map[haproxy.ServerKey]string
	// missing is set if there is no file, of any worker.
	missing bool
	// file is the file when it was last read or written; nil without one. Another hapsync, such as a sync beside an agent, may write it, too.
	file os.FileInfo
	// lines is the number of lines of a file to which lines can be appended; 0 if the file must be replaced.
	lines int
}

func newRecord(managed string) record {
	return record{path: configfile.Beside(managed, "added"), like: managed}
}

// of reads the record of a worker. It includes what hapsync added to the worker before: the new worker may have loaded these servers from
// the file, even if the file has changed since.
func (r *record) of(w runtimeapi.Worker) error {
	file := lstat(r.path)
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

// add adds servers to the record of the worker.
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
		if len(added) == 0 {
			return nil // the next addition tries it again
		}
		return unrecordedError{fmt.Errorf("record what is put into HAProxy: %w", err)}
	}
	maps.Copy(r.servers, added)
	return nil
}

// write appends to the file. It replaces the file if it is another worker's, or has become long.
func (r *record) write(added map[haproxy.ServerKey]string) error {
	if r.appendable() {
		return r.append(lines(added))
	}
	all := maps.Clone(r.servers)
	maps.Copy(all, added)
	return r.replace(all)
}

func (r *record) appendable() bool { return r.lines > 0 && r.lines < 2*len(r.servers)+1000 }

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

// append appends to the file. If the file has grown by more than that, another hapsync has written it, and it is read again. After an error
// the file may end with half a line, and must be replaced.
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

// lstat describes a file without following a link; nil if that fails. Reading the file then returns the error.
func lstat(path string) os.FileInfo {
	file, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	return file
}

// sameFile reports whether a file was neither replaced nor written. nil means a missing file.
func sameFile(was, is os.FileInfo) bool {
	if was == nil || is == nil {
		return was == nil && is == nil
	}
	return os.SameFile(was, is) && was.Size() == is.Size() && was.ModTime().Equal(is.ModTime())
}

// dropMark precedes the name of a removed server in the record. No name of hapsync's backends begins with it.
const dropMark = "-"

// drop removes servers that the process no longer has. If an operator adds servers of the same names later, those are not hapsync's.
// If the file cannot be written, the next write includes it.
func (r *record) drop(keys []haproxy.ServerKey) {
	_ = r.of(r.worker) // if it cannot be read, the record in memory is used
	var text strings.Builder
	for _, key := range keys {
		if _, ok := r.servers[key]; ok {
			delete(r.servers, key)
			text.WriteString(dropMark + key.String() + "\n")
		}
	}
	switch {
	case text.Len() == 0: // nothing to drop
	case r.appendable():
		_ = r.append(text.String())
	default:
		_ = r.replace(r.servers)
	}
}
