package driver

import (
	"errors"
	"maps"
	"path/filepath"
	"strings"
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
	agent, sync := newDomainRecord(managed, new(runtimeapi.Names)), newDomainRecord(managed, new(runtimeapi.Names))
	has := func(r *domainRecord, w runtimeapi.Worker, added map[string]addedBackend, unpublished map[string]bool) {
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
	change(&agent, func() { agent.added["a.abc.com_cluster"] = addedBackend{options: sticky} })
	change(&sync, func() {
		sync.added["b_cluster"], sync.unpublished["c_cluster"] = addedBackend{options: haproxy.BackendOptions{Balance: "first"}}, true
	})
	all := map[string]addedBackend{"a.abc.com_cluster": {options: sticky}, "b_cluster": {options: haproxy.BackendOptions{Balance: "first"}}}
	has(&agent, w, all, map[string]bool{"c_cluster": true})
	change(&agent, func() { delete(agent.added, "a.abc.com_cluster"); delete(agent.unpublished, "c_cluster") })
	has(&sync, w, map[string]addedBackend{"b_cluster": {options: haproxy.BackendOptions{Balance: "first"}}}, nil)
	other := runtimeapi.Worker{Pid: 18, Started: time.Unix(1700000100, 0)}
	has(&sync, other, nil, nil)
	change(&sync, func() { sync.unpublished["b_cluster"] = true })
	has(&agent, other, nil, map[string]bool{"b_cluster": true})
}

func TestARecordTellsTheSpareBackendsOfDomains(t *testing.T) {
	t.Parallel()
	managed := filepath.Join(t.TempDir(), "hapsync.cfg")
	w := runtimeapi.Worker{Pid: 17, Started: time.Unix(1700000000, 0)}
	first := newDomainRecord(managed, new(runtimeapi.Names))
	if err := first.of(w); err != nil {
		t.Fatal(err)
	}
	cookieless := addedBackend{options: haproxy.BackendOptions{Balance: "roundrobin"}, spare: "hapsync-spare-2"}
	if err := first.change(func() { first.added["a_cluster"], first.added["b_cluster"] = cookieless, addedBackend{} }); err != nil {
		t.Fatal(err)
	}
	again := newDomainRecord(managed, new(runtimeapi.Names)) // of a hapsync that has not seen the worker yet
	if err := again.refresh(); err != nil {
		t.Fatal(err)
	}
	if want := map[string]addedBackend{"a_cluster": cookieless, "b_cluster": {}}; !maps.Equal(again.added, want) || !again.worker.Same(w) {
		t.Errorf("have %v of %v, want %v", again.added, again.worker, want)
	}
	if err := first.change(func() { delete(first.added, "a_cluster") }); err != nil {
		t.Fatal(err)
	}
	if err := again.refresh(); err != nil || len(again.spares()) > 0 {
		t.Errorf("%v, %v", again.added, err)
	}
}

func TestAStoppedHapsyncDoesNotKeepTheRecordForEver(t *testing.T) {
	t.Parallel()
	managed := filepath.Join(t.TempDir(), "hapsync.cfg")
	r := newDomainRecord(managed, new(runtimeapi.Names))
	unlock, err := lockRecord(r.path+".lock", managed)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.change(func() {}); err == nil || !strings.Contains(err.Error(), ".lock: another hapsync holds it") {
		t.Errorf("%v", err)
	}
	if err := errors.Join(unlock(), r.change(func() {})); err != nil {
		t.Error(err)
	}
}

func TestASpareBackendThatAnotherHapsyncHasGivenAwayIsLost(t *testing.T) {
	t.Parallel()
	managed := filepath.Join(t.TempDir(), "hapsync.cfg")
	w := runtimeapi.Worker{Pid: 17, Started: time.Unix(1700000000, 0)}
	names := new(runtimeapi.Names)
	sync, agent := newDomainRecord(managed, names), newDomainRecord(managed, new(runtimeapi.Names))
	in := func(number int) addedBackend { return addedBackend{spare: haproxy.SpareName(number)} }
	err := errors.Join(sync.of(w), agent.of(w), sync.change(func() {
		sync.added["a_cluster"], sync.added["b_cluster"], sync.added["c_cluster"], sync.added["d_cluster"] = in(1), in(2), in(3), addedBackend{}
	}))
	claimed := sync.spares()
	if lost, again := sync.lost(w, claimed); err != nil || again != nil || len(lost) > 0 {
		t.Fatalf("%v, %v, %v", err, again, lost)
	}
	if err := agent.change(func() {
		delete(agent.added, "a_cluster")
		agent.added["x_cluster"], agent.added["b_cluster"] = in(1), in(4)
	}); err != nil {
		t.Fatal(err)
	}
	lost, err := sync.lost(w, claimed)
	if err != nil || len(lost) != 2 || lost["a_cluster"] == "" || lost["b_cluster"] == "" {
		t.Errorf("lost are %v, %v", lost, err)
	}
}
