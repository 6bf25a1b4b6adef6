package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// startEndless starts a host that answers with its name; an answer for /endless begins, and ends when end is called.
func startEndless(t *testing.T, name string) (h *host, end func()) {
	t.Helper()
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, name)
		if r.URL.Path != "/endless" {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-ended:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	end = sync.OnceFunc(func() { close(ended) })
	t.Cleanup(end)
	return &host{name: name, addr: server.Listener.Addr().String()}, end
}

// startSession begins a request for /endless, over HAProxy, and returns when the answer has begun.
func (b *box) startSession(t *testing.T, domain, server string) {
	t.Helper()
	c := harness.Client{Addr: b.web, Path: "/endless"}
	t.Cleanup(c.Close)
	resp, err := c.Send(domain, server, "close")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
}

// lease puts the two keys of a host on a lease of two seconds, the shortest that etcd grants, which nobody renews.
func (b *box) lease(t *testing.T, host, addr string) {
	t.Helper()
	world.etcd.writing.RLock()
	defer world.etcd.writing.RUnlock()
	lease, err := world.etcd.client.Grant(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	var ops []clientv3.Op
	for key, value := range addrOf(t, host, addr) {
		ops = append(ops, clientv3.OpPut(b.prefix+"/"+key, value, clientv3.WithLease(lease.ID)))
	}
	if _, err := world.etcd.client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
		t.Fatal(err)
	}
}

// expires waits until etcd has deleted the keys of a host, and returns when it saw that.
func (b *box) expires(t *testing.T, host string) time.Time {
	t.Helper()
	eventually(t, "the lease of "+host+" ends", func() error {
		got, err := world.etcd.client.Get(t.Context(), b.prefix+"/"+host+"/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err == nil && got.Count > 0 {
			err = fmt.Errorf("%d keys are there", got.Count)
		}
		return err
	})
	return time.Now()
}

// soonAfter fails the test where the servers' time to drain may have been waited for.
func soonAfter(t *testing.T, began time.Time) {
	t.Helper()
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s", took)
	}
}

// startLeased has an agent whose server on a lease has a session, and waits for the end of the lease.
func startLeased(t *testing.T, h haproxy) (b abc, a *agent, expired time.Time, end func()) {
	t.Helper()
	b, a = startFollowed(t, h, "--drain-timeout", "60s")
	endless, end := startEndless(t, "endless")
	b.lease(t, "a.abc.com/leased", endless.addr)
	b.comes(t, "a.abc.com", "leased", endless)
	b.startSession(t, "a.abc.com", "leased")
	expired = b.expires(t, "a.abc.com/leased")
	return b, a, expired, end
}

// TestAgentDoesNotDrainAHostWhoseLeaseEnds: a server that drains is still asked by those who have its cookie.
func TestAgentDoesNotDrainAHostWhoseLeaseEnds(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, a, expired, end := startLeased(t, h)
		eventually(t, "a request with the cookie of the host goes elsewhere", func() error {
			got, err := get(b.web, "a.abc.com", "leased")
			if err == nil && got.body != b.a1.name && got.body != b.a2.name {
				err = fmt.Errorf("got %s", got)
			}
			return err
		})
		soonAfter(t, expired)
		end()
		b.settles(t)
		b.managed(t, "a.abc.com server1="+b.a1.addr+" server2="+b.a2.addr, "b.abc.com server1="+b.b1.addr)
		a.ready(t)
	})
}
