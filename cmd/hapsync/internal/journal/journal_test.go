package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

func newFile(t *testing.T, size int64) File {
	t.Helper()
	managed := filepath.Join(t.TempDir(), "hapsync.cfg")
	if err := os.WriteFile(managed, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return File{Path: Beside(managed), Size: size, Managed: managed}
}

func entry(revision int, domains ...string) sync.Entry {
	e := sync.Entry{At: time.Now(), Revision: registry.Revision(revision), By: sync.ByWatch, Done: true, Counts: map[sync.Via]int{}}
	for _, domain := range domains {
		e.Changes = append(e.Changes, sync.EntryChange{Via: sync.ViaRuntime, Op: haproxy.OpSet, Object: haproxy.ObjectServer, Domain: domain,
			Name: "web1", Have: "10.0.0.1:10000", Want: "10.0.0.1:10002"})
		e.Counts[sync.ViaRuntime]++
	}
	return e
}

// revisions are those of the entries that a query finds.
func revisions(t *testing.T, f File, q Query) (all []int) {
	t.Helper()
	entries, err := f.Read(q)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, int(e.Revision))
	}
	return all
}

func appendAll(t *testing.T, f File, entries ...sync.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := f.Append(e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAJournalFindsWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	f := newFile(t, 16<<20)
	old := entry(1, "a.abc.com")
	old.At = time.Now().Add(-time.Hour)
	appendAll(t, f, old, entry(2, "b.abc.com"), entry(3, "a.abc.com", "b.abc.com"), entry(3, "xa.abc.com"))
	for _, tt := range []struct {
		q    Query
		want string
	}{
		{Query{}, "[3 3 2 1]"},
		{Query{Most: 2}, "[3 3]"},
		{Query{Since: time.Now().Add(-time.Minute)}, "[3 3 2]"},
		{Query{Revision: 3}, "[3 3]"},
		{Query{Revision: 4}, "[]"},
		{Query{Domain: "a.abc.com"}, "[3 1]"},
		{Query{Domain: "a.abc.com", Most: 1}, "[3]"},
	} {
		if got := fmt.Sprint(revisions(t, f, tt.q)); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.q, got, tt.want)
		}
	}
	part, err := f.Read(Query{Domain: "a.abc.com", Most: 1})
	if err != nil || len(part[0].Changes) != 1 || part[0].Changes[0].String() != "~ server a.abc.com/web1 10.0.0.1:10000 -> 10.0.0.1:10002" {
		t.Errorf("%v, %v", part, err)
	}
}

func TestATornLineLosesNothingElse(t *testing.T) {
	t.Parallel()
	f := newFile(t, 16<<20)
	appendAll(t, f, entry(1))
	tear(t, f, `{"at":"2026-01-01T00:00:00Z","revision":99,"chan`)
	appendAll(t, f, entry(2))
	tear(t, f, "\x00\x00\xff not JSON\n[1]\n{}\n")
	appendAll(t, f, entry(3))
	tear(t, f, `{"at":`)
	if got := fmt.Sprint(revisions(t, f, Query{})); got != "[3 2 1]" {
		t.Error(got)
	}
}

