package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// reports is where the agents of the box report.
func (b *box) reports() string {
	return strings.TrimSuffix(b.prefix, "services/web") + "hapsync/agents"
}

// neighbour is another box that follows the same registry.
func (b *box) neighbour(t testing.TB) *box {
	t.Helper()
	n := newBox(t, b.haproxy)
	n.prefix = b.prefix
	n.env = append(n.env, "HAPSYNC_PREFIX="+b.prefix, "HAPSYNC_REPORT_PREFIX="+b.reports())
	n.prepare(t)
	n.start(t)
	return n
}

// reporting waits until so many agents have applied all that there is.
func (b *box) reporting(t testing.TB, agents int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d agents report that they are in line", agents), func() error {
		var list struct {
			Agents []struct {
				InLine bool `json:"in_line"`
			}
		}
		o := b.must(t, "agents", "-o", "json")
		if err := json.Unmarshal([]byte(o.stdout), &list); err != nil {
			return err
		}
		for _, a := range list.Agents {
			if !a.InLine {
				return errors.New(o.stdout)
			}
		}
		if len(list.Agents) != agents {
			return errors.New(o.stdout)
		}
		return nil
	})
}

// startThree are three boxes with agents a1, a2 and a3 that follow one registry, with a host in it.
func startThree(t *testing.T, h haproxy) (b *box, agents [3]*agent) {
	t.Helper()
	b = startBox(t, h)
	boxes := [3]*box{b, b.neighbour(t), b.neighbour(t)}
	b.register(t, "a.abc.com/server1", startHost(t, "one").addr)
	for i, box := range boxes {
		agents[i] = box.startAgent(t, "--name", fmt.Sprintf("a%d", i+1))
	}
	b.reporting(t, 3)
	return b, agents
}

func TestRegisterWaitsForEveryAgent(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, agents := startThree(t, h)
		two := startHost(t, "two")

		const stopped = "7s" // within 10 s an agent that stands still can lose its lease, and the wait then says that it is gone
		var p *process
		for try := 1; try == 1 || try < 5 && strings.Contains(p.printed(), "2 agents have not"); try++ { // on a busy machine another may be late, too
			agents[1].signal(t, syscall.SIGCONT)
			b.reporting(t, 3)
			agents[1].signal(t, syscall.SIGSTOP)
			p = b.startRegister(t, "a.abc.com/server2", two.addr, "--wait", "--wait-timeout", stopped, "--drain", "0s")
			if code := p.code(t); code != 7 {
				t.Errorf("ended with %d", code)
			}
		}
		says(t, p.printed(), "not in effect after "+stopped, "1 agent has not done it")
		says(t, p.printed(), "a2: it has applied revision")
		for _, name := range []string{"a1:", "a3:"} {
			if strings.Contains(p.printed(), name) {
				t.Errorf("%s is named, too:\n%s", name, p.printed())
			}
		}
		b.registered(t, "a.abc.com/server2", "")
		agents[1].signal(t, syscall.SIGCONT)

		p = b.startRegister(t, "a.abc.com/server2", two.addr, "--wait", "--drain", "0s")
		p.Eventually(t, "every agent has applied it", func() error {
			if !strings.Contains(p.printed(), "applied by every agent") {
				return errors.New(p.printed())
			}
			return nil
		})
		says(t, p.printed(), "agents=3")
		b.comes(t, "a.abc.com", "server2", two) // after its first good check
	})
}

