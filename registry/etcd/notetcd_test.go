package etcd

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// startWeb returns the URL of a web server with HTTP/2 that answers each request in the same way.
func startWeb(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: answer, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute}
	web.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = web.Serve(l)
	}()
	t.Cleanup(func() {
		_ = web.Close()
		<-ended
	})
	return "http://" + l.Addr().String()
}

// startOther returns the URL of a gRPC server without any service.
func startOther(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, ended := grpc.NewServer(), make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-ended
	})
	return "http://" + l.Addr().String()
}

// strangers are endpoints that are not etcd, and what is said of them.
func strangers(t *testing.T) map[string]string {
	t.Helper()
	said := map[string]string{
		startOther(t): "unknown service etcdserverpb",
		startWeb(t, func(http.ResponseWriter, *http.Request) {}): "missing HTTP content-type",
		startWeb(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<html>"))
		}): "received unexpected content-type",
	}
	for _, code := range []int{401, 404, 503} {
		at := startWeb(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		said[at] = fmt.Sprintf("unexpected HTTP status code received from server: %d", code)
	}
	return said
}

func TestAnEndpointThatIsNotEtcdIsPassedOver(t *testing.T) {
	t.Parallel()
	good := started(t, etcds.plain)
	for other, said := range strangers(t) {
		t.Run(said, func(t *testing.T) {
			t.Parallel()
			client := dial(t, Config{Endpoints: []string{other, good}, Prefix: etcds.prefix(), DialTimeout: 2 * time.Second})
			for range 10 {
				snapshot(t, client)
			}
			f := follow(t, dial(t, Config{Endpoints: client.conf.Endpoints, Prefix: client.conf.Prefix}))
			conf := server1()
			conf.TTL = 2 * time.Second
			g := register(t, client, writer(t, good), conf)
			lease := g.comes(t, ready)
			f.sameAsSnapshot(t)
			over := time.After(2 * conf.TTL)
			<-over
			if now := g.comes(t, ready); now != lease {
				t.Errorf("the lease is %x, then %x: it was not kept alive", lease, now)
			}
			for weight := range 4 {
				if _, err := client.SetHost(t.Context(), "a.abc.com", "server1", "weight", fmt.Sprint(7+weight)); err != nil {
					t.Error(err)
				}
			}
			g.leave(t, 10*time.Millisecond)
			if keys, _ := g.keys(t); keys != "" {
				t.Errorf("there are keys: %s", keys)
			}
			f.sameAsSnapshot(t)
			if _, lost := f.all(); len(lost) > 0 {
				t.Errorf("etcd was lost: %v", lost)
			}
			members := client.Members(t.Context())
			wantError(t, members[0].Err, said+"...: it is not etcd that answers there: check the port")
			if members[1].Err != nil {
				t.Errorf("etcd is %+v", members[1])
			}
			_, err := read(t.Context(), Config{Endpoints: []string{other}, DialTimeout: time.Second})
			if strings.Contains(err.Error()+members[0].Err.Error(), "<html>") {
				t.Errorf("it has the page: %v, %v", err, members[0].Err)
			}
			wantError(t, err, "registry not reachable: etcd at "+other+": ..."+said+"...: it is not etcd that answers there")
		})
	}
}
