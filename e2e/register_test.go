package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// startRegister runs hapsync register for a host ("a.abc.com/server1") at an address, with further flags and maybe a command.
func (b *box) startRegister(t testing.TB, name, addr string, args ...string) *process {
	t.Helper()
	domain, host, _ := strings.Cut(name, "/")
	ip, port := splitAddr(t, addr)
	words := []string{"register", "--domain", domain, "--host", host, "--ip", ip, "--port", port}
	return b.startServer(t, "register-"+host+".log", append(words, args...)...)
}

// keys are those of a host, by attribute, and its lease, of an etcd.
func keysOf(t testing.TB, etcd *clientv3.Client, b *box, host string) (keys map[string]string, lease int64) {
	t.Helper()
	root := b.prefix + "/" + host + "/"
	page, err := etcd.Get(t.Context(), root, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	keys = map[string]string{}
	for _, kv := range page.Kvs {
		keys[strings.TrimPrefix(string(kv.Key), root)] = string(kv.Value)
		lease = kv.Lease
	}
	return keys, lease
}

// registered waits until a host is in the registry with a state; "" waits until it has no key any more.
func (b *box) registered(t testing.TB, host, state string) {
	t.Helper()
	eventually(t, host+" is in the registry as "+cmp.Or(state, "nothing"), func() error {
		if keys, _ := keysOf(t, world.etcd.client, b, host); keys["state"] != state || state == "" && len(keys) > 0 {
			return fmt.Errorf("got %v", keys)
		}
		return nil
	})
}

// stat is a column of HAProxy's statistics of a server; ok is false where it has none of the name.
func (b *box) stat(backend, server, column string) (value string, ok bool) {
	reply, err := b.runtime("show stat")
	if err != nil {
		return "", false
	}
	lines := strings.Split(reply, "\n")
	at := -1
	for i, name := range strings.Split(lines[0], ",") {
		if name == column {
			at = i
		}
	}
	for _, line := range lines[1:] {
		if cells := strings.Split(line, ","); len(cells) > at && at >= 0 && cells[0] == backend && cells[1] == server {
			return cells[at], true
		}
	}
	return "", false
}

// restarts is how often a host is restarted: HAPSYNC_RESTARTS, or 5, or 2 unless everything is tested.
func restarts(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv("HAPSYNC_RESTARTS"), fmt.Sprint(often(5, 2))))
	if err != nil || n < 1 {
		t.Fatalf("HAPSYNC_RESTARTS: %q is not a number of restarts", os.Getenv("HAPSYNC_RESTARTS"))
	}
	return n
}

func TestHostThatIsRestartedLosesNoRequest(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		stays := startHost(t, "stays")
		b.register(t, "a.abc.com/server1", stays.addr)
		b.startAgent(t, "--reload-interval", "100ms")
		b.comes(t, "a.abc.com", "", stays)
		comes := &host{name: "comes and goes", addr: freeAddr(t)}
		var l, sticky *load
		for range restarts(t) {
			p := b.startRegister(t, "a.abc.com/server2", comes.addr, append([]string{"--drain", "300ms", "--"}, nginx(t, comes.name, comes.addr)...)...)
			b.comes(t, "a.abc.com", "server2", comes)
			if l == nil {
				l, sticky = startLoad(t, b, "a.abc.com"), startLoadOf(t, b, "a.abc.com", "server2")
			}
			l.goesOn(t)
			p.signal(t, syscall.SIGTERM)
			if code := p.code(t); code != 0 {
				t.Fatalf("hapsync register ended with %d:\n%s", code, p.printed())
			}
			if keys, _ := keysOf(t, world.etcd.client, b, "a.abc.com/server2"); len(keys) > 0 {
				t.Errorf("there is still %v", keys)
			}
			if sticky.served(comes) == 0 {
				t.Error("nobody has asked the host that is restarted")
			}
			p.end(t)
		}
		l.endsWithoutFailure(t)
		sticky.endsWithoutFailure(t)
		b.settles(t)
	})
}

