package driver

import (
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

func TestARecordOfDomainsIsThatOfOneWorker(t *testing.T) {
	t.Parallel()
	managed := filepath.Join(t.TempDir(), "hapsync.cfg")
	w := runtimeapi.Worker{Pid: 17, Started: time.Unix(1700000000, 0)}
	sticky := haproxy.BackendOptions{Balance: "roundrobin", Cookie: haproxy.StickyCookie}
	agent, sync := newDomainRecord(managed), newDomainRecord(managed)
	has := func(r *domainRecord, w runtimeapi.Worker, added map[string]haproxy.BackendOptions, unpublished map[string]bool) {
		t.Helper()
		if err := r.of(w); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(r.added, added) || !maps.Equal(r.unpublished, unpublished) {
			t.Errorf("have %v and %v, want %v and %v", r.added, r.unpublished, added, unpublished)
		}
	}
	change := func(r *domainRecord, f func()) {
		t.Helper()
		if err := r.change(f); err != nil {
			t.Fatal(err)
		}
	}
	has(&agent, w, nil, nil)
	has(&sync, w, nil, nil)
	change(&agent, func() { agent.added["a.abc.com_cluster"] = sticky })
	change(&sync, func() {
		sync.added["b_cluster"], sync.unpublished["c_cluster"] = haproxy.BackendOptions{Balance: "first"}, true
	})
	all := map[string]haproxy.BackendOptions{"a.abc.com_cluster": sticky, "b_cluster": {Balance: "first"}}
	has(&agent, w, all, map[string]bool{"c_cluster": true})
	change(&agent, func() { delete(agent.added, "a.abc.com_cluster"); delete(agent.unpublished, "c_cluster") })
	has(&sync, w, map[string]haproxy.BackendOptions{"b_cluster": {Balance: "first"}}, nil)
	other := runtimeapi.Worker{Pid: 18, Started: time.Unix(1700000100, 0)}
	has(&sync, other, nil, nil)
	change(&sync, func() { sync.unpublished["b_cluster"] = true })
	has(&agent, other, nil, map[string]bool{"b_cluster": true})
}
