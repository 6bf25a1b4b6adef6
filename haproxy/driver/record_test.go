package driver

import (
	"path/filepath"
	"testing"
	"time"

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
	agent.drop(b)
	of(&sync, a, c)
	add(&sync, b)
	of(&agent, a, b, c)
}
