package etcd

import (
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

func TestReportsWithoutALeaseAndHugeOnesHurtNobody(t *testing.T) {
	t.Parallel()
	at := started(t, etcds.other)
	etcd, prefix := writer(t, at), etcds.prefix()
	client := dial(t, Config{Endpoints: []string{at}, Prefix: "/s"})
	report := func(more string) string { return `{"version":1,"prefix":"/s","applied":7` + more + `}` }
	lease, err := etcd.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := etcd.Put(t.Context(), prefix+"/lives", report(""), clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	if _, err := etcd.Put(t.Context(), prefix+"/newer", `{"version":99}`, clientv3.WithLease(lease.ID)); err != nil {
		t.Fatal(err)
	}
	mustPut(t, etcd, prefix+"/forged", report(""))
	for i := range 90 { // 18 MB, more than an answer may have
		mustPut(t, etcd, fmt.Sprintf("%s/huge%02d", prefix, i), report(`,"reason":"`+strings.Repeat("x", 200_000)+`"`))
	}
	all, err := client.Agents(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Agents) != 1 || all.Agents[0].Name != "lives" || len(all.Problems) != 92 {
		t.Fatalf("%d agents, %d problems", len(all.Agents), len(all.Problems))
	}
	if len(all.Unreadable) != 1 || !strings.HasPrefix(all.Unreadable[0], "newer: an agent lives there, and its report cannot be read: ") {
		t.Errorf("have %q", all.Unreadable)
	}
	if p := all.Problems[0]; p.Key != prefix+"/forged" || !strings.Contains(p.Reason, "has no lease") || !strings.Contains(p.Reason, "`etcdctl del "+prefix+"/forged`") {
		t.Errorf("have %+v", p)
	}
}

// TestAReportOfALaterRevisionThanEtcdHasCountsForNothing reads the report of an agent that does not know yet that etcd was restored.
func TestAReportOfALaterRevisionThanEtcdHasCountsForNothing(t *testing.T) {
	t.Parallel()
	at := started(t, etcds.other)
	etcd, prefix := writer(t, at), etcds.prefix()
	client := dial(t, Config{Endpoints: []string{at}, Prefix: "/s"})
	lease, err := etcd.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	for name, revision := range map[string]int64{"knows": 1, "stale": 1 << 40} {
		report := fmt.Sprintf(`{"version":1,"prefix":"/s","heard":%[1]d,"applied":%[1]d,"reached":%[1]d}`, revision)
		if _, err := etcd.Put(t.Context(), prefix+"/"+name, report, clientv3.WithLease(lease.ID)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := client.Agents(t.Context(), prefix)
	if err != nil || len(all.Agents) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	if knows := all.Agents[0]; knows.Applied != 1 || knows.Reason != "" {
		t.Errorf("have %+v", knows)
	}
	if stale := all.Agents[1]; stale.Applied != 0 || stale.Reached != 0 || !strings.Contains(stale.Reason, "restored or replaced") {
		t.Errorf("have %+v", stale)
	}
}

func TestTheOtherNameOfAnAgentIsAName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", strings.Repeat("x", maxName)} {
		own := AnnounceConfig{Name: name}.ownName(clientv3.LeaseID(1<<63 - 1))
		if err := registry.CheckHost(own); err != nil || own == name {
			t.Errorf("%s: %v", own, err)
		}
	}
}
