package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// startEndless starts a host that answers with its name; an answer for /endless begins, and does not end before the test.
func startEndless(t *testing.T, name string) *host {
	t.Helper()
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, name)
		if r.URL.Path != "/endless" {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-end:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(end) })
	return &host{name: name, addr: server.Listener.Addr().String()}
}

// startSession begins a request that does not end before the client does, over HAProxy, and returns when the answer has
// begun.
func (b *box) startSession(t *testing.T, domain, server string) (end func()) {
	t.Helper()
	conn, err := net.Dial("tcp", b.web)
	if err != nil {
		t.Fatal(err)
	}
	c := new(client)
	c.take(conn)
	t.Cleanup(c.close)
	resp, err := c.send("/endless", domain, server, "close")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return c.close
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

func TestAgentRemovesAHostWhoseLeaseEndsWithoutADrain(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, a := startFollowed(t, h, "--drain-timeout", "60s")
		endless := startEndless(t, "endless")
		b.lease(t, "a.abc.com/leased", endless.addr)
		b.comes(t, "a.abc.com", "leased", endless)
		b.startSession(t, "a.abc.com", "leased")

		expired := b.expires(t, "a.abc.com/leased")
		const most = 3 * time.Second
		eventually(t, "the server is gone", func() error {
			reply, err := b.runtime("show servers state a.abc.com_cluster")
			if err == nil && strings.Contains(reply, " leased ") {
				err = fmt.Errorf("after %s it is there:\n%s", time.Since(expired), reply)
			}
			return err
		})
		if took := time.Since(expired); took > most {
			t.Errorf("it took %s, want %s at most", took, most)
		}
		b.comes(t, "a.abc.com", "server1", b.a1)
		b.settles(t)
		b.managed(t, "a.abc.com server1="+b.a1.addr+" server2="+b.a2.addr, "b.abc.com server1="+b.b1.addr)
		a.ready(t)
	})
}