func TestCommandsWaitForEveryAgent(t *testing.T) {
	t.Parallel()
	b, agents := startThree(t, firstHAProxy(t))
	host := []string{"--domain", "a.abc.com", "--host", "server1", "--wait"}
	run := func(command string, more ...string) outcome {
		t.Helper()
		return b.must(t, append(append([]string{command}, host...), more...)...)
	}
	forged := b.reports() + "/forged" // it has no lease, and will never acknowledge anything
	if _, err := world.etcd.client.Put(t.Context(), forged, `{"version":1,"prefix":"`+b.prefix+`"}`); err != nil {
		t.Fatal(err)
	}
	says(t, b.must(t, "agents").stdout, "problem", "etcdctl del "+forged)
	for range 2 { // the second one changes nothing, and is acknowledged all the same
		says(t, run("weight", "7").stdout, "applied by 3 agents at revision")
		b.weighs(t, "a.abc.com_cluster/server1", "7 ")
	}
	says(t, run("maint").stdout, "applied by 3 agents", "no session is left")
	says(t, run("ready").stdout, "applied by 3 agents")

	agents[2].kill(t) // its HAProxy serves on, and nobody tells it
	o := b.exits(t, 7, append([]string{"weight"}, append(host, "--wait-timeout", "1s", "8")...)...)
	says(t, o.stderr, "a3: ")
	eventually(t, "the agent that died is forgotten", func() error {
		if o := b.must(t, "agents"); strings.Contains(o.stdout, "a3") {
			return errors.New(o.stdout)
		}
		return nil
	})
	says(t, run("weight", "9").stdout, "applied by 2 agents")
	unreadable := b.reports() + "/newer" // of an agent that lives: what it has done is not known
	lease, err := world.etcd.client.Grant(t.Context(), 60)
	if err == nil {
		_, err = world.etcd.client.Put(t.Context(), unreadable, `{"version":99}`, clientv3.WithLease(lease.ID))
	}
	if err != nil {
		t.Fatal(err)
	}
	o = b.exits(t, 7, append([]string{"weight"}, append(host, "--wait-timeout", "1s", "11")...)...)
	says(t, o.stderr, "newer: ", "cannot be read")
	if _, err := world.etcd.client.Revoke(t.Context(), lease.ID); err != nil {
		t.Fatal(err)
	}
	b.register(t, "a.abc.com/server2", startHost(t, "two").addr) // a registry without a host would be held
	says(t, run("deregister", "--drain", "0s").stdout, "applied by 2 agents", "no session is left")
}

// weighs fails the test unless a server has a weight now.
func (b *box) weighs(t testing.TB, server, weight string) {
	t.Helper()
	if reply, err := b.runtime("get weight " + server); err != nil || !strings.HasPrefix(reply, weight) {
		t.Errorf("the weight of %s is %q, want %s: %v", server, reply, weight, err)
	}
}

func TestNobodyToWaitFor(t *testing.T) {
	t.Parallel()
	b := newBox(t, firstHAProxy(t))
	b.register(t, "a.abc.com/server1", "127.0.0.1:1")
	o := b.exits(t, 7, "drain", "--domain", "a.abc.com", "--host", "server1", "--wait")
	says(t, o.stderr, "the write stands at revision ", ", but no agent reports below "+b.reports())
	b.registered(t, "a.abc.com/server1", "drain")

	o = b.exits(t, 7, "register", "--domain", "a.abc.com", "--host", "server2", "--ip", "127.0.0.1", "--port", "2", "--drain", "0s", "--wait")
	says(t, o.stderr, "no agent reports below "+b.reports())
	if strings.Contains(o.stderr, "stands") {
		t.Errorf("the host is out again, and it says %s", o.stderr)
	}
	b.registered(t, "a.abc.com/server2", "")
}

// A keeper is a host that answers each request only when it is told to.
type keeper struct {
	addr   string
	answer chan struct{}
}

func startKeeper(t *testing.T) *keeper {
	t.Helper()
	k := &keeper{answer: make(chan struct{})}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-k.answer
		_, _ = io.WriteString(w, "kept")
	}))
	t.Cleanup(func() {
		close(k.answer)
		s.Close()
	})
	k.addr = s.Listener.Addr().String()
	return k
}

// session opens one on a server of the keeper's; it ends with the answer.
func (k *keeper) session(t *testing.T, b *box, domain, server string) (body chan string) {
	t.Helper()
	body = make(chan string, 1)
	go func() {
		a, err := get(b.web, domain, server)
		body <- fmt.Sprint(a.body, err)
	}()
	eventually(t, "the session is open", func() error {
		if n, ok := b.stat(domain+"_cluster", server, "scur"); !ok || n != "1" {
			return fmt.Errorf("%s sessions", n)
		}
		return nil
	})
	return body
}

