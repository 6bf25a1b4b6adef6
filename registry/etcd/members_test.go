package etcd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"

	"github.com/hapsync/hapsync/registry"
)

// startWithLearner returns the endpoints of a member that votes and of one that learns.
func startWithLearner(t *testing.T) (voter, learner string) {
	t.Helper()
	peers := []url.URL{{Scheme: "http", Host: closedPort(t)}, {Scheme: "http", Host: closedPort(t)}}
	local := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	begin := func(name string, peer url.URL, cluster, state string) *embed.Etcd {
		var etcd *embed.Etcd
		until(t, "etcd "+name+" starts", func() bool { // it asks its peer first, which may be too busy to answer in time
			conf := configure(filepath.Join(t.TempDir(), name), local, peer)
			conf.InitialClusterToken, conf.InitialCluster, conf.ClusterState = "learning", cluster, state
			started, err := embed.StartEtcd(conf)
			if err != nil {
				t.Log(err)
			}
			etcd = started
			return err == nil
		})
		t.Cleanup(etcd.Close)
		return etcd
	}
	first := "first=" + peers[0].String()
	one := begin("first", peers[0], first, embed.ClusterStateFlagNew)
	if err := waitReady(one); err != nil {
		t.Fatal(err)
	}
	voter = "http://" + one.Clients[0].Addr().String()
	if _, err := writer(t, voter).MemberAddAsLearner(t.Context(), []string{peers[1].String()}); err != nil {
		t.Fatal(err)
	}
	two := begin("second", peers[1], first+",second="+peers[1].String(), embed.ClusterStateFlagExisting)
	if err := waitReady(two); err != nil {
		t.Fatal(err)
	}
	return voter, "http://" + two.Clients[0].Addr().String()
}

func TestALearnerAmongTheEndpointsIsPassedOver(t *testing.T) {
	t.Parallel()
	voter, learner := startWithLearner(t)
	for name, endpoints := range map[string][]string{"learner first": {learner, voter}, "learner last": {voter, learner}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := dial(t, Config{Endpoints: endpoints, Prefix: etcds.prefix()})
			for range 10 {
				snapshot(t, client)
			}
			var all []*following
			for range 4 {
				other := dial(t, Config{Endpoints: endpoints, Prefix: client.conf.Prefix})
				all = append(all, follow(t, other))
			}
			g := register(t, client, writer(t, voter), server1())
			g.comes(t, ready)
			for _, f := range all {
				f.sameAsSnapshot(t)
			}
			if _, err := client.SetHost(t.Context(), "a.abc.com", "server1", "weight", "7"); err != nil {
				t.Error(err)
			}
			over := time.After(3 * time.Second) // longer than the lease: it is kept alive
			<-over
			g.leave(t, 10*time.Millisecond)
			if keys, _ := g.keys(t); keys != "" {
				t.Errorf("there are keys: %s", keys)
			}
			for _, f := range all {
				f.sameAsSnapshot(t)
				if _, lost := f.all(); len(lost) > 0 {
					t.Errorf("etcd was lost: %v", lost)
				}
			}
		})
	}
	t.Run("nothing but a learner", func(t *testing.T) {
		t.Parallel()
		client := dial(t, Config{Endpoints: []string{learner, closedPort(t)}})
		_, err := client.Snapshot(t.Context())
		wantError(t, err, "registry not reachable: etcd at "+learner+"...each member that can be reached is a learner...give the endpoints of voting members, too, or promote it with `etcdctl member promote`")
	})
	t.Run("the members say what they are", func(t *testing.T) {
		t.Parallel()
		members := dial(t, Config{Endpoints: []string{voter, learner, closedPort(t)}, DialTimeout: 2 * time.Second}).Members(t.Context())
		if m := members[0]; m.Endpoint != voter || m.Learner || m.NoLeader || m.Err != nil || len(m.Alarms) > 0 {
			t.Errorf("the voter is %+v", m)
		}
		if !members[1].Learner || members[1].Err != nil {
			t.Errorf("the learner is %+v", members[1])
		}
		if members[2].Err == nil {
			t.Errorf("nobody is %+v", members[2])
		}
	})
}

// An endedStream is a watch that the member ended before the first request.
type endedStream struct {
	grpc.BidiStreamingClient[etcdserverpb.WatchRequest, etcdserverpb.WatchResponse]
	answers []error
}

func (*endedStream) Send(*etcdserverpb.WatchRequest) error { return io.EOF }

func (s *endedStream) Recv() (*etcdserverpb.WatchResponse, error) {
	err := s.answers[0]
	s.answers = s.answers[1:]
	return &etcdserverpb.WatchResponse{}, err
}

func TestAWatchThatEndsBeforeItIsAskedForSaysWhy(t *testing.T) {
	t.Parallel()
	for why, answers := range map[string][]error{
		rpctypes.ErrGRPCNotSupportedForLearner.Error(): {rpctypes.ErrGRPCNotSupportedForLearner},
		rpctypes.ErrGRPCNoLeader.Error():               {nil, rpctypes.ErrGRPCNoLeader},
		"it ended the watch":                           {io.EOF},
	} {
		w := &watcher{stream: &endedStream{answers: answers}}
		if err := w.create("/a/", "/b/"); err == nil || err.Error() != why {
			t.Errorf("got %v, want %s", err, why)
		}
	}
}

