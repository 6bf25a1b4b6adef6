package driver

import (
	"cmp"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

func TestARecordHasWhatAnotherHapsyncHasAdded(t *testing.T) {
	managed := filepath.Join(t.TempDir(), "hapsync.cfg")
	w := runtimeapi.Worker{Pid: 17, Started: time.Unix(1700000000, 0)}
	agent, sync := newRecord(managed), newRecord(managed)
	of := func(r *record, want ...haproxy.ServerKey) {
		t.Helper()
		if err := r.of(w); err != nil {
			t.Fatal(err)
		}
		if len(r.servers) != len(want) {
			t.Errorf("have %v, want %v", r.servers, want)
		}
		for _, key := range want {
			if r.servers[key] != "inter 2s rise 1" {
				t.Errorf("have %v, want %v", r.servers, want)
			}
		}
	}
	add := func(r *record, key haproxy.ServerKey) {
		t.Helper()
		if err := r.add(map[haproxy.ServerKey]string{key: "inter 2s rise 1"}); err != nil {
			t.Fatal(err)
		}
	}
	a, b, c := haproxy.ServerKey{Backend: "a_cluster", Name: "s1"}, haproxy.ServerKey{Backend: "a_cluster", Name: "s2"}, haproxy.ServerKey{Backend: "b_cluster", Name: "s1"}
	of(&agent)
	of(&sync)
	add(&agent, a)
	of(&sync, a)
	add(&sync, b)
	of(&agent, a, b)
	add(&agent, c)
	of(&agent, a, b, c)
	of(&sync, a, b, c)
	agent.drop([]haproxy.ServerKey{b})
	of(&sync, a, c)
	add(&sync, b)
	of(&agent, a, b, c)
}

// limited calls f while the process has a limit of that kind.
func limited(t *testing.T, kind int, most uint64, f func()) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(kind, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(kind, &unix.Rlimit{Cur: most, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	f()
	if err := unix.Setrlimit(kind, &before); err != nil {
		t.Fatal(err)
	}
}

func TestARecordThatCannotBeWrittenIsWrittenByTheNextTry(t *testing.T) {
	w := runtimeapi.Worker{Pid: 17, Started: time.Unix(1700000000, 0)}
	a, b, c := haproxy.ServerKey{Backend: "a_cluster", Name: "s1"}, haproxy.ServerKey{Backend: "a_cluster", Name: "s2"}, haproxy.ServerKey{Backend: "b_cluster", Name: "s1"}
	add := func(r *record, keys ...haproxy.ServerKey) error {
		words := map[haproxy.ServerKey]string{}
		for _, key := range keys {
			words[key] = "rise 1"
		}
		return r.add(words)
	}
	refused := func(r *record) {
		if add(r, b) == nil {
			t.Error("it is written though it cannot be")
		}
	}
	blocked := func(r *record) {
		err := os.MkdirAll(filepath.Join(r.path+".new", "x"), 0o700)
		refused(r)
		if err = errors.Join(err, os.RemoveAll(r.path+".new")); err != nil {
			t.Fatal(err)
		}
	}
	for name, try := range map[string]struct {
		fail func(r *record) // it has a and c
		want []haproxy.ServerKey
	}{
		"the first file": {func(r *record) {
			r.missing, r.file, r.lines = true, nil, 0
			if err := os.Remove(r.path); err != nil {
				t.Fatal(err)
			}
			blocked(r)
		}, []haproxy.ServerKey{a, b, c}},
		"another worker's file": {func(r *record) {
			r.lines = 0
			blocked(r)
		}, []haproxy.ServerKey{a, b, c}},
		"no descriptor": {func(r *record) {
			limited(t, unix.RLIMIT_NOFILE, 0, func() { refused(r) })
		}, []haproxy.ServerKey{a, b, c}},
		"half a line": {func(r *record) {
			limited(t, unix.RLIMIT_FSIZE, uint64(r.file.Size())+3, func() { refused(r) })
		}, []haproxy.ServerKey{a, b, c}},
		"a server that is gone": {func(r *record) {
			limited(t, unix.RLIMIT_NOFILE, 0, func() { r.drop([]haproxy.ServerKey{a}) })
		}, []haproxy.ServerKey{b, c}},
		"one after the other": {func(r *record) {
			limited(t, unix.RLIMIT_NOFILE, 0, func() { r.drop([]haproxy.ServerKey{a}) })
			r.drop([]haproxy.ServerKey{c})
		}, []haproxy.ServerKey{b}},
	} {
		t.Run(name, func(t *testing.T) {
			managed := filepath.Join(t.TempDir(), "hapsync.cfg")
			r := newRecord(managed)
			if err := errors.Join(r.of(w), add(&r, a, c), r.of(w)); err != nil {
				t.Fatal(err)
			}
			try.fail(&r)
			if err := add(&r, b); err != nil {
				t.Fatal(err)
			}
			again := newRecord(managed)
			if err := again.of(w); err != nil {
				t.Fatal(err)
			}
			have := slices.SortedFunc(maps.Keys(again.servers), func(a, b haproxy.ServerKey) int { return cmp.Compare(a.String(), b.String()) })
			if !slices.Equal(have, try.want) || !maps.Equal(again.servers, r.servers) {
				t.Errorf("the file has %v, the memory %v, want %v", have, r.servers, try.want)
			}
		})
	}
}
