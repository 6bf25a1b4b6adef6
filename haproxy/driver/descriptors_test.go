package driver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// someWords are words behind servers, and how many descriptors their checks need.
var someWords = []string{"", "check", "agent-check agent-port 1", "check agent-check agent-port 1", "agent-check agent-port 1 no-agent-check",
	"no-agent-check agent-check agent-port 1", "agent-check agent-check agent-port 1", "check disabled"}

// startWithWords starts HAProxy with one server of a.abc.com for each of the words, and reads its state.
func startWithWords(t *testing.T, bin, global, given string, args, words []string) haproxy.State {
	t.Helper()
	p := haproxytest.NewProc(t)
	p.Under, p.Args = []string{"prlimit", "--nofile=1000:4000"}, args
	p.Write(t, p.BaseFile, strings.Replace(haproxytest.PlainBase, "    maxconn 1000\n", global, 1))
	lines := given + "    server server1 127.0.0.1:1 cookie server1 check\n"
	for i, w := range words {
		lines += fmt.Sprintf("    server more%d 127.0.0.1:1 cookie more%d %s\n", i, i, w)
	}
	managed := fmt.Sprintf(haproxytest.TwoDomains, "127.0.0.1:1", "127.0.0.1:1")
	p.Write(t, p.ManagedFile, strings.Replace(managed, "    server server1 127.0.0.1:1 cookie server1 check\n", lines, 1))
	p.Start(t, bin)
	h, err := Open(haproxy.Settings{BaseFile: p.BaseFile, ManagedFile: p.ManagedFile, Binary: bin})
	if err != nil {
		t.Fatal(err)
	}
	st, err := h.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestWhatChecksCostIsWhatHAProxyReserves compares HAProxy with servers to the same one without.
func TestWhatChecksCostIsWhatHAProxyReserves(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		for _, given := range []string{"", "    default-server agent-check agent-port 1\n"} {
			with := startWithWords(t, bin, "    maxconn 40\n", given, nil, someWords)
			without := startWithWords(t, bin, "    maxconn 40\n", given, nil, nil)
			if with.Descriptors.Other != without.Descriptors.Other {
				t.Errorf("%q: with servers HAProxy needs %d for all else, without them %d", given, with.Descriptors.Other, without.Descriptors.Other)
			}
			if n := with.File.Descriptors() - without.File.Descriptors(); n < len(someWords) {
				t.Errorf("%q: the servers need %d", given, n)
			}
		}
	})
}

// TestTheConnectionsThatHAProxyIsToldOfCount sets -n, which overrides maxconn of the file.
func TestTheConnectionsThatHAProxyIsToldOfCount(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		file := startWithWords(t, bin, "    maxconn 40\n    maxconn 900\n", "", nil, nil).Descriptors
		for _, global := range []string{"", "    maxconn 40\n"} {
			if told := startWithWords(t, bin, global, "", []string{"-n", "300"}, nil).Descriptors; told.Other != file.Other+2*260 {
				t.Errorf("%q: HAProxy needs %d with -n 300, %d with maxconn 40", global, told.Other, file.Other)
			}
		}
	})
}

// TestTheDescriptorsThatHAProxyIsToldOfCount sets ulimit-n, which is the limit even if HAProxy may have more (the hard limit is 4000, the
// soft one 1000).
func TestTheDescriptorsThatHAProxyIsToldOfCount(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		for number, want := range map[int]int{1500: 1500, 7: 1000} {
			if d := startWithWords(t, bin, fmt.Sprintf("    maxconn 40\n    ulimit-n %d\n    ulimit-n 2000\n", number), "", nil, nil).Descriptors; d.Limit != want {
				t.Errorf("ulimit-n %d: HAProxy may have %d, want %d", number, d.Limit, want)
			}
		}
	})
}

// TestTheDescriptorsOfANewWorkerAreKnownAtOnce first reads only one domain of a new worker.
func TestTheDescriptorsOfANewWorkerAreKnownAtOnce(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		r := startRemembering(t, bin)
		r.settings.MasterSocket = r.MasterSocket
		before := r.reads(t)
		if err := r.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		one := r.reads(t, "a.abc.com")
		if one.Worker == before.Worker {
			t.Fatal("there is no new worker")
		}
		if all := r.reads(t); one.Descriptors.Limit == 0 || one.Descriptors != all.Descriptors {
			t.Errorf("%+v read with one domain, %+v with all", one.Descriptors, all.Descriptors)
		}
	})
}
