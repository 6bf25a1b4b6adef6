package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/hapsync/hapsync/registry/etcd"
)

// A quay is a fake engine, a real etcd and hapsync register --docker between them.
type quay struct {
	engine *fakeEngine
	etcd   *embed.Etcd
	client *etcd.Client
	addr   string
}

func newQuay(t *testing.T) *quay {
	t.Helper()
	q := &quay{engine: startFakeEngine(t), addr: freeAddr(t)}
	q.etcd, _ = startEtcd(t, t.TempDir(), q.addr)
	client, err := etcd.New(etcd.Config{Endpoints: []string{"http://" + q.addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	q.client = client
	return q
}

// A landed is a hapsync register --docker that runs.
type landed struct {
	*log
	cancel context.CancelFunc
	code   chan int
}

// register runs hapsync register --docker; events alone, or the end of the stream, make it look at the containers.
func (q *quay) register(t *testing.T, args ...string) *landed {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &landed{log: new(log), cancel: cancel, code: make(chan int, 1)}
	p := program{stdout: r.log, stderr: r.log, getenv: func(string) string { return "" }}
	args = append([]string{"hapsync", "register", "--docker", "--host", "box1", "--ip", "10.0.0.5", "--resync", "1h", "--drain", "0s",
		"--endpoints", "http://" + q.addr}, args...)
	go func() { r.code <- p.run(ctx, args) }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.log)
		}
	})
	t.Cleanup(func() { r.ends(t) })
	return r
}

// ends waits for the end, and may be called again.
func (r *landed) ends(t *testing.T) {
	t.Helper()
	r.cancel()
	if code, ok := <-r.code; ok && code != exitOK {
		t.Errorf("code %d", code)
	} else if ok {
		close(r.code)
	}
}

// hosts are what the registry has, as text.
func (q *quay) hosts(t *testing.T) (all []string) {
	t.Helper()
	s, err := q.client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range s.Domains {
		for _, h := range d.Hosts {
			all = append(all, fmt.Sprintf("%s/%s %s %s", d.Name, h.Name, h.Addr, h.State))
		}
		for _, p := range d.Pending {
			all = append(all, fmt.Sprintf("%s/%s lacks %s", d.Name, p.Host, p.Missing))
		}
	}
	if len(s.Problems) > 0 {
		t.Errorf("the registry has problems: %v", s.Problems)
	}
	return all
}

// has waits until the registry has these hosts and no others.
func (q *quay) has(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the registry has %q", want), func() error {
		if got := q.hosts(t); !slices.Equal(got, want) {
			return fmt.Errorf("got %q", got)
		}
		return nil
	})
}

// leases waits until there are so many.
func (q *quay) leases(t *testing.T, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("there are %d leases", want), func() error {
		got, err := q.etcd.Server.LeaseLeases(t.Context(), &etcdserverpb.LeaseLeasesRequest{})
		if err != nil {
			return err
		}
		if len(got.Leases) != want {
			return fmt.Errorf("there are %d", len(got.Leases))
		}
		return nil
	})
}

func (r *landed) says(t *testing.T, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the log has %q", words), func() error {
		for line := range strings.Lines(r.String()) {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
				return nil
			}
		}
		return errors.New(r.String())
	})
}

const web1 = "a.abc.com/box1_web1 10.0.0.5:8080 ready"

func TestContainersComeAndGo(t *testing.T) {
	q := newQuay(t)
	q.engine.start("web1")
	r := q.register(t)
	q.has(t, web1)
	q.engine.start("web2", "hapsync.host=server2", "hapsync.weight=7")
	q.has(t, web1, "a.abc.com/server2 10.0.0.5:8080 ready")
	q.leases(t, 2)
	q.engine.stop("web1")
	q.has(t, "a.abc.com/server2 10.0.0.5:8080 ready")
	q.engine.change("web2", "pause", func(c *fakeContainer) { c.paused = true })
	q.has(t, "a.abc.com/server2 10.0.0.5:8080 maint")
	q.engine.change("web2", "unpause", func(c *fakeContainer) { c.paused = false })
	q.has(t, "a.abc.com/server2 10.0.0.5:8080 ready")
	r.ends(t)
	if left := q.hosts(t); len(left) > 0 {
		t.Errorf("at the end there is %q", left)
	}
	q.leases(t, 0)
}

func TestContainerFollowsItsHealthcheck(t *testing.T) {
	q := newQuay(t)
	q.register(t)
	health := func(status string) {
		q.engine.change("web1", "health_status: "+status, func(c *fakeContainer) { c.health = status })
	}
	health("starting")
	q.engine.start("web1")
	q.engine.start("web2") // shows that a pass has been made with web1 in it
	const web2 = "a.abc.com/box1_web2 10.0.0.5:8080 ready"
	q.has(t, web2)
	health("healthy")
	q.has(t, web1, web2)
	health("unhealthy")
	q.has(t, "a.abc.com/box1_web1 10.0.0.5:8080 maint", web2)
	health("healthy")
	q.has(t, web1, web2)
}

