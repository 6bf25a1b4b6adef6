package registrar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
	"github.com/hapsync/hapsync/registry/etcd/etcdtest"
	"github.com/hapsync/hapsync/registry/health"
)

// start returns a configuration of server1 of a.abc.com in an etcd of its own.
func start(t *testing.T) (*embed.Etcd, Config) {
	t.Helper()
	server, at := etcdtest.Start(t)
	client, err := etcd.New(etcd.Config{Endpoints: []string{at}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return server, Config{
		Client: client, Domain: "a.abc.com", Host: registry.Host{Name: "server1", Addr: netip.MustParseAddrPort("10.0.0.1:80"), Weight: 1},
		TTL: 10 * time.Second, Logger: slog.New(slog.DiscardHandler),
	}
}

// run runs a registrar; ended has what Run returned.
func run(t *testing.T, conf Config, with func(context.Context, *Registrar) error) (r *Registrar, stop func(), ended chan error) {
	t.Helper()
	r, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	ended = make(chan error, 1)
	go func() { ended <- with(ctx, r) }()
	return r, cancel, ended
}

func alone(ctx context.Context, r *Registrar) error { return r.Run(ctx, context.WithoutCancel(ctx)) }

// has waits until the registry has the host in a state; "" for not at all.
func has(t *testing.T, conf Config, state registry.HostState) {
	t.Helper()
	deadline, poll := time.After(30*time.Second), time.NewTicker(5*time.Millisecond)
	defer poll.Stop()
	for {
		s, err := conf.Client.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got registry.HostState
		if len(s.Domains) == 1 && len(s.Domains[0].Hosts) == 1 {
			got = s.Domains[0].Hosts[0].State
		}
		if got == state {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("the host is %q, want %q", got, state)
		case <-poll.C:
		}
	}
}

func ends(t *testing.T, ended chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
	return nil
}

func TestAHostIsRegisteredWhileItsCheckIsGoodAndItsStateSaysReady(t *testing.T) {
	t.Parallel()
	_, conf := start(t)
	var good atomic.Bool
	asked := make(chan struct{}, 1)
	conf.Check = &health.Check{Interval: time.Millisecond, Timeout: time.Second, Rise: 1, Fall: 1, Probe: func(context.Context) error {
		select {
		case asked <- struct{}{}:
		default:
		}
		if good.Load() {
			return nil
		}
		return errors.New("bad")
	}}
	r, stop, ended := run(t, conf, alone)
	<-asked
	<-asked
	has(t, conf, "")
	good.Store(true)
	has(t, conf, registry.Ready)
	r.SetState(registry.Maint)
	has(t, conf, registry.Maint)
	r.SetState(registry.Ready)
	has(t, conf, registry.Ready)
	good.Store(false)
	has(t, conf, registry.Maint)
	stop()
	if err := ends(t, ended); err != nil {
		t.Error(err)
	}
	has(t, conf, "")
}

func TestAHostThatIsNotConfirmedIsTakenOutAgain(t *testing.T) {
	t.Parallel()
	_, conf := start(t)
	confirmed := errors.New("not in effect")
	conf.Confirm = func(_ context.Context, at registry.Revision) error {
		if at == 0 {
			return errors.New("no revision")
		}
		has(t, conf, registry.Ready)
		return confirmed
	}
	_, _, ended := run(t, conf, alone)
	if err := ends(t, ended); !errors.Is(err, confirmed) {
		t.Errorf("have %v", err)
	}
	has(t, conf, "")
}

func TestANameOfAnotherIsAnErrorOrWaitedFor(t *testing.T) {
	t.Parallel()
	server, conf := start(t)
	etcdtest.PutHost(t, server, "a.abc.com/server1", "10.9.9.9:1")
	_, _, ended := run(t, conf, alone)
	var held *etcd.HeldError
	if err := ends(t, ended); !errors.As(err, &held) || held.Addr != "10.9.9.9:1" {
		t.Errorf("have %v", err)
	}
	conf.Patient = true
	_, stop, ended := run(t, conf, alone)
	if _, _, err := conf.Client.Deregister(t.Context(), "a.abc.com", "server1", 0); err != nil {
		t.Fatal(err)
	}
	has(t, conf, registry.Ready)
	stop()
	if err := ends(t, ended); err != nil {
		t.Error(err)
	}
}

func TestAHostLeavesAtOnceWhenItIsHurried(t *testing.T) {
	t.Parallel()
	_, conf := start(t)
	conf.Drain = time.Hour
	alive, hurry := context.WithCancel(context.Background())
	defer hurry()
	_, stop, ended := run(t, conf, func(ctx context.Context, r *Registrar) error { return r.Run(ctx, alive) })
	has(t, conf, registry.Ready)
	stop()
	has(t, conf, registry.Drain)
	hurry()
	if err := ends(t, ended); err != nil {
		t.Error(err)
	}
	has(t, conf, "")
}

func TestACommandThatEndsTakesItsHostAlongAndItsCodeCounts(t *testing.T) {
	_, conf := start(t)
	conf.Drain = time.Hour
	dir := t.TempDir()
	child, err := Start([]string{"/bin/sh", "-c", fmt.Sprintf("until [ -e %s/go ]; do sleep 0.01; done; exit 7", dir)}, new(bytes.Buffer), new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	_, _, ended := run(t, conf, func(ctx context.Context, r *Registrar) error { return r.RunWith(ctx, child) })
	has(t, conf, registry.Ready)
	touch, err := Start([]string{"/bin/sh", "-c", ": > " + dir + "/go"}, new(bytes.Buffer), new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	<-touch.exited
	var code ChildError
	if err := ends(t, ended); !errors.As(err, &code) || code.Code != 7 {
		t.Errorf("have %v", err)
	}
	has(t, conf, "")
	if _, err := Start([]string{"/no/such/program"}, nil, nil); !errors.As(err, &code) || code.Code != 127 || !strings.Contains(err.Error(), "start the command") {
		t.Errorf("have %v", err)
	}
}