func TestDrainWaitsForTheSessionsThatAreOpen(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, _ := startFollowed(t, h)
		k := startKeeper(t)
		b.register(t, "a.abc.com/kept", k.addr)
		b.eventuallyWeighs(t, "a.abc.com_cluster/kept", "1 ")
		b.reporting(t, 1)
		for _, command := range [][]string{{"drain"}, {"deregister", "--drain", "0s"}} {
			body := k.session(t, b.box, "a.abc.com", "kept")
			args := slices.Concat(command, []string{"--domain", "a.abc.com", "--host", "kept", "--wait"})
			if command[0] == "drain" {
				o := b.exits(t, 7, append(args, "--wait-timeout", "5s")...)
				says(t, o.stderr, "1 session left on host a.abc.com/kept")
			}
			done := make(chan outcome, 1)
			go func() { done <- b.hapsync(t, args...) }()
			eventually(t, "the agent reports the session", func() error {
				if o := b.must(t, "agents"); !strings.Contains(o.stdout, "a.abc.com/kept has 1 session") {
					return errors.New(o.stdout)
				}
				return nil
			})
			select {
			case o := <-done:
				t.Fatalf("it has not waited: %s", o)
			default:
			}
			k.answer <- struct{}{}
			if got := <-body; got != "kept<nil>" {
				t.Errorf("the session that was open ended with %s", got)
			}
			if o := <-done; o.code != 0 || !strings.Contains(o.stdout, "no session is left") {
				t.Errorf("%s", o)
			}
		}
	})
}

// versions counts the writes of the only report below the box's prefix, and what it says.
func (b *box) versions(t testing.TB) (writes int64, applied int64) {
	t.Helper()
	page, err := world.etcd.client.Get(t.Context(), b.reports()+"/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Kvs) != 1 {
		t.Fatalf("%d reports", len(page.Kvs))
	}
	var report struct{ Applied int64 }
	if err := json.Unmarshal(page.Kvs[0].Value, &report); err != nil {
		t.Fatal(err)
	}
	return page.Kvs[0].Version, report.Applied
}

func TestReportsAreFew(t *testing.T) {
	t.Parallel()
	b, _ := startFollowed(t, firstHAProxy(t), "--resync", "300ms")
	b.reporting(t, 1)
	before, _ := b.versions(t)
	began := time.Now()
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	const changes = 400
	for i := range changes {
		<-pace.C
		b.put(t, "a.abc.com/server1/weight", fmt.Sprint(1+i%100))
	}
	b.reporting(t, 1)
	took := time.Since(began)
	after, applied := b.versions(t)
	most := int64(took/time.Second) + 2 // one at the start, one at the end
	if n := after - before; n < 2 || n > most {
		t.Errorf("%d reports in %s, want 2 to %d", n, took, most)
	}
	t.Logf("%d changes in %s, %d reports", changes, took.Round(time.Millisecond), after-before)

	// Now nothing changes, but for the keys of others and the reading of all.
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second) // longer than between two signs of life of the lease
	defer cancel()
	reports := world.etcd.client.Watch(ctx, b.reports()+"/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	for ctx.Err() == nil {
		select {
		case told := <-reports:
			for _, event := range told.Events {
				t.Errorf("reported though nothing has changed: %s, after %s", event.Kv.Value, event.PrevKv.GetValue())
			}
		case <-pace.C:
			if _, err := world.etcd.client.Put(t.Context(), b.reports()+"-others", ""); err != nil {
				t.Fatal(err)
			}
		case <-ctx.Done():
		}
	}
	if now, again := b.versions(t); now != after || again != applied {
		t.Errorf("%d reports, revision %d, and later %d, %d", after, applied, now, again)
	}
}

