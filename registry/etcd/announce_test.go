package etcd

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// TestAnAnnouncerKnowsItsKeyUnderAnEarlierLease has the key under a living lease of the announcer's own, as an etcd that was restored has
// it, and then under that of another agent.
func TestAnAnnouncerKnowsItsKeyUnderAnEarlierLease(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	conf := AnnounceConfig{Prefix: registry.DefaultReportPrefix + client.conf.Prefix, Name: "box1", TTL: time.Minute, Logger: slog.New(slog.DiscardHandler)}
	a := &announcer{client: client, conf: conf, leases: map[clientv3.LeaseID]bool{}, report: "{}"}
	for range 3 {
		if err := a.write(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.lease.drop()
		a.lease = lease{} // the next one is another
	}
	other, err := etcd.Grant(t.Context(), 60)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := etcd.Put(t.Context(), conf.key(), "{}", clientv3.WithLease(other.ID)); err != nil {
		t.Fatal(err)
	}
	if err := a.write(t.Context()); !errors.Is(err, errNameTaken) {
		t.Errorf("another agent has the key: %v", err)
	}
	a.lease.drop()
}