func TestHostThatIsKilledLeavesWithItsLease(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		const ttl = 5 * time.Second
		b := startBox(t, h)
		stays, dies := startHost(t, "stays"), &host{name: "dies", addr: freeAddr(t)}
		b.register(t, "a.abc.com/server1", stays.addr)
		b.startAgent(t)
		p := b.startRegister(t, "a.abc.com/server2", dies.addr, append([]string{"--ttl", ttl.String(), "--"}, nginx(t, dies.name, dies.addr)...)...)
		b.comes(t, "a.abc.com", "server2", dies)
		b.comes(t, "a.abc.com", "server1", stays)
		l := startLoadOf(t, b, "a.abc.com", "server2")
		before, _ := b.stat("a.abc.com_cluster", "server2", "chkfail")

		p.signal(t, syscall.SIGKILL)
		killed := time.Now()
		eventually(t, "the first check fails", func() error {
			if now, there := b.stat("a.abc.com_cluster", "server2", "chkfail"); there && now == before {
				return errors.New("none has failed")
			}
			return nil
		})
		checked, failed := time.Now(), l.failures()
		eventually(t, "the host is out of HAProxy", func() error {
			if _, there := b.stat("a.abc.com_cluster", "server2", "status"); there {
				return errors.New("it is there")
			}
			return nil
		})
		t.Logf("the first check failed after %s, %d requests had failed; the host was out after %s", checked.Sub(killed), failed, time.Since(killed))
		l.goesOn(t)
		for _, f := range l.Failed() {
			if f.Began.After(checked) {
				t.Errorf("a request that began after the first check had failed, failed too: %s", f.What)
			}
		}
		b.settles(t)
		eventually(t, "the command has ended, too", func() error {
			if a, err := get(dies.addr, "localhost", ""); err == nil {
				return fmt.Errorf("it answers %s", a)
			}
			return nil
		})
	})
}

func TestCommandThatEndsTakesItsHostAlong(t *testing.T) {
	t.Parallel()
	b := newBox(t, firstHAProxy(t))
	for script, want := range map[string]int{"exit 7": 7, "exit 0": 0, "kill -9 $$": 128 + 9} {
		h := startHost(t, "a.abc.com")
		done := filepath.Join(t.TempDir(), "done")
		p := b.startRegister(t, "a.abc.com/server1", h.addr, "--ttl", "1h", "--drain", "1h", "--",
			"sh", "-c", "until [ -e "+done+" ]; do sleep 0.01; done; "+script)
		b.registered(t, "a.abc.com/server1", "ready")
		if err := os.WriteFile(done, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if code := p.code(t); code != want {
			t.Errorf("%s: hapsync ended with %d", script, code)
		}
		if keys, _ := keysOf(t, world.etcd.client, b, "a.abc.com/server1"); len(keys) > 0 {
			t.Errorf("there is still %v", keys)
		}
	}
}

func TestCommandGetsTheSignals(t *testing.T) {
	t.Parallel()
	b := newBox(t, firstHAProxy(t))
	h := startHost(t, "a.abc.com")
	file := filepath.Join(t.TempDir(), "signals")
	script := "for s in HUP USR1 USR2 INT; do trap \"echo $s >> " + file + "\" $s; done; trap 'echo TERM >> " + file + "; exit 3' TERM; " +
		"echo started > " + file + "; while :; do sleep 0.01; done"
	p := b.startRegister(t, "a.abc.com/server1", h.addr, "--drain", "0s", "--", "sh", "-c", script)
	b.registered(t, "a.abc.com/server1", "ready")
	want := "started\n"
	got := func(s string) {
		t.Helper()
		want += s + "\n"
		eventually(t, "the command gets "+s, func() error {
			if text, err := os.ReadFile(file); err != nil || string(text) != want {
				return fmt.Errorf("got %q, %w", text, err)
			}
			return nil
		})
	}
	passed := map[syscall.Signal]string{syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2"}
	if !signal.Ignored(syscall.SIGHUP) { // under nohup it is, and a shell cannot trap what was ignored at its start
		passed[syscall.SIGHUP] = "HUP"
	}
	for s, name := range passed {
		p.signal(t, s)
		got(name)
	}
	p.signal(t, syscall.SIGTERM)
	got("TERM")
	if code := p.code(t); code != 3 {
		t.Errorf("hapsync ended with %d:\n%s", code, p.printed())
	}
	b.registered(t, "a.abc.com/server1", "")
}

func TestHostWithoutACommandIsTakenOutAtAnySignalThatEndsIt(t *testing.T) {
	t.Parallel()
	signals := []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}
	if !signal.Ignored(syscall.SIGHUP) { // under nohup it is, and is not meant
		signals = append(signals, syscall.SIGHUP)
	}
	for _, s := range signals {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			b := newBox(t, firstHAProxy(t))
			p := b.startRegister(t, "a.abc.com/server1", startHost(t, "a.abc.com").addr, "--drain", "1s")
			b.registered(t, "a.abc.com/server1", "ready")
			p.signal(t, s)
			b.registered(t, "a.abc.com/server1", "drain")
			if code := p.code(t); code != 0 {
				t.Errorf("hapsync ended with %d:\n%s", code, p.printed())
			}
			b.registered(t, "a.abc.com/server1", "")
		})
	}
}