func TestTheNextMemberIsAskedWhereOneCannotAnswer(t *testing.T) {
	t.Parallel()
	for _, refusal := range []error{rpctypes.ErrGRPCNotSupportedForLearner, rpctypes.ErrGRPCNoLeader, rpctypes.ErrGRPCRequestTooManyRequests} {
		for _, endpoints := range []int{1, 2, 3} {
			client, asked := dial(t, Config{Endpoints: slices.Repeat([]string{"127.0.0.1:1"}, endpoints)}), 0
			err := client.intercept(t.Context(), "", nil, nil, nil, func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
				if asked++; asked < endpoints {
					return refusal
				}
				if endpoints == 1 {
					return refusal
				}
				return nil
			})
			if want := max(endpoints, 1); asked != want || (endpoints > 1) != (err == nil) {
				t.Errorf("%v of %d: asked %d times, %v", refusal, endpoints, asked, err)
			}
		}
	}
	client, asked := dial(t, Config{Endpoints: []string{"127.0.0.1:1", "127.0.0.1:2"}}), 0
	err := client.intercept(t.Context(), "", nil, nil, nil, func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
		asked++
		return rpctypes.ErrGRPCNoSpace
	})
	if asked != 1 || !errors.Is(rpctypes.Error(err), rpctypes.ErrNoSpace) {
		t.Errorf("what all members say is asked %d times: %v", asked, err)
	}
}

// startFull returns an etcd over its quota, and how to fill it.
func startFull(t *testing.T) (at string, fill func()) {
	t.Helper()
	conf := configure(filepath.Join(t.TempDir(), "full"), url.URL{Scheme: "http", Host: "127.0.0.1:0"}, url.URL{Scheme: "http", Host: "127.0.0.1:0"})
	conf.QuotaBackendBytes = 2 << 20
	conf.InitialCluster = conf.InitialClusterFromName(conf.Name)
	etcd, err := embed.StartEtcd(conf)
	if err == nil {
		err = waitReady(etcd)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	at = "http://" + etcd.Clients[0].Addr().String()
	return at, func() {
		w := writer(t, at)
		for range 200 { // the size is known a moment later
			if _, err := w.Put(t.Context(), "junk", strings.Repeat("x", 1<<20)); errors.Is(err, rpctypes.ErrNoSpace) {
				return
			}
		}
		t.Fatal("etcd does not get full")
	}
}

// A buffer may be written by one goroutine and read by another.
type buffer struct {
	mu   stdsync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

const noSpace = "it takes no writes, because it is over its quota (NOSPACE): compact it, defragment it, then `etcdctl alarm disarm`"

func TestAnEtcdOverItsQuotaIsSaidToBeAndAHostLeavesItAtOnce(t *testing.T) {
	t.Parallel()
	at, fill := startFull(t)
	client := dial(t, Config{Endpoints: []string{at}})
	said := new(buffer)
	log := slog.New(slog.NewTextHandler(said, nil))
	etcd := writer(t, at)
	names := []string{"server1", "server2"}
	hosts := map[string]*registered{}
	for _, name := range names {
		conf := server1()
		conf.Host.Name, conf.Logger, conf.TTL = name, log, time.Hour
		hosts[name] = register(t, client, etcd, conf)
		hosts[name].comes(t, ready)
	}
	fill()
	_, err := client.SetHost(t.Context(), "a.abc.com", "server1", "state", "drain")
	wantError(t, err, "registry not writable: etcd at "+at+": "+noSpace)
	if !errors.Is(err, registry.ErrUnavailable) {
		t.Error("it is not ErrUnavailable")
	}
	late := server1()
	late.Host.Name, late.Logger = "late", log
	register(t, client, etcd, late)
	until(t, "a new host says why it waits", func() bool {
		return strings.Contains(said.String(), "the registration has to wait for etcd") && strings.Contains(said.String(), "NOSPACE")
	})
	short, cancel := context.WithCancel(t.Context())
	reports, announced := make(chan registry.AgentReport, 1), make(chan struct{})
	reports <- registry.AgentReport{Prefix: registry.DefaultPrefix}
	go func() {
		defer close(announced)
		client.Announce(short, AnnounceConfig{Prefix: registry.DefaultReportPrefix, Name: "balancer1", Logger: log}, reports)
	}()
	until(t, "the agent says why it does not report", func() bool { return strings.Contains(said.String(), "the agent's reports do not reach the registry") })
	cancel()
	<-announced

	began := time.Now()
	hosts["server1"].leave(t, time.Minute)
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it leaves after %s: it waits for a drain that it cannot write", took)
	}
	if keys, _ := hosts["server1"].keys(t); keys != "" {
		t.Errorf("it is still there: %s", keys)
	}
	if !strings.Contains(said.String(), "etcd lets the host be deleted only: it leaves without a drain") {
		t.Errorf("it does not say so:\n%s", said)
	}
	hosts["server2"].end()
	_, undrained, err := client.Deregister(t.Context(), "a.abc.com", "server2", time.Minute)
	if err != nil {
		t.Error(err)
	}
	wantError(t, undrained, "registry not writable: ..."+noSpace)
	if keys, _ := hosts["server2"].keys(t); keys != "" {
		t.Errorf("it is still there: %s", keys)
	}
	if members := client.Members(t.Context()); !slices.Equal(members[0].Alarms, []string{"NOSPACE"}) {
		t.Errorf("the members are %+v", members)
	}
}
