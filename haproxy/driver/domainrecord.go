package driver

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// A domainRecord has the backends that hapsync added to the process of one worker, and those of the file that it unpublished there. It is
// kept in a file beside the managed file, for hapsync's next start. The first line names the worker, and each backend has a line, which is
// written before its command is sent.
type domainRecord struct {
	path, like string // a new file gets the mode and the owner of like
	worker     runtimeapi.Worker
	// added are the added backends, by name.
	added       map[string]addedBackend
	unpublished map[string]bool
	// file is the file when it was last read or written; nil without one. Another hapsync may write it, too.
	file os.FileInfo
	// names are updated with each change.
	names *runtimeapi.Names
}

// An addedBackend is a backend that hapsync added to the process.
type addedBackend struct {
	options haproxy.BackendOptions
	// spare is the spare backend that it is in; empty if it was really added (3.4).
	spare string
}

func newDomainRecord(managed string, names *runtimeapi.Names) domainRecord {
	return domainRecord{path: configfile.Beside(managed, "domains"), like: managed, names: names}
}

// unpublishMark precedes the name of an unpublished backend. No name of hapsync's backends begins with it.
const unpublishMark = "-"

// refresh reads the record from the file, of any worker, if it has changed. Its names are needed to ask the process.
func (r *domainRecord) refresh() error {
	if file := lstat(r.path); file == nil || r.added != nil && sameFile(r.file, file) {
		return nil
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

// of reads the record of a worker. It is empty if the file is about another worker.
func (r *domainRecord) of(w runtimeapi.Worker) error {
	file := lstat(r.path)
	if r.added != nil && r.worker.Same(w) && sameFile(r.file, file) {
		return nil
	}
	text, _, err := configfile.ReadBeside(r.path)
	if err != nil {
		return err
	}
	r.worker, r.file, r.added, r.unpublished = w, file, map[string]addedBackend{}, map[string]bool{}
	defer r.setNames()
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

// setNames updates the names.
func (r *domainRecord) setNames() { r.names.Set(r.worker, r.spares()) }

// has reports whether hapsync added the backend to the process.
func (r *domainRecord) has(backend string) bool {
	_, added := r.added[backend]
	return added
}

// spares are the spare backends in use, by the name of the domain's backend.
func (r *domainRecord) spares() map[string]string {
	spares := map[string]string{}
	for name, b := range r.added {
		if b.spare != "" {
			spares[name] = b.spare
		}
	}
	return spares
}

// lost says for which of the claimed backends the record no longer has the spare backend.
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

// change locks and reads the file, lets change modify the record, and writes it. So two hapsync never take the same spare backend. The error
// is an unrecordedError: nothing has changed.
func (r *domainRecord) change(change func()) error {
	unlock, err := lockRecord(r.path+".lock", r.like)
	if err == nil {
		err = errors.Join(r.changeLocked(change), unlock())
	}
	if err != nil {
		return unrecordedError{fmt.Errorf("record which domains are put into HAProxy: %w", err)}
	}
	return nil
}

// An unrecordedError says why a change cannot be recorded: the disk is full, for example. The process must not get the change.
type unrecordedError struct{ error }

func (e unrecordedError) Unwrap() error { return e.error }

// refuseUnrecorded refuses the changes of some backends if err is an unrecordedError, else it returns err.
func refuseUnrecorded(refused map[string]string, backends []string, err error) error {
	var unrecorded unrecordedError
	if !errors.As(err, &unrecorded) {
		return err
	}
	for _, name := range backends {
		refused[name] = unrecorded.Error()
	}
	return nil
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
		r.added = nil // unknown: of reads it again
		return err
	}
	r.setNames()
	r.file, err = os.Lstat(r.path)
	return err
}

// lockTimeout is how long another process may lock the record: it only reads and writes a small file.
const lockTimeout = time.Second

// lockRecord lets only this process change a record until unlock is called.
func lockRecord(path, managed string) (unlock func() error, err error) {
	f, err := configfile.OpenOwn(path, managed, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	deadline := time.NewTimer(lockTimeout)
	defer deadline.Stop()
	for wait := time.Millisecond; ; wait *= 2 {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		select {
		case <-deadline.C:
			return nil, errors.Join(
				fmt.Errorf("%s: another hapsync holds it for longer than %s; is it stopped?", path, lockTimeout), f.Close())
		case <-time.After(wait):
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