func tear(t *testing.T, f File, text string) {
	t.Helper()
	file, err := os.OpenFile(f.Path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestAJournalIsBounded(t *testing.T) {
	t.Parallel()
	const size = 16 << 10
	f := newFile(t, size)
	last := 0
	for n := range 1000 {
		e := entry(n+1, "a.abc.com")
		if n%100 == 99 { // it does not fit as a whole
			e = entry(n+1, strings.Split(strings.Repeat("a.abc.com ", 200), " ")...)
		}
		appendAll(t, f, e)
		last = n + 1
	}
	total := int64(0)
	for _, path := range []string{f.Path, f.older()} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		total += info.Size()
	}
	got := revisions(t, f, Query{})
	if total > size || len(got) < 20 || got[0] != last || got[len(got)-1] != last-len(got)+1 {
		t.Errorf("%d bytes, %d entries, %v", total, len(got), got)
	}
}

func TestAJournalFollowsNoLinks(t *testing.T) {
	t.Parallel()
	f := newFile(t, 16<<20)
	target := filepath.Join(t.TempDir(), "shadow")
	if err := errors.Join(os.WriteFile(target, []byte("root"), 0o600), os.Symlink(target, f.Path)); err != nil {
		t.Fatal(err)
	}
	if err := f.Append(entry(1)); err == nil || !strings.Contains(err.Error(), "is a symbolic link") {
		t.Error(err)
	}
	if _, err := f.Read(Query{}); err == nil || !strings.Contains(err.Error(), "is a symbolic link") {
		t.Error(err)
	}
	if text, err := os.ReadFile(target); string(text) != "root" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestThereIsNoJournal(t *testing.T) {
	t.Parallel()
	if _, err := newFile(t, 1<<20).Read(Query{}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestSeveralProcessesTearNoLine runs itself as the other processes.
func TestSeveralProcessesTearNoLine(t *testing.T) {
	t.Parallel()
	const processes, each = 3, 200
	if path := os.Getenv("HAPSYNC_TEST_JOURNAL"); path != "" {
		f := File{Path: path, Managed: path, Size: 64 << 10}
		first, err := strconv.Atoi(os.Getenv("HAPSYNC_TEST_FIRST"))
		if err != nil {
			t.Fatal(err)
		}
		for n := range each {
			appendAll(t, f, entry(first+n, "a.abc.com", "b.abc.com"))
		}
		return
	}
	f := newFile(t, 64<<10)
	var running stdsync.WaitGroup
	for n := range processes {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSeveralProcessesTearNoLine$")
		cmd.Env = append(os.Environ(), "HAPSYNC_TEST_JOURNAL="+f.Path, fmt.Sprintf("HAPSYNC_TEST_FIRST=%d", 1000*(n+1)))
		running.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	running.Wait()
	found := map[int]int{} // the last of each process are there, in order and without a gap
	for _, revision := range revisions(t, f, Query{}) {
		process := revision / 1000
		if last, seen := found[process]; seen && revision != last-1 || !seen && revision != 1000*process+each-1 {
			t.Fatalf("revision %d after %d", revision, last)
		}
		found[process] = revision
	}
	if len(found) == 0 {
		t.Error("nothing is left")
	}
	for _, path := range []string{f.Path, f.older()} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if _, ok := (Query{}).entry([]byte(strings.TrimSpace(line))); !ok && line != "\n" {
				t.Errorf("torn: %q", line)
			}
		}
	}
}

func TestAWriterKeepsGoing(t *testing.T) {
	t.Parallel()
	f := newFile(t, 16<<20)
	if err := os.Mkdir(f.Path, 0o700); err != nil { // the journal cannot be written
		t.Fatal(err)
	}
	var said logged
	w := NewWriter(f, slog.New(slog.NewTextHandler(&said, nil)))
	go w.Run()
	w.Add(entry(1))
	eventually(t, func() bool { return strings.Contains(said.String(), "the journal is not written") })
	if err := os.Remove(f.Path); err != nil {
		t.Fatal(err)
	}
	w.Add(entry(2))
	eventually(t, func() bool { return strings.Contains(said.String(), "the journal is written again") })
	w.Add(entry(3))
	w.Close()
	if got := fmt.Sprint(revisions(t, f, Query{})); got != "[3 2]" {
		t.Error(got)
	}
	if n := strings.Count(said.String(), "the journal is"); n != 2 {
		t.Errorf("%d lines: %s", n, said.String())
	}
}

func TestAWriterThatNobodyServesHoldsOnlySoMuch(t *testing.T) {
	t.Parallel()
	w := NewWriter(newFile(t, 16<<20), slog.New(slog.DiscardHandler))
	for n := range maxQueued {
		w.Add(entry(n+1, "a.abc.com"))
	}
	if w.queued > maxQueued || w.lost != maxQueued/2 {
		t.Errorf("%d queued, %d lost", w.queued, w.lost)
	}
}

type logged struct {
	mu stdsync.Mutex
	strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.String()
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatal("it does not come")
		case <-tick.C:
		}
	}
}
