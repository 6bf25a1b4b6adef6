package runtimeapi

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	fuzzState = NoHealth + "4 b 1 s1 127.0.0.1 0 1 1 1 4 8 2 0 6 0 0 0 - 1 - 0 0 - - 0\n4 b 2 s2 - 2 32 256 1 4 8 2 0 6 0 0 0 h.example 1 - 0 0 - - 0\n\n"
	fuzzStat  = "# pxname,svname,scur,slim,bck,status,type,cookie,mode,algo\nb,s1,1,,1,\"a \"\"b\"\",\nc\",2,x,http,\nb,BACKEND,0,,0,UP,1,ID,http,roundrobin\n\n"
)

func FuzzStat(f *testing.F) {
	f.Add([]byte(fuzzStat))
	f.Add([]byte("No such proxy.\n\n"))
	f.Fuzz(func(t *testing.T, reply []byte) {
		readAnything(t, append([]byte(fuzzState), reply...))
	})
}

func FuzzServersState(f *testing.F) {
	f.Add([]byte(fuzzState))
	f.Add([]byte("Can't find backend.\n\n"))
	f.Fuzz(func(t *testing.T, reply []byte) {
		readAnything(t, append(bytes.Clone(reply), fuzzStat...))
		keep := func(string, string, netip.AddrPort, bool) bool { return true }
		out := Health(reply, nil, keep)
		if again := Health(out, nil, keep); !bytes.Equal(out, again) {
			t.Errorf("%q becomes %q, and that %q", reply, out, again)
		}
	})
}

// readAnything reads any text as a reply: the result is complete and sorted, or an error.
func readAnything(t *testing.T, reply []byte) {
	t.Helper()
	l := newLiveReader(nil)
	if err := l.read(bytes.NewReader(reply), 2); err != nil {
		return
	}
	backends := l.result()
	if !slices.IsSortedFunc(backends, func(b, c Backend) int { return strings.Compare(b.Name, c.Name) }) {
		t.Errorf("%q: backends are not sorted", reply)
	}
	for _, b := range backends {
		for _, s := range b.Servers {
			if s.Status == "" || s.Weight < 0 || s.MaxConn < 0 || s.Sessions < 0 {
				t.Errorf("%q: server %+v", reply, s)
			}
		}
	}
}

func FuzzInfo(f *testing.F) {
	f.Add("Name: HAProxy\nVersion: 3.0.11-1\nPid: 5\nUptime_sec: 4\nUlimit-n: 20\nMaxsock: 20\nStart_time_sec: 1795378207\n\n")
	f.Fuzz(func(t *testing.T, reply string) {
		w, err := parseInfo(reply, time.Unix(2_000_000_000, 0))
		if err == nil && (w.Pid <= 0 || !strings.HasSuffix(reply, "\n\n")) {
			t.Errorf("%q is read as %+v", reply, w)
		}
	})
}

func FuzzProcs(f *testing.F) {
	f.Add("#<PID> <type> <reloads> <uptime> <version>\n10 master 3 [failed: 2] 0d 2.6\n# workers\n11 worker 2 0d 2.6\n# old workers\n12 worker 5 0d 2.6\n\n")
	f.Fuzz(func(t *testing.T, reply string) {
		if p, err := parseProcs(reply); err == nil && p.Master <= 0 {
			t.Errorf("%q is read as %+v", reply, p)
		}
	})
}
