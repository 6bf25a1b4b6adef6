package driver

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// A domainRecord is the backends that hapsync has put into the process of one worker, and those of its file that it has unpublished. It
// is kept in a file beside the managed one, so that they are known to be hapsync's after a restart of hapsync: a line for each, under a
// first line that names the worker. A line is written before its command is sent.
type domainRecord struct {
	path, like string // like has the mode and the owner for a new file
	worker     runtimeapi.Worker
	// added are the backends that were put there, by name.
	added       map[string]addedBackend
	unpublished map[string]bool
	// file is the file as it was read or written last; nil without one. Another hapsync writes it, too.
	file os.FileInfo
	// names are kept in line with it.
	names *runtimeapi.Names
}

// An addedBackend is one that hapsync has put into the process.
type addedBackend struct {
	options haproxy.BackendOptions
	// spare is the spare backend that has become it; empty for one that was added.
	spare string
}

func newDomainRecord(managed string, names *runtimeapi.Names) domainRecord {
	dir, name := filepath.Split(managed)
	return domainRecord{path: filepath.Join(dir, "."+name+".domains"), like: managed, names: names}
}

// unpublishMark is before the name of a backend that was unpublished. No backend of hapsync's begins with it.
const unpublishMark = "-"

// refresh reads the record that the file has, of whatever worker, if it was not read: the process is asked by the names in it.
func (r *domainRecord) refresh() error {
	file, err := os.Lstat(r.path)
	if err != nil || r.added != nil && sameFile(r.file, file) {
		return nil //nolint:nilerr // of says why it cannot be read
	}
	text, _, err := configfile.ReadBeside(r.path)
	if err != nil {
		return err
	}
	header, _, _ := strings.Cut(text, "\n")
	if w, ok := workerOf(header + "\n"); ok {
		return r.of(w)
	}
	return nil
}

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
	r.worker, r.file, r.added, r.unpublished = w, file, map[string]addedBackend{}, map[string]bool{}
	defer r.tellNames()
	lines, ours := strings.CutPrefix(text, loadedHeader(w))
	if !ours {
		return nil
	}
	for l := range strings.Lines(lines) {
		l = strings.TrimSuffix(l, "\n")
		if name, ok := strings.CutPrefix(l, unpublishMark); ok {
			r.unpublished[name] = true
		} else if w := append(strings.Split(l, "\t"), ""); len(w) == 4 || len(w) == 5 {
			r.added[w[0]] = addedBackend{options: haproxy.BackendOptions{Balance: w[1], Cookie: w[2]}, spare: w[3]}
		}
	}
	return nil
}

// tellNames brings the names in line.
func (r *domainRecord) tellNames() { r.names.Set(r.worker, r.spares()) }

// spares are the spare backends that have become others, by the name of these.
func (r *domainRecord) spares() map[string]string {
	spares := map[string]string{}
	for name, b := range r.added {
		if b.spare != "" {
			spares[name] = b.spare
		}
	}
	return spares
}

// lost are the reasons why backends are no more in the spare ones that they were claimed to be in, by the record as the file has it.
func (r *domainRecord) lost(w runtimeapi.Worker, claimed map[string]string) (why map[string]string, err error) {
	if err := r.of(w); err != nil {
		return nil, err
	}
	why = map[string]string{}
	for name, spare := range claimed {
		if r.added[name].spare != spare {
			why[name] = "another hapsync has freed " + spare + ", the spare backend of it, meanwhile"
		}
	}
	return why, nil
}

// change writes what change makes of the record, as the file has it: no two hapsync take the same spare backend.
func (r *domainRecord) change(change func()) error {
	unlock, err := lockRecord(r.path+".lock", r.like)
	if err != nil {
		return fmt.Errorf("record which domains are put into HAProxy: %w", err)
	}
	return errors.Join(r.changeLocked(change), unlock())
}

func (r *domainRecord) changeLocked(change func()) error {
	if err := r.of(r.worker); err != nil {
		return err
	}
	added, unpublished := maps.Clone(r.added), maps.Clone(r.unpublished)
	change()
	if maps.Equal(added, r.added) && maps.Equal(unpublished, r.unpublished) {
		return nil
	}
	lines := make([]string, 0, len(r.added)+len(r.unpublished))
	for name, b := range r.added {
		lines = append(lines, strings.TrimSuffix(name+"\t"+b.options.Balance+"\t"+b.options.Cookie+"\t"+b.spare, "\t")+"\n")
	}
	for name := range r.unpublished {
		lines = append(lines, unpublishMark+name+"\n")
	}
	slices.Sort(lines)
	err := configfile.ReplaceVolatile(r.path, r.like, loadedHeader(r.worker)+strings.Join(lines, ""))
	if err != nil {
		r.added = nil // it is to be read again
		return err
	}
	r.tellNames()
	r.file, err = os.Lstat(r.path)
	return err
}

// recordPatience is how long another process may hold the record: it reads and writes a small file meanwhile.
const recordPatience = time.Second

// lockRecord makes this process the only one to change a record until unlock is called.
func lockRecord(path, managed string) (unlock func() error, err error) {
	f, err := configfile.OpenOwn(path, managed, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	deadline := time.NewTimer(recordPatience)
	defer deadline.Stop()
	for wait := time.Millisecond; ; wait *= 2 {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		select {
		case <-deadline.C:
			return nil, errors.Join(fmt.Errorf("%s: another hapsync holds it for longer than %s; is it stopped?", path, recordPatience), f.Close())
		case <-time.After(wait):
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
