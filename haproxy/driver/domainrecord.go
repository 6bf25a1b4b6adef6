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

// A domainRecord is the backends that hapsync has added to the process of one worker, and those of its file that it has unpublished. It
// is kept in a file beside the managed one, so that they are known to be hapsync's after a restart of hapsync: a line for each, under a
// first line that names the worker. A line is written before its command is sent.
type domainRecord struct {
	path, like string // like has the mode and the owner for a new file
	worker     runtimeapi.Worker
	// added are the options of the backends that were added, by name.
	added       map[string]haproxy.BackendOptions
	unpublished map[string]bool
	// file is the file as it was read or written last; nil without one. Another hapsync writes it, too.
	file os.FileInfo
}

func newDomainRecord(managed string) domainRecord {
	dir, name := filepath.Split(managed)
	return domainRecord{path: filepath.Join(dir, "."+name+".domains"), like: managed}
}

// unpublishMark is before the name of a backend that was unpublished. No backend of hapsync's begins with it.
const unpublishMark = "-"

// of reads the record of a worker: what another one had went with it.
func (r *domainRecord) of(w runtimeapi.Worker) error {
	file, err := os.Lstat(r.path)
	if err != nil {
		file = nil // reading it says why
	}
	if r.added != nil && r.worker.Same(w) && sameFile(r.file, file) {
		return nil
	}
	text, _, err := configfile.ReadBeside(r.path)
	if err != nil {
		return err
	}
	r.worker, r.file, r.added, r.unpublished = w, file, map[string]haproxy.BackendOptions{}, map[string]bool{}
	lines, ours := strings.CutPrefix(text, loadedHeader(w))
	if !ours {
		return nil
	}
	for l := range strings.Lines(lines) {
		l = strings.TrimSuffix(l, "\n")
		if name, ok := strings.CutPrefix(l, unpublishMark); ok {
			r.unpublished[name] = true
		} else if w := strings.Split(l, "\t"); len(w) == 3 {
			r.added[w[0]] = haproxy.BackendOptions{Balance: w[1], Cookie: w[2]}
		}
	}
	return nil
}

// change writes what change makes of the record.
func (r *domainRecord) change(change func()) error {
	if err := r.of(r.worker); err != nil {
		return err
	}
	added, unpublished := maps.Clone(r.added), maps.Clone(r.unpublished)
	change()
	if maps.Equal(added, r.added) && maps.Equal(unpublished, r.unpublished) {
		return nil
	}
	lines := make([]string, 0, len(r.added)+len(r.unpublished))
	for name, o := range r.added {
		lines = append(lines, name+"\t"+o.Balance+"\t"+o.Cookie+"\n")
	}
	for name := range r.unpublished {
		lines = append(lines, unpublishMark+name+"\n")
	}
	slices.Sort(lines)
	err := configfile.ReplaceVolatile(r.path, r.like, loadedHeader(r.worker)+strings.Join(lines, ""))
	if err != nil {
		r.added = nil // it is to be read again
		return fmt.Errorf("record which domains are put into HAProxy: %w", err)
	}
	r.file, err = os.Lstat(r.path)
	return err
}
