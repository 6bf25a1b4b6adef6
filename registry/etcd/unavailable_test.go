package etcd

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/registrytest"
)

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// silentPort returns an address that accepts connections and never answers.
func silentPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// read dials, takes one snapshot and closes.
func read(ctx context.Context, conf Config) (registry.Snapshot, error) {
	client, err := New(conf)
	if err != nil {
		return registry.Snapshot{}, err
	}
	s, err := client.Snapshot(ctx)
	return s, errors.Join(err, client.Close())
}

// unavailable is a configuration and the error of a read; "..." separates the parts of the error.
type unavailable struct {
	conf Config
	want string
}

// wantUnavailable checks the errors, and that they come in time.
func wantUnavailable(t *testing.T, tests map[string]unavailable) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.conf.DialTimeout = cmp.Or(test.conf.DialTimeout, 2*time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			s, err := read(ctx, test.conf)
			if ctx.Err() != nil {
				t.Error("it has no end of its own")
			}
			wantError(t, err, "registry not reachable: ..."+test.want)
			if !errors.Is(err, registry.ErrUnavailable) || s.Revision != 0 {
				t.Errorf("have %+v and %v, want nothing and ErrUnavailable", s, err)
			}
			if strings.Contains(err.Error(), "s:cret") {
				t.Errorf("it tells the password: %v", err)
			}
		})
	}
}

func TestAnEtcdThatDoesNotAnswerIsUnavailableInTime(t *testing.T) {
	t.Parallel()
	closed, silent := closedPort(t), silentPort(t)
	wantUnavailable(t, map[string]unavailable{
		"nobody listens": {
			Config{Endpoints: []string{closed}},
			"etcd at http://" + closed + ": dial tcp " + closed + ": connect: connection refused: check that it runs there",
		},
		"nobody listens for the login": {
			Config{Endpoints: []string{closed}, User: "reader:s:cret"},
			"etcd at http://" + closed + ": dial tcp " + closed + ": connect: connection refused: check that it runs there",
		},
		"somebody listens and is silent": {
			Config{Endpoints: []string{silent}, DialTimeout: 300 * time.Millisecond}, "etcd at http://" + silent + ": no answer in time (dial timeout 300ms...check that it runs there",
		},
		"somebody is silent with TLS": {
			Config{Endpoints: []string{"https://" + silent}}, "etcd at https://" + silent + ": no answer in time",
		},
		"none of two is there": {
			Config{Endpoints: []string{closed, silent}}, "etcd at http://" + closed + ", http://" + silent + ": no answer in time",
		},
	})
}

func TestAnEtcdWithOtherCertificatesIsUnavailable(t *testing.T) {
	t.Parallel()
	plain, tls, path := started(t, etcds.plain), started(t, etcds.tls), etcds.path
	wantUnavailable(t, map[string]unavailable{
		"the CA is not the system's": {
			Config{Endpoints: []string{tls}}, "certificate signed by unknown authority: give the CA certificate that has signed its certificate",
		},
		"the CA is another": {
			Config{Endpoints: []string{tls}, CACert: path("other-ca.crt")}, "certificate signed by unknown authority: give the CA certificate",
		},
		"the name is not in the certificate": {
			Config{Endpoints: []string{strings.Replace(tls, "127.0.0.1", "localhost", 1)}, CACert: path("ca.crt")},
			"x509: certificate is not valid for any names, but wanted to match localhost: ...endpoints by the names in it",
		},
		"the client has no certificate": {
			Config{Endpoints: []string{tls}, CACert: path("ca.crt")}, "it seems not to accept the client certificate: give one that its CA has signed",
		},
		"the client has a certificate of another CA": {
			Config{Endpoints: []string{tls}, CACert: path("ca.crt"), Cert: path("other-client.crt"), Key: path("other-client.key")},
			"it seems not to accept the client certificate",
		},
		"the certificate of the client has expired": {
			Config{Endpoints: []string{tls}, CACert: path("ca.crt"), Cert: path("expired-client.crt"), Key: path("expired-client.key")},
			"the client certificate " + path("expired-client.crt") + " expired on " + time.Now().UTC().Format("2006-") + "...: renew it",
		},
		"the certificate of the client is not valid yet": {
			Config{Endpoints: []string{tls}, CACert: path("ca.crt"), Cert: path("early-client.crt"), Key: path("early-client.key")},
			"the client certificate " + path("early-client.crt") + " is not valid before ...: check the clock of this machine",
		},
		"it has no TLS": {
			Config{Endpoints: []string{strings.TrimPrefix(plain, "http://")}, CACert: path("ca.crt")}, "it seems to have no TLS there: write http://",
		},
		"it has TLS": {
			Config{Endpoints: []string{strings.Replace(tls, "https:", "http:", 1)}}, "it does not speak etcd's protocol there: ...write https:// if it has TLS",
		},
	})
}