func TestSecondSignalKillsTheCommand(t *testing.T) {
	t.Parallel()
	b := newBox(t, firstHAProxy(t))
	h := startHost(t, "a.abc.com")
	p := b.startRegister(t, "a.abc.com/server1", h.addr, "--drain", "1h", "--", "sleep", "1000")
	b.registered(t, "a.abc.com/server1", "ready")
	p.signal(t, syscall.SIGTERM)
	b.registered(t, "a.abc.com/server1", "drain")
	p.signal(t, syscall.SIGTERM)
	if code := p.code(t); code != 128+9 {
		t.Errorf("hapsync ended with %d:\n%s", code, p.printed())
	}
	b.registered(t, "a.abc.com/server1", "")
}

func TestSecondSignalTakesAHostWithoutACommandOutAtOnce(t *testing.T) {
	t.Parallel()
	signals := [][2]syscall.Signal{{syscall.SIGTERM, syscall.SIGTERM}, {syscall.SIGINT, syscall.SIGINT}, {syscall.SIGINT, syscall.SIGTERM}}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, [2]syscall.Signal{syscall.SIGHUP, syscall.SIGHUP}, [2]syscall.Signal{syscall.SIGHUP, syscall.SIGTERM},
			[2]syscall.Signal{syscall.SIGTERM, syscall.SIGHUP})
	}
	for _, pair := range signals {
		t.Run(fmt.Sprint(pair), func(t *testing.T) {
			t.Parallel()
			b := newBox(t, firstHAProxy(t))
			p := b.startRegister(t, "a.abc.com/server1", startHost(t, "a.abc.com").addr, "--drain", "1h", "--ttl", "1h")
			b.registered(t, "a.abc.com/server1", "ready")
			p.signal(t, pair[0])
			b.registered(t, "a.abc.com/server1", "drain")
			if p.signal(t, pair[1]); pair[0] == syscall.SIGHUP && pair[1] == pair[0] { // as when a terminal is closed
				over := time.After(1100 * time.Millisecond)
				<-over
				b.registered(t, "a.abc.com/server1", "drain")
				p.signal(t, pair[1])
			}
			if code := p.code(t); code != 0 {
				t.Errorf("hapsync ended with %d:\n%s", code, p.printed())
			}
			if keys, _ := keysOf(t, world.etcd.client, b, "a.abc.com/server1"); len(keys) > 0 {
				t.Errorf("there is still %v", keys)
			}
		})
	}
}

func TestHurriedRemovalDoesNotWaitForAnEtcdThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for name, third := range map[string]bool{"two signals": false, "three signals": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, b := newEtcd(t), newBox(t, firstHAProxy(t))
			b.env = append(b.env, "HAPSYNC_ENDPOINTS="+e.listen.String(), "HAPSYNC_DIAL_TIMEOUT=1h")
			p := b.startRegister(t, "a.abc.com/server1", startHost(t, "a.abc.com").addr, "--drain", "1h", "--ttl", "1h")
			eventually(t, "it is registered", func() error { return logged(p, "msg=registered") })
			e.stop()
			p.signal(t, syscall.SIGINT) // not SIGHUP, which does not count under nohup
			p.signal(t, syscall.SIGTERM)
			eventually(t, "it hurries", func() error { return logged(p, "a second signal") })
			want := 0
			if third {
				p.signal(t, syscall.SIGTERM)
				want = -1 // by the signal
			}
			if code := p.code(t); code != want {
				t.Errorf("hapsync ended with %d:\n%s", code, p.printed())
			}
			if !third {
				says(t, p.printed(), "etcd has not answered in time", "when its lease runs out")
			}
		})
	}
}