func TestContainerFollowsItsCheck(t *testing.T) {
	var answer atomic.Int32
	answer.Store(503)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			w.WriteHeader(int(answer.Load()))
		}
	}))
	defer s.Close()
	addr := s.Listener.Addr().(*net.TCPAddr)
	q := newQuay(t)
	r := q.register(t, "--ip", "127.0.0.1", "--interval", "10ms", "--rise", "1", "--fall", "1")
	q.engine.change("web1", "create", func(c *fakeContainer) { c.port = addr.Port })
	q.engine.start("web1", "hapsync.check=/health")
	r.says(t, "check is bad", "503")
	if early := q.hosts(t); len(early) > 0 {
		t.Errorf("there is %q", early)
	}
	answer.Store(200)
	good := fmt.Sprintf("a.abc.com/box1_web1 %s ready", addr)
	q.has(t, good)
	answer.Store(503)
	q.has(t, strings.Replace(good, "ready", "maint", 1))
	answer.Store(200)
	q.has(t, good)
}

func TestContainerLeavesWhenItIsToldToStop(t *testing.T) {
	q := newQuay(t)
	q.engine.start("web1")
	q.register(t)
	q.has(t, web1)
	q.engine.change("web1", "kill", func(*fakeContainer) {}, "signal=1") // a reload
	q.engine.start("web2")
	q.has(t, web1, "a.abc.com/box1_web2 10.0.0.5:8080 ready")
	q.engine.change("web1", "kill", func(*fakeContainer) {}, "signal=15")
	q.has(t, "a.abc.com/box1_web2 10.0.0.5:8080 ready")
	q.engine.stop("web1")
	q.engine.start("web1")
	q.has(t, web1, "a.abc.com/box1_web2 10.0.0.5:8080 ready")
}

func TestBrokenStreamOfEventsLosesNothing(t *testing.T) {
	q := newQuay(t)
	q.engine.start("web1")
	q.engine.start("web2")
	q.register(t)
	q.has(t, web1, "a.abc.com/box1_web2 10.0.0.5:8080 ready")
	for i := range 3 {
		q.engine.set(func(e *fakeEngine) { e.deaf = true })
		q.engine.stop("web2")
		q.engine.start(fmt.Sprint("new", i))
		q.engine.set(func(e *fakeEngine) { e.deaf = false })
		q.engine.breakStreams()
		q.has(t, fmt.Sprintf("a.abc.com/box1_new%d 10.0.0.5:8080 ready", i), web1)
		q.engine.set(func(e *fakeEngine) { e.deaf = true })
		q.engine.start("web2")
		q.engine.stop(fmt.Sprint("new", i))
		q.engine.set(func(e *fakeEngine) { e.deaf = false })
		q.engine.breakStreams()
		q.has(t, web1, "a.abc.com/box1_web2 10.0.0.5:8080 ready")
	}
	q.leases(t, 2)
}

func TestResyncFindsWhatNoEventTold(t *testing.T) {
	q := newQuay(t)
	q.engine.set(func(e *fakeEngine) { e.deaf = true })
	q.register(t, "--resync", "50ms")
	q.engine.start("web1")
	q.has(t, web1)
	q.engine.stop("web1")
	q.has(t)
}