func TestAnEtcdThatRefusesTheUserIsUnavailable(t *testing.T) {
	t.Parallel()
	const login = 5 * time.Second // costs etcd some time
	auth := started(t, etcds.auth)
	wantUnavailable(t, map[string]unavailable{
		"the password is wrong": {
			Config{Endpoints: []string{auth}, User: "reader:wrong", DialTimeout: login}, `it refuses user "reader" or the password`,
		},
		"no user is given": {
			Config{Endpoints: []string{auth}, DialTimeout: login}, "it wants a user and a password",
		},
		"the user may not read the prefix": {
			Config{Endpoints: []string{auth}, User: "reader:s:cret", Prefix: "/services/web2", DialTimeout: login},
			`user "reader" may not read /services/web2/: grant it with...read /services/web2/ --prefix`,
		},
	})
}

func TestAMemberWithoutALeaderIsUnavailable(t *testing.T) {
	t.Parallel()
	first, stopOther := startPair(t)
	at := first.Clients[0].Addr().String()
	client := dial(t, Config{Endpoints: []string{at}})
	snapshot(t, client)
	stopOther()
	_, err := client.Snapshot(t.Context())
	wantError(t, err, "registry not reachable: etcd at http://"+at+": it has no leader: check that more than half of its members run")
}

func TestEachFurtherPageHasTheRequestTimeout(t *testing.T) {
	t.Parallel()
	at, prefix := started(t, etcds.plain), etcds.prefix()
	if _, err := hosts(t.Context(), writer(t, at), prefix, 20, 1); err != nil {
		t.Fatal(err)
	}
	client := dial(t, Config{Endpoints: []string{at}, Prefix: prefix, PageSize: 7, DialTimeout: time.Hour, RequestTimeout: 50 * time.Millisecond})
	kv := &hookedKV{hook: func(ctx context.Context, read int) error {
		if read == 1 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}}
	client.wrapped = kv.on
	_, err := client.Snapshot(t.Context())
	wantError(t, err, "registry not reachable: ...no answer in time (dial timeout 1h0m0s, request timeout 50ms)")
	if !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("not ErrUnavailable: %v", err)
	}
}

func TestAnInterruptIsNoUnavailableEtcd(t *testing.T) {
	t.Parallel()
	silent := silentPort(t)
	for name, conf := range map[string]Config{
		"in the first request": {Endpoints: []string{silent}},
		"in the login":         {Endpoints: []string{silent}, User: "u:p"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			conf.DialTimeout = time.Hour
			timer := time.AfterFunc(20*time.Millisecond, cancel)
			defer timer.Stop()
			_, err := read(ctx, conf)
			if !errors.Is(err, context.Canceled) || errors.Is(err, registry.ErrUnavailable) {
				t.Errorf("have %v, want the error of the context", err)
			}
		})
	}
}

func TestTLSWithAClientCertificate(t *testing.T) {
	t.Parallel()
	at, path := started(t, etcds.tls), etcds.path
	conf := Config{Endpoints: []string{strings.TrimPrefix(at, "https://")}, CACert: path("ca.crt"), Cert: path("client.crt"), Key: path("client.key")}
	if s, err := read(t.Context(), conf); err != nil || s.Revision == 0 {
		t.Errorf("have %+v, %v", s, err)
	}
}

func TestAUserThatMayReadThePrefixAndNothingElse(t *testing.T) {
	t.Parallel()
	at := started(t, etcds.auth)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("s:cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, conf := range map[string]Config{
		"with a password file":       {User: "reader", PasswordFile: file},
		"with a password":            {User: "reader", Password: "s:cret"},
		"with a name and password":   {User: "reader:s:cret"},
		"with a slash in the prefix": {User: "reader:s:cret", Prefix: "/services/web/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf.Endpoints = []string{at}
			s, err := read(t.Context(), conf)
			if err != nil {
				t.Fatal(err)
			}
			want := "a.abc.com\n  server1 10.0.0.1:10000 weight=1 maxconn=0 backup=false ready\n"
			if have := registrytest.Describe(s.Domains, s.Problems); have != want {
				t.Errorf("have\n%swant\n%s", have, want)
			}
		})
	}
}

func TestAUserWhereEtcdAsksForNoneIsPassedOver(t *testing.T) {
	t.Parallel()
	if _, err := read(t.Context(), Config{Endpoints: []string{started(t, etcds.plain)}, User: "u:p"}); err != nil {
		t.Error(err)
	}
}