// logged is an error until a process has printed some words.
func logged(p *process, words string) error {
	if !strings.Contains(p.printed(), words) {
		return errors.New(p.printed())
	}
	return nil
}

func TestCommandIsRegisteredOnceItAnswers(t *testing.T) {
	t.Parallel()
	b := newBox(t, firstHAProxy(t))
	addr, start := freeAddr(t), filepath.Join(t.TempDir(), "start")
	command := "until [ -e " + start + " ]; do sleep 0.01; done; exec " + strings.Join(nginx(t, "late", addr), " ")
	p := b.startRegister(t, "a.abc.com/server1", addr, "--drain", "0s", "--", "sh", "-c", command)
	eventually(t, "it is not good yet", func() error {
		if !strings.Contains(p.printed(), "the host is not good yet") {
			return errors.New(p.printed())
		}
		return nil
	})
	if keys, _ := keysOf(t, world.etcd.client, b, "a.abc.com/server1"); len(keys) > 0 {
		t.Errorf("there is %v", keys)
	}
	if err := os.WriteFile(start, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b.registered(t, "a.abc.com/server1", "ready")
	p.signal(t, syscall.SIGINT)
	if code := p.code(t); code != 0 && code != 128+2 {
		t.Errorf("hapsync ended with %d", code)
	}
}

// TestCommandOnATerminalIsNotStopped has a command that reads: it is not in the terminal's foreground.
func TestCommandOnATerminalIsNotStopped(t *testing.T) {
	t.Parallel()
	b := newBox(t, firstHAProxy(t))
	ip, port := splitAddr(t, startHost(t, "server1").addr)
	ctx, stop := context.WithTimeout(t.Context(), harness.Patience)
	defer stop()
	line := b.program + " register --domain a.abc.com --host server1 --ip " + ip + " --port " + port + " -- sh -c 'read x; exit 7'"
	c := exec.CommandContext(ctx, "script", "-qec", line, "/dev/null")
	c.Env = append(os.Environ(), b.env...)
	in, err := c.StdinPipe() // it stays open, and nothing is typed
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	if out, err := c.CombinedOutput(); c.ProcessState.ExitCode() != 7 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestCommandThatIsStoppedEnds(t *testing.T) {
	t.Parallel()
	b := newBox(t, firstHAProxy(t))
	p := b.startRegister(t, "a.abc.com/server1", startHost(t, "server1").addr, "--drain", "0s", "--", "sh", "-c", "kill -STOP $$; exit 9")
	b.registered(t, "a.abc.com/server1", "ready")
	p.signal(t, syscall.SIGTERM)
	if code := p.code(t); code != 128+int(syscall.SIGTERM) {
		t.Errorf("code %d\n%s", code, p.printed())
	}
}

func TestCommandThatCannotStart(t *testing.T) {
	t.Parallel()
	b := newBox(t, firstHAProxy(t))
	o := b.exits(t, 127, "register", "--domain", "a.abc.com", "--ip", "127.0.0.1", "--port", "1", "--", "/no/such/command")
	says(t, o.stderr, "/no/such/command")
	o = b.exits(t, 126, "register", "--domain", "a.abc.com", "--ip", "127.0.0.1", "--port", "1", "--", "/etc/passwd")
	says(t, o.stderr, "/etc/passwd")
	for _, words := range [][]string{{"--"}, {"--", ""}, {"--", "", "--listen"}} {
		o = b.exits(t, 2, append([]string{"register", "--domain", "a.abc.com", "--ip", "127.0.0.1", "--port", "1"}, words...)...)
		says(t, o.stderr, "no command after --")
	}
}

func TestCommandOfARefusedHostIsKilledUnlessItEnds(t *testing.T) {
	t.Parallel()
	b := newBox(t, firstHAProxy(t))
	h := startHost(t, "a.abc.com")
	b.register(t, "a.abc.com/server1", "127.0.0.1:1")
	p := b.startRegister(t, "a.abc.com/server1", h.addr, "--", "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
	eventually(t, "it says why, and for how long it waits for the command", func() error {
		return logged(p, "a.abc.com/server1 is registered already")
	})
	if err := p.running(); err != nil {
		t.Errorf("it has ended: %v", err)
	}
	says(t, p.printed(), "the command is told to end", "time=10s")
	if code := p.code(t); code != 1 {
		t.Errorf("hapsync ended with %d:\n%s", code, p.printed())
	}
	says(t, p.printed(), "it is killed")
	says(t, p.printed(), "hapsync: a.abc.com/server1 is registered already", "--replace")
}

func TestNameThatAnotherHasIsRefused(t *testing.T) {
	t.Parallel()
	b := newBox(t, firstHAProxy(t))
	one, two := startHost(t, "one"), startHost(t, "two")
	first := b.startRegister(t, "a.abc.com/server1", one.addr)
	b.registered(t, "a.abc.com/server1", "ready")
	_, lease := keysOf(t, world.etcd.client, b, "a.abc.com/server1")

	second := b.startRegister(t, "a.abc.com/server1", two.addr, "--", "sleep", "1000")
	if code := second.code(t); code != 1 {
		t.Errorf("the second ended with %d", code)
	}
	says(t, second.printed(), "a.abc.com/server1 is registered already", one.addr, fmt.Sprintf("lease %x", lease), "s left", "--replace")
	if keys, now := keysOf(t, world.etcd.client, b, "a.abc.com/server1"); now != lease {
		t.Errorf("the registry has %v under lease %x", keys, now)
	}

	b.startRegister(t, "a.abc.com/server1", two.addr, "--replace")
	_, port := splitAddr(t, two.addr)
	eventually(t, "the name is taken over", func() error {
		if keys, _ := keysOf(t, world.etcd.client, b, "a.abc.com/server1"); keys["port"] != port {
			return fmt.Errorf("got %v", keys)
		}
		return nil
	})
	eventually(t, "the first knows", func() error {
		if !strings.Contains(first.printed(), "another has taken the name") {
			return errors.New(first.printed())
		}
		return nil
	})
	first.signal(t, syscall.SIGTERM)
	if code := first.code(t); code != 0 {
		t.Errorf("the first ended with %d", code)
	}
	b.registered(t, "a.abc.com/server1", "ready") // the first has not taken it along

	b.register(t, "a.abc.com/server2", one.addr)
	o := b.exits(t, 1, "register", "--domain", "a.abc.com", "--host", "server2", "--ip", "10.0.0.1", "--port", "1")
	says(t, o.stderr, "a.abc.com/server2", "no lease", one.addr)
}

func TestHostIsInServiceWhileItsCheckIsGood(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		b.startAgent(t)
		a := startHost(t, "a.abc.com")
		good := filepath.Join(t.TempDir(), "good")
		set := func(is bool) {
			t.Helper()
			err := os.Remove(good)
			if is {
				err = os.WriteFile(good, nil, 0o644)
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		b.startRegister(t, "a.abc.com/checked", a.addr, "--check", "exec:"+lookPath(t, "test")+" -e "+good, "--interval", "50ms")
		gone := func() {
			t.Helper()
			eventually(t, "nobody serves", func() error {
				if got, err := get(b.web, "a.abc.com", ""); err != nil || got.status != http.StatusServiceUnavailable {
					return fmt.Errorf("got %s, %w", got, err)
				}
				return nil
			})
		}
		b.registered(t, "a.abc.com/checked", "")
		set(true)
		b.comes(t, "a.abc.com", "", a)
		set(false)
		b.registered(t, "a.abc.com/checked", "maint")
		gone()
		set(true)
		b.comes(t, "a.abc.com", "", a)

		says(t, b.must(t, "maint", "--domain", "a.abc.com", "--host", "checked").stdout, "state of a.abc.com/checked is maint")
		gone()
		set(false)
		set(true)
		b.must(t, "weight", "--domain", "a.abc.com", "--host", "checked", "9")
		b.eventuallyWeighs(t, "a.abc.com_cluster/checked", "9 ")
		gone()
		b.must(t, "ready", "--domain", "a.abc.com", "--host", "checked")
		b.comes(t, "a.abc.com", "", a)
		b.must(t, "drain", "--domain", "a.abc.com", "--host", "checked")
		b.comes(t, "a.abc.com", "checked", a)
		b.must(t, "deregister", "--domain", "a.abc.com", "--host", "checked", "--drain", "10ms")
		gone()
		says(t, b.exits(t, 1, "maint", "--domain", "a.abc.com", "--host", "checked").stderr, "no such host", "checked", "a.abc.com", b.prefix)
	})
}