func TestReportThatIsLostIsWrittenAgain(t *testing.T) {
	t.Parallel()
	b, a := startFollowed(t, firstHAProxy(t))
	b.reporting(t, 1)
	page, err := world.etcd.client.Get(t.Context(), b.reports()+"/", clientv3.WithPrefix())
	if err != nil || len(page.Kvs) != 1 || page.Kvs[0].Lease == 0 {
		t.Fatalf("%v, %v", page, err)
	}
	if _, err := world.etcd.client.Revoke(t.Context(), clientv3.LeaseID(page.Kvs[0].Lease)); err != nil {
		t.Fatal(err)
	}
	b.reporting(t, 1)
	if _, err := world.etcd.client.Delete(t.Context(), b.reports()+"/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	b.reporting(t, 1)
	a.terminate(t)
	if o := b.must(t, "agents"); !strings.Contains(o.stdout, "0 agents") {
		t.Errorf("an agent that has ended is there: %s", o)
	}
}

// TestWaitSaysThatAHostIsHalfWritten has a host without a port: no agent serves it.
func TestWaitSaysThatAHostIsHalfWritten(t *testing.T) {
	t.Parallel()
	b, _ := startFollowed(t, firstHAProxy(t), "--name", "a1")
	b.reporting(t, 1)
	one := startHost(t, "one")
	ip, port := splitAddr(t, one.addr)
	b.put(t, "half.abc.com/server1/ip", ip)
	for _, command := range [][]string{{"ready"}, {"weight", "7"}} {
		flags := []string{"--domain", "half.abc.com", "--host", "server1", "--wait", "--wait-timeout", "2s"}
		o := b.exits(t, 7, slices.Concat(command[:1], flags, command[1:])...)
		says(t, o.stderr, "a1: the host is half written, so it gets no requests: port is missing")
	}
	says(t, b.must(t, "maint", "--wait", "half.abc.com/server1").stdout, "applied by 1 agent")
	b.put(t, "half.abc.com/server1/port", port)
	says(t, b.must(t, "ready", "--wait", "half.abc.com/server1").stdout, "applied by 1 agent")
	b.comes(t, "half.abc.com", "server1", one)
}

func TestTwoAgentsOfOneName(t *testing.T) {
	t.Parallel()
	b, first := startFollowed(t, firstHAProxy(t), "--name", "same")
	b.reporting(t, 1)
	n := b.neighbour(t)
	second := n.startAgent(t, "--name", "same")
	eventually(t, "the first says that another has its name", func() error {
		if said := first.printed(); !strings.Contains(said, "another agent reports under the same name") {
			return errors.New(said)
		}
		return nil
	})
	first.ready(t)
	b.reporting(t, 2) // none is missing
	says(t, b.must(t, "status", "--listen", first.listen).stdout, "warning", "another agent reports under the same name", "until then it reports as same.")

	first.signal(t, syscall.SIGSTOP)
	o := b.exits(t, 7, "weight", "--domain", "a.abc.com", "--host", "server1", "--wait", "--wait-timeout", "3s", "7")
	says(t, o.stderr, "same.")
	first.signal(t, syscall.SIGCONT)
	says(t, b.must(t, "weight", "--domain", "a.abc.com", "--host", "server1", "--wait", "8").stdout, "applied by 2 agents")

	second.terminate(t)
	eventually(t, "the first has its name again", func() error {
		if o := b.must(t, "status", "--listen", first.listen); strings.Contains(o.stdout, "under the same name") {
			return errors.New(o.stdout)
		}
		return nil
	})
	b.reporting(t, 1)
}

func TestAgentThatMayNotReportWorks(t *testing.T) {
	t.Parallel()
	etcd := newEtcd(t)
	b := startBox(t, firstHAProxy(t))
	ctl := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), lookPath(t, "etcdctl"), append([]string{"--dial-timeout", "30s", "--command-timeout", "30s"}, args...)...)
		cmd.Env = append(cleanEnv(), "ETCDCTL_API=3", "ETCDCTL_ENDPOINTS="+"http://"+etcd.listen.Host)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
	h := startHost(t, "a.abc.com")
	etcd.put(t, b, addrOf(t, "a.abc.com/server1", h.addr))
	for _, line := range []string{"user add root:secret", "role add root", "user grant-role root root", "user add hapsync:secret",
		"role add hapsync", "role grant-permission hapsync read " + b.prefix + "/ --prefix", "user grant-role hapsync hapsync"} {
		ctl(strings.Fields(line)...)
	}
	ctl("auth", "enable")
	b.env = append(b.env, "HAPSYNC_ENDPOINTS="+"http://"+etcd.listen.Host, "HAPSYNC_USER=hapsync:secret")
	a := b.startAgent(t)
	b.comes(t, "a.abc.com", "server1", h)
	a.ready(t)
	denied := func() error {
		if n := strings.Count(a.printed(), "reports do not reach the registry"); n != 1 {
			return fmt.Errorf("said %d times:\n%s", n, a.printed())
		}
		return nil
	}
	eventually(t, "it says that it may not", denied)
	says(t, a.printed(), "may not write "+b.reports()+"/", "role grant-permission <role> readwrite "+b.reports()+"/")
	ctl("--user", "root:secret", "put", b.prefix+"/a.abc.com/server1/weight", "7")
	b.eventuallyWeighs(t, "a.abc.com_cluster/server1", "7 ")
	a.ready(t)
	if err := denied(); err != nil {
		t.Error(err)
	}

}