func TestEngineThatIsAwayTakesNothingOut(t *testing.T) {
	q := newQuay(t)
	q.engine.start("web1")
	r := q.register(t, "--resync", "50ms")
	q.has(t, web1)
	q.engine.set(func(e *fakeEngine) { e.away = true })
	q.engine.breakStreams()
	r.says(t, "does not answer", "the engine is away")
	q.has(t, web1)
	q.engine.start("web2")
	q.engine.set(func(e *fakeEngine) { e.away = false })
	r.says(t, "answers again")
	q.has(t, web1, "a.abc.com/box1_web2 10.0.0.5:8080 ready")
	if n := strings.Count(r.String(), "does not answer"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}

func TestAnswerThatCannotBeReadKeepsOnlyItsContainerAsItIs(t *testing.T) {
	q := newQuay(t)
	q.engine.start("web1")
	r := q.register(t)
	q.has(t, web1)
	q.engine.set(func(e *fakeEngine) { e.raw["idweb1"] = `{"State": 7}` })
	q.engine.start("web2")
	q.has(t, web1, "a.abc.com/box1_web2 10.0.0.5:8080 ready")
	r.says(t, "something is wrong with a container", "web1", "inspect the container")
}

func TestHostileLabelsAreLoggedAndNeverWritten(t *testing.T) {
	q := newQuay(t)
	q.engine.start("good")
	hostile := map[string]string{"hapsync.domain": "a.abc.com/../../x", "hapsync.host": "x\n server evil 1.2.3.4:80", "hapsync.port": "80; exec",
		"hapsync.weight": "1 backup", "hapsync.check": "exec:/bin/sh"}
	for label, value := range hostile {
		q.engine.start("bad-"+strings.TrimPrefix(label, "hapsync."), label+"="+value)
	}
	r := q.register(t)
	for label := range hostile {
		r.says(t, "something is wrong with a container", "container=bad-"+strings.TrimPrefix(label, "hapsync."), "label="+label)
	}
	q.has(t, "a.abc.com/box1_good 10.0.0.5:8080 ready")
	before := q.engine.passes()
	q.engine.breakStreams()
	eventually(t, "another pass is made", func() error {
		if q.engine.passes() == before {
			return errors.New("none")
		}
		return nil
	})
	r.ends(t)
	page, err := q.etcd.Server.Range(t.Context(), &etcdserverpb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	if err != nil || len(page.Kvs) > 0 {
		t.Errorf("at the end there is %v %v", page.Kvs, err)
	}
	if n := strings.Count(r.String(), "something is wrong"); n != len(hostile) {
		t.Errorf("%d problems were said, want each once, %d:\n%s", n, len(hostile), r)
	}
}

func TestFiftyRestartsLeaveTheKeysRight(t *testing.T) {
	q := newQuay(t)
	q.engine.start("web1")
	q.engine.start("stays")
	r := q.register(t)
	q.has(t, "a.abc.com/box1_stays 10.0.0.5:8080 ready", web1)
	for i := range 50 {
		q.engine.change("web1", "kill", func(*fakeContainer) {}, "signal=15")
		q.engine.stop("web1")
		q.engine.change("web1", "create", func(c *fakeContainer) { c.port = 9000 + i })
		q.engine.start("web1")
		if i%10 == 0 {
			q.has(t, "a.abc.com/box1_stays 10.0.0.5:8080 ready", fmt.Sprintf("a.abc.com/box1_web1 10.0.0.5:%d ready", 9000+i))
		}
	}
	q.has(t, "a.abc.com/box1_stays 10.0.0.5:8080 ready", "a.abc.com/box1_web1 10.0.0.5:9049 ready")
	q.leases(t, 2)
	r.ends(t)
	q.leases(t, 0)
	q.has(t)
}

func TestKeysOfOthersAreNotTouched(t *testing.T) {
	q := newQuay(t)
	host(t, q.etcd, "a.abc.com/box1_web1", "10.9.9.9:1")
	host(t, q.etcd, "a.abc.com/box1_other", "10.9.9.9:2")
	q.engine.start("web1")
	r := q.register(t)
	r.says(t, "another", "a.abc.com/box1_web1", "10.9.9.9:1")
	q.has(t, "a.abc.com/box1_other 10.9.9.9:2 ready", "a.abc.com/box1_web1 10.9.9.9:1 ready")
	if _, err := q.etcd.Server.DeleteRange(t.Context(), &etcdserverpb.DeleteRangeRequest{
		Key: []byte("/services/web/a.abc.com/box1_web1/"), RangeEnd: []byte("/services/web/a.abc.com/box1_web10")}); err != nil {
		t.Fatal(err)
	}
	q.has(t, "a.abc.com/box1_other 10.9.9.9:2 ready", web1)
	r.ends(t)
	q.has(t, "a.abc.com/box1_other 10.9.9.9:2 ready")
	if n := strings.Count(r.String(), "the name is another's"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}

func TestReplaceTakesTheNameOver(t *testing.T) {
	q := newQuay(t)
	host(t, q.etcd, "a.abc.com/box1_web1", "10.9.9.9:1")
	q.engine.start("web1")
	q.register(t, "--replace")
	q.has(t, web1)
}

func TestFlagsThatDoNotGoWithDocker(t *testing.T) {
	for flag, value := range map[string]string{"domain": "a.abc.com", "port": "80", "weight": "7", "check": "tcp://127.0.0.1:1", "maxconn": "7"} {
		got := new(bench).run(t, "register", "--docker", "--"+flag, value)
		if got.code != exitUsage || !strings.Contains(got.stderr, "--"+flag+" does not go with --docker") {
			t.Errorf("--%s: code %d: %s", flag, got.code, got.stderr)
		}
	}
	for _, args := range [][]string{{"--backup"}, {"--", "sleep", "1"}} {
		if got := new(bench).run(t, append([]string{"register", "--docker"}, args...)...); got.code != exitUsage {
			t.Errorf("%v: code %d: %s", args, got.code, got.stderr)
		}
	}
}
