package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// A registered is a registration at work.
type registered struct {
	*Registration
	etcd *clientv3.Client // to look with
	stop context.CancelFunc
	done chan struct{} // closed when Run has returned
	err  error         // what it returned
}

// server1 is a host of a.abc.com.
func server1() RegistrationConfig {
	return RegistrationConfig{
		Domain: "a.abc.com",
		Host: registry.Host{Name: "server1", Addr: netip.MustParseAddrPort("10.0.0.1:10000"), Weight: 1,
			Unset: registry.Unset{Weight: true, MaxConn: true, Backup: true}},
		TTL: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
	}
}

// register starts a registration and does not wait for anything.
func register(t *testing.T, client *Client, etcd *clientv3.Client, conf RegistrationConfig) *registered {
	t.Helper()
	r, err := client.NewRegistration(conf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	g := &registered{Registration: r, etcd: etcd, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(g.done)
		g.err = r.Run(ctx)
	}()
	t.Cleanup(func() { g.end() })
	return g
}

func (g *registered) end() {
	g.stop()
	<-g.done
}

// refused is the error that ended the registration.
func (g *registered) refused() error {
	select {
	case <-g.done:
		return g.err
	case <-time.After(30 * time.Second):
		return errors.New("nothing: it goes on")
	}
}

// leave ends the registration, like a process that gets SIGTERM.
func (g *registered) leave(t *testing.T, drain time.Duration) {
	t.Helper()
	g.end()
	if err := g.Leave(t.Context(), drain); err != nil {
		t.Error(err)
	}
}

// onEtcd is a client with its own prefix, and etcd's own client.
func onEtcd(t *testing.T) (*Client, *clientv3.Client) {
	t.Helper()
	at := started(t, etcds.plain)
	return dial(t, Config{Endpoints: []string{at}, Prefix: etcds.prefix()}), writer(t, at)
}

// keys are the keys of the host as text, and their leases, each once.
func (g *registered) keys(t *testing.T) (text string, leases []int64) {
	t.Helper()
	page, err := g.etcd.Get(t.Context(), g.path, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, kv := range page.Kvs {
		words = append(words, strings.TrimPrefix(strings.TrimPrefix(string(kv.Key), g.path), "/")+"="+string(kv.Value))
		leases = append(leases, kv.Lease)
	}
	slices.Sort(leases)
	return strings.Join(words, " "), slices.Compact(leases)
}

// until polls.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline, poll := time.After(30*time.Second), time.NewTicker(5*time.Millisecond)
	defer poll.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		case <-poll.C:
		}
	}
}

// comes waits for the keys, and returns their lease.
func (g *registered) comes(t *testing.T, want string) int64 {
	t.Helper()
	var lease int64
	until(t, "the keys are "+want, func() bool {
		got, leases := g.keys(t)
		if got == want && len(leases) == 1 {
			lease = leases[0]
		}
		return got == want
	})
	return lease
}

func (g *registered) revoke(t *testing.T, lease int64) {
	t.Helper()
	if _, err := g.etcd.Revoke(t.Context(), clientv3.LeaseID(lease)); err != nil {
		t.Fatal(err)
	}
}

const ready = "ip=10.0.0.1 port=10000 state=ready"

