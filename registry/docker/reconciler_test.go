package docker

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/hapsync/hapsync/registry/etcd/etcdtest"
)

const web1 = "a.abc.com/box1_web1 10.0.0.5:8080 ready"

func TestContainersComeAndGo(t *testing.T) {
	t.Parallel()
	q := newSite(t)
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
	r.ends()
	if left := q.hosts(t); len(left) > 0 {
		t.Errorf("at the end there is %q", left)
	}
	q.leases(t, 0)
}

func TestContainerFollowsItsHealthcheck(t *testing.T) {
	t.Parallel()
	q := newSite(t)
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
	t.Parallel()
	var answer atomic.Int32
	answer.Store(503)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			w.WriteHeader(int(answer.Load()))
		}
	}))
	defer s.Close()
	addr := s.Listener.Addr().(*net.TCPAddr)
	q := newSite(t)
	r := q.register(t, func(c *Config) { c.Settings.IP = netip.MustParseAddr("127.0.0.1") })
	q.engine.change("web1", "create", func(c *fakeContainer) { c.port = addr.Port })
	q.engine.start("web1", "hapsync.check=/health")
	r.says(t, "not good yet", "503")
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
	t.Parallel()
	q := newSite(t)
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
	t.Parallel()
	q := newSite(t)
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
	t.Parallel()
	q := newSite(t)
	q.engine.set(func(e *fakeEngine) { e.deaf = true })
	q.register(t, func(c *Config) { c.Resync = 50 * time.Millisecond })
	q.engine.start("web1")
	q.has(t, web1)
	q.engine.stop("web1")
	q.has(t)
}

func TestEngineThatIsAwayTakesNothingOut(t *testing.T) {
	t.Parallel()
	q := newSite(t)
	q.engine.start("web1")
	r := q.register(t, func(c *Config) { c.Resync = 50 * time.Millisecond })
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
	t.Parallel()
	q := newSite(t)
	q.engine.start("web1")
	r := q.register(t)
	q.has(t, web1)
	q.engine.set(func(e *fakeEngine) { e.raw["idweb1"] = `{"State": 7}` })
	q.engine.start("web2")
	q.has(t, web1, "a.abc.com/box1_web2 10.0.0.5:8080 ready")
	r.says(t, "something is wrong with a container", "web1", "inspect the container")
}