func TestRegistrationWritesAllKeysInOneTransactionUnderOneLease(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	conf := server1()
	conf.Domain, conf.Host.Weight, conf.Host.MaxConn, conf.Host.Backup, conf.Host.Unset = "A.abc.com", 7, 50, true, registry.Unset{}
	g := register(t, client, etcd, conf)
	lease := g.comes(t, "backup=true ip=10.0.0.1 maxconn=50 port=10000 state=ready weight=7")
	if lease == 0 {
		t.Error("the keys are not under one lease")
	}
	page, err := etcd.Get(t.Context(), g.path, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range page.Kvs {
		if kv.CreateRevision != page.Kvs[0].CreateRevision || kv.Version != 1 {
			t.Errorf("%s was written apart from %s, or more than once", kv.Key, page.Kvs[0].Key)
		}
	}
	want := registry.Host{Name: "server1", Addr: conf.Host.Addr, Weight: 7, MaxConn: 50, Backup: true, State: registry.Ready}
	if s := snapshot(t, client); len(s.Domains) != 1 || s.Domains[0].Name != "a.abc.com" || !slices.Equal(s.Domains[0].Hosts, []registry.Host{want}) {
		t.Errorf("the registry has %+v", s.Domains)
	}
}

func TestRegistrationKeepsItsLeaseAlive(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	g := register(t, client, etcd, server1())
	lease := g.comes(t, ready)
	over := time.After(2 * server1().TTL)
	<-over
	if still := g.comes(t, ready); still != lease {
		t.Errorf("lease %x, and then %x", lease, still)
	}
}

func TestRegistrationFollowsALostLeaseWithANewOne(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	g := register(t, client, etcd, server1())
	for range 3 {
		lease := g.comes(t, ready)
		g.revoke(t, lease)
		until(t, "there is a new lease", func() bool {
			got, leases := g.keys(t)
			return got == ready && len(leases) == 1 && leases[0] != lease
		})
	}
}

func TestRegistrationPutsDeletedKeysBack(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	g := register(t, client, etcd, server1())
	for _, attribute := range []string{"", "ip", "port"} {
		g.comes(t, ready)
		if _, err := etcd.Delete(t.Context(), g.path+"/"+attribute, clientv3.WithPrefix()); err != nil {
			t.Fatal(err)
		}
		g.comes(t, ready)
	}
}

func TestRegistrationComesBackAfterAnOutageThatIsLongerThanTheLease(t *testing.T) {
	t.Parallel()
	at := started(t, etcds.plain)
	w, etcd := newWire(t, at), writer(t, at)
	client := dial(t, Config{Endpoints: []string{w.at}, Prefix: etcds.prefix(), DialTimeout: time.Second})
	g := register(t, client, etcd, server1())
	lease := g.comes(t, ready)
	w.set(true)
	g.comes(t, "")
	w.set(false)
	if again := g.comes(t, ready); again == lease || again == 0 {
		t.Errorf("lease %x, and then %x", lease, again)
	}
}

func TestRegistrationWaitsForANameThatAnotherTookMeanwhile(t *testing.T) {
	t.Parallel()
	at := started(t, etcds.plain)
	w, etcd := newWire(t, at), writer(t, at)
	conf := Config{Endpoints: []string{w.at}, Prefix: etcds.prefix(), DialTimeout: time.Second}
	mine := server1()
	mine.Replace = true // is for the start
	begun := make(chan struct{})
	mine.Registered = func(registry.Revision) { close(begun) }
	g := register(t, dial(t, conf), etcd, mine)
	g.comes(t, ready)
	<-begun // it knows that its start is over: an answer that is lost on the way would leave it in the start
	w.set(true)
	g.comes(t, "")
	conf.Endpoints = []string{at}
	theirs := server1()
	theirs.Host.Addr = netip.MustParseAddrPort("10.0.0.2:10000")
	theirs.TTL = time.Minute // a busy machine does not end it
	const other = "ip=10.0.0.2 port=10000 state=ready"
	o := register(t, dial(t, conf), etcd, theirs)
	lease := o.comes(t, other)
	w.set(false)
	until(t, "the first has seen that", func() bool {
		_, err := g.client.Snapshot(t.Context())
		return err == nil
	})
	over := time.After(time.Second)
	<-over
	if still := o.comes(t, other); still != lease {
		t.Error("the name was taken back")
	}
	o.leave(t, 0)
	g.comes(t, ready)
}

func TestRegistrationOfATakenNameIsRefused(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	g := register(t, client, etcd, server1())
	lease := g.comes(t, ready)
	theirs := server1()
	theirs.Host.Addr = netip.MustParseAddrPort("10.0.0.2:10000")

	err := register(t, client, etcd, theirs).refused()
	var held *HeldError
	if !errors.As(err, &held) || held.Lease != lease || held.Left <= 0 || held.Addr != "10.0.0.1:10000" {
		t.Fatalf("got %v, want a HeldError with lease %x", err, lease)
	}
	if text := err.Error(); !strings.Contains(text, fmt.Sprintf("lease %x", lease)) || !strings.Contains(text, "a.abc.com/server1") {
		t.Error(text)
	}
	g.comes(t, ready)

	theirs.Replace = true
	o := register(t, client, etcd, theirs)
	if taken := o.comes(t, "ip=10.0.0.2 port=10000 state=ready"); taken == lease {
		t.Error("the lease is the old one")
	}
}

func TestRegistrationOfANameWithoutALeaseIsRefused(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	const by = "ip=10.0.0.9 port=9 weight=3"
	put(t, etcd, client.conf.Prefix, "/a.abc.com/server1/ip 10.0.0.9\n/a.abc.com/server1/port 9\n/a.abc.com/server1/weight 3")
	g := register(t, client, etcd, server1())
	var held *HeldError
	if err := g.refused(); !errors.As(err, &held) || held.Lease != 0 || !strings.Contains(err.Error(), "no lease") {
		t.Fatalf("got %v", err)
	}
	g.comes(t, by)
	conf := server1()
	conf.Replace = true
	register(t, client, etcd, conf).comes(t, ready)
}

func TestRegistrationLeavesWithItsKeysBeforeItsLease(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	conf := server1()
	conf.TTL = 5 * time.Second // a busy machine keeps it alive
	g := register(t, client, etcd, conf)
	lease := g.comes(t, ready)
	var expired []string
	states, ctx := make(chan string, 100), t.Context()
	go func() {
		_ = client.Follow(ctx, func(u registry.Update) {
			expired = append(expired, u.Expired...)
			state := "gone"
			if len(u.Snapshot.Domains) > 0 {
				state = string(u.Snapshot.Domains[0].Hosts[0].State)
			}
			states <- state
		}, func(error) {})
	}()
	if state := <-states; state != "ready" {
		t.Fatal(state)
	}
	began := time.Now()
	left := make(chan struct{})
	go func() {
		defer close(left)
		g.leave(t, 6*time.Second) // longer than the lease
	}()
	for _, want := range []string{"drain", "maint", "gone"} {
		select {
		case got := <-states:
			if got != want {
				t.Errorf("%s, want %s", got, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("it does not become %s", want)
		}
		if want == "maint" && time.Since(began) < 6*time.Second {
			t.Error("it was not drained for as long as it was to be")
		}
	}
	if ttl, err := client.leaseLeft(t.Context(), clientv3.LeaseID(lease)); err != nil || ttl == 0 {
		t.Errorf("the lease is gone with the keys: %v", err)
	}
	<-left
	if len(expired) > 0 {
		t.Errorf("%q count as dead", expired)
	}
	if ttl, err := client.leaseLeft(t.Context(), clientv3.LeaseID(lease)); err != nil || ttl != 0 {
		t.Errorf("the lease has %s left, %v", ttl, err)
	}
}

func TestALeaseInItsLastSecondGoesOn(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	granted, err := etcd.Grant(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "etcd tells 0 seconds", func() bool {
		told, err := etcd.TimeToLive(t.Context(), granted.ID)
		if err == nil && told.TTL < 0 { // this machine was too busy to ask in time
			granted, err = etcd.Grant(t.Context(), 2)
		}
		return err == nil && told.TTL == 0
	})
	held := lease{id: granted.ID}
	if err := held.resume(t.Context(), client); err != nil || held.id != granted.ID {
		t.Fatalf("the lease is %x, %v", held.id, err)
	}
	defer held.drop()
	until(t, "it is kept alive", func() bool {
		left, err := client.leaseLeft(t.Context(), granted.ID)
		return err == nil && left > time.Second
	})
	if err := held.revoke(t.Context(), client); err != nil {
		t.Error(err)
	}
	if left, err := client.leaseLeft(t.Context(), granted.ID); err != nil || left != 0 {
		t.Errorf("a revoked lease has %s left, %v", left, err)
	}
}

func TestRegistrationEndsAtOnce(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	g := register(t, client, etcd, server1())
	g.comes(t, ready)
	g.end()
	if err := g.End(t.Context()); err != nil {
		t.Error(err)
	}
	if got, _ := g.keys(t); got != "" {
		t.Errorf("there is still %s", got)
	}
}

func TestRegistrationLeavesSoonWhereItIsHurried(t *testing.T) {
	t.Parallel()
	client, etcd := onEtcd(t)
	g := register(t, client, etcd, server1())
	g.comes(t, ready)
	g.end()
	ctx, hurry := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { left <- g.Leave(ctx, time.Hour) }()
	g.comes(t, "ip=10.0.0.1 port=10000 state=drain")
	hurry()
	if err := <-left; err != nil {
		t.Error(err)
	}
	if got, _ := g.keys(t); got != "" {
		t.Errorf("there is still %s", got)
	}
}

func TestRegistrationNeedsGoodValues(t *testing.T) {
	t.Parallel()
	client := dial(t, Config{})
	for word, spoil := range map[string]func(*RegistrationConfig){
		"domain":  func(c *RegistrationConfig) { c.Domain = "a.abc.com/server2" },
		"host":    func(c *RegistrationConfig) { c.Host.Name = "a\nb" },
		"ttl":     func(c *RegistrationConfig) { c.TTL = time.Second },
		"whole":   func(c *RegistrationConfig) { c.TTL = 2500 * time.Millisecond },
		"weight":  func(c *RegistrationConfig) { c.Host.Weight, c.Host.Unset.Weight = 257, false },
		"maxconn": func(c *RegistrationConfig) { c.Host.MaxConn, c.Host.Unset.MaxConn = -1, false },
		"port":    func(c *RegistrationConfig) { c.Host.Addr = netip.MustParseAddrPort("10.0.0.1:0") },
		"ip":      func(c *RegistrationConfig) { c.Host.Addr = netip.MustParseAddrPort("0.0.0.0:1") },
	} {
		conf := server1()
		spoil(&conf)
		if _, err := client.NewRegistration(conf); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: got %v", word, err)
		}
	}
}