func TestHostileLabelsAreLoggedAndNeverWritten(t *testing.T) {
	t.Parallel()
	q := newSite(t)
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
	r.ends()
	page, err := q.etcd.Server.Range(t.Context(), &etcdserverpb.RangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	if err != nil || len(page.Kvs) > 0 {
		t.Errorf("at the end there is %v %v", page.Kvs, err)
	}
	if n := strings.Count(r.String(), "something is wrong"); n != len(hostile) {
		t.Errorf("%d problems were said, want each once, %d:\n%s", n, len(hostile), r)
	}
}

func TestFiftyRestartsLeaveTheKeysRight(t *testing.T) {
	t.Parallel()
	q := newSite(t)
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
	r.ends()
	q.leases(t, 0)
	q.has(t)
}

func TestKeysOfOthersAreNotTouched(t *testing.T) {
	t.Parallel()
	q := newSite(t)
	etcdtest.PutHost(t, q.etcd, "a.abc.com/box1_web1", "10.9.9.9:1")
	etcdtest.PutHost(t, q.etcd, "a.abc.com/box1_other", "10.9.9.9:2")
	q.engine.start("web1")
	r := q.register(t)
	r.says(t, "another", "a.abc.com/box1_web1", "10.9.9.9:1")
	q.has(t, "a.abc.com/box1_other 10.9.9.9:2 ready", "a.abc.com/box1_web1 10.9.9.9:1 ready")
	if _, err := q.etcd.Server.DeleteRange(t.Context(), &etcdserverpb.DeleteRangeRequest{
		Key: []byte("/services/web/a.abc.com/box1_web1/"), RangeEnd: []byte("/services/web/a.abc.com/box1_web10")}); err != nil {
		t.Fatal(err)
	}
	q.has(t, "a.abc.com/box1_other 10.9.9.9:2 ready", web1)
	r.ends()
	q.has(t, "a.abc.com/box1_other 10.9.9.9:2 ready")
	if n := strings.Count(r.String(), "another has the name"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}

func TestAContainerOfWhichAnotherWritesAKeyIsOutUntilThatKeyIsDeleted(t *testing.T) {
	t.Parallel()
	q := newSite(t)
	q.engine.start("web1")
	r := q.register(t)
	q.has(t, web1)
	const key = "/services/web/a.abc.com/box1_web1/ip"
	if _, err := q.etcd.Server.Put(t.Context(), &etcdserverpb.PutRequest{Key: []byte(key), Value: []byte("10.0.0.9")}); err != nil {
		t.Fatal(err)
	}
	q.has(t, "a.abc.com/box1_web1 lacks port")
	r.says(t, "the host is out until it is free", "by the key "+key, "container=web1")
	if _, err := q.etcd.Server.DeleteRange(t.Context(), &etcdserverpb.DeleteRangeRequest{Key: []byte(key)}); err != nil {
		t.Fatal(err)
	}
	q.has(t, web1)
}

func TestContainersLeaveAtOnceWhenTheyAreHurried(t *testing.T) {
	t.Parallel()
	q := newSite(t)
	q.engine.start("web1")
	q.engine.start("web2")
	r := q.register(t, func(c *Config) { c.Drain = time.Hour })
	const web2 = "a.abc.com/box1_web2 10.0.0.5:8080 "
	q.has(t, web1, web2+"ready")
	r.cancel()
	q.has(t, strings.Replace(web1, "ready", "drain", 1), web2+"drain")
	r.hurry()
	r.ends()
	q.has(t)
	q.leases(t, 0)
}

func TestReplaceTakesOverWhatIsThisMachinesAndNothingElse(t *testing.T) {
	t.Parallel()
	q := newSite(t)
	etcdtest.PutHost(t, q.etcd, "a.abc.com/box1_web1", "10.0.0.5:1")
	etcdtest.PutHost(t, q.etcd, "a.abc.com/victim", "10.9.9.9:1")
	q.engine.start("web1")
	q.engine.start("web2", "hapsync.host=victim")
	r := q.register(t, func(c *Config) { c.Replace = true })
	q.has(t, web1, "a.abc.com/victim 10.9.9.9:1 ready")
	r.says(t, "another has the name", "victim", "10.9.9.9:1")
	q.has(t, web1, "a.abc.com/victim 10.9.9.9:1 ready")
}

func TestAContainerServesTheDomainsThatItMayAndNotTooMany(t *testing.T) {
	t.Parallel()
	q := newSite(t)
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf("d%02d.dev.abc.com", i))
	}
	q.engine.start("web1", "hapsync.domain=a.abc.com, www.abc.com, abc.com, xabc.com, A.Dev.abc.com, dev.abc.com")
	q.engine.start("web2", "hapsync.domain="+strings.Join(many, ","))
	r := q.register(t, func(c *Config) { c.Settings.Domains = []string{"a.abc.com", "*.dev.abc.com"} })
	r.says(t, "label=hapsync.domain", "www.abc.com", "is not among those that containers may serve here (--domains)")
	r.says(t, "the container names 40 domains, and only the first 32 are registered")
	eventually(t, "34 hosts are there", func() error {
		if n := len(q.hosts(t)); n != 34 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	for _, line := range q.hosts(t) {
		if domain, _, _ := strings.Cut(line, "/"); domain != "a.abc.com" && !strings.HasSuffix(domain, ".dev.abc.com") {
			t.Errorf("there is %s", line)
		}
	}
}
