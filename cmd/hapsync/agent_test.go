package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/daemon"
	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A log is what a running hapsync prints.
type log struct {
	mu  stdsync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// A runningAgent runs in this process.
type runningAgent struct {
	*log
	listen daemon.Address
	end    context.CancelFunc // what SIGTERM and SIGINT do
	code   chan int
}

// startAgent runs hapsync agent until its address answers; the test waits for its end.
func startAgent(t *testing.T, p program, listen string, args ...string) *runningAgent {
	t.Helper()
	address, err := daemon.ParseAddress(listen)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a := &runningAgent{log: new(log), listen: address, end: cancel, code: make(chan int, 1)}
	p.stdout, p.stderr = a.log, a.log
	go func() { a.code <- p.run(ctx, append([]string{"hapsync", "agent", "--listen", listen}, args...)) }()
	t.Cleanup(func() {
		cancel()
		a.code <- <-a.code // wait for its end; a test may have taken the code already
	})
	a.says(t, "the agent runs")
	return a
}

// ends ends the agent and returns its exit code.
func (a *runningAgent) ends() int {
	a.end()
	code := <-a.code
	a.code <- code
	return code
}

// says waits until the agent has logged the words.
func (a *runningAgent) says(t *testing.T, words string) {
	t.Helper()
	eventually(t, "the agent says "+words, func() error {
		if said := a.String(); !strings.Contains(said, words) {
			return errors.New(said)
		}
		return nil
	})
}

// get asks the agent.
func (a *runningAgent) get(t *testing.T, path string) (code int, body string, err error) {
	t.Helper()
	return get(t, a.listen, path)
}

func get(t *testing.T, where daemon.Address, path string) (code int, body string, err error) {
	t.Helper()
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return where.Dial(ctx) },
		DisableKeepAlives: true,
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://hapsync"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// answers waits until the agent answers with the code, and with the words in the body.
func (a *runningAgent) answers(t *testing.T, path string, code int, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s answers %d", path, code), func() error {
		got, body, err := a.get(t, path)
		if err != nil || got != code {
			return fmt.Errorf("%d %q %w", got, body, err)
		}
		for _, w := range words {
			if !strings.Contains(body, w) {
				return fmt.Errorf("%q lacks %q", body, w)
			}
		}
		return nil
	})
}

func TestAgentIsSeenFromOutside(t *testing.T) {
	noon := time.Date(2026, 7, 1, 12, 0, 0, 0, time.Local)
	for _, tt := range []struct {
		name   string
		change func(*bench)
		code   int    // of readyz
		ready  string // the body
		status int    // the exit code of hapsync status
	}{
		{"ready", func(*bench) {}, 200, "ready\n", exitOK},
		{"registry away", func(b *bench) { b.snapshotErr = fmt.Errorf("%w: etcd at x: no answer", registry.ErrUnavailable) },
			503, "the registry has not been read yet\nregistry: registry not reachable: etcd at x: no answer\n", exitRegistry},
		{"HAProxy away", func(b *bench) { b.state.Down = fmt.Errorf("/run/x.sock: %w", haproxy.ErrDown) },
			503, "no good pass has been made yet\nhaproxy: /run/x.sock: " + haproxy.ErrDown.Error() + "\n", exitHAProxy},
		{"held", func(b *bench) {
			b.state.File, b.state.Live = threeServers(), threeServers()
			b.snapshot = registry.Snapshot{Revision: 7}
		}, 503, "no good pass has been made yet\nheld: the registry has no key below the prefix", exitHeld},
		{"the file cannot be committed", func(b *bench) { b.commitErr = errors.New("disk\nfull") },
			503, "no good pass has been made yet\nthe last pass failed: disk; full\n", exitError},
		{"haproxy -c hangs", func(b *bench) { b.waiting = haproxy.Wait{For: "haproxy -c", Since: noon} },
			503, "waiting for haproxy -c since 12:00:00\n", exitError},
		{"another one is at work", func(b *bench) { b.lockErr = haproxy.ErrLocked },
			503, "no good pass has been made yet\nthe last pass failed: another hapsync is at work\n", exitError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := oneHost()
			tt.change(b)
			listen := freeAddr(t)
			a := startAgent(t, b.program(nil, nil), listen)
			a.answers(t, "/readyz", tt.code, tt.ready)
			a.answers(t, "/healthz", 200, "ok\n")
			got := new(bench).run(t, "status", "--listen", listen)
			if got.code != tt.status {
				t.Errorf("status: code %d, want %d\n%s%s", got.code, tt.status, got.stdout, got.stderr)
			}
			for line := range strings.Lines(tt.ready) {
				wantContains(t, "status", got.stdout, strings.TrimSpace(line))
			}
			if code := a.ends(); code != exitOK {
				t.Errorf("code %d at the end\n%s", code, a)
			}
			if !b.opened.Background {
				t.Error("passes wait for checks and drains")
			}
		})
	}
}

func TestAgentWithoutAnAddress(t *testing.T) {
	b := oneHost()
	a := startAgent(t, b.program(nil, nil), "off")
	a.says(t, "synced")
	if code := a.ends(); code != exitOK || !b.wrote {
		t.Errorf("code %d, wrote %t\n%s", code, b.wrote, a)
	}
}

func TestAgentRefusesWhatCannotBeFollowed(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"--listen 9101", exitUsage, "host:port"},
		{"--listen 127.0.0.1:http:80", exitUsage, "host:port"},
		{"--listen unix:", exitUsage, "unix socket"},
		{"--resync 0s", exitUsage, "must be more than 0"},
		{"--reload-interval -1s", exitUsage, "must be more than 0"},
		{"--max-removal 0", exitUsage, "percent"},
		{"--frontend ,", exitUsage, "--frontend"},
		{"--dry-run", exitUsage, `--dry-run`},
		{"stray", exitUsage, `stray argument "stray"`},
		{"--listen /nowhere/agent.sock", exitError, "--listen unix:/nowhere/agent.sock"},
	} {
		got := oneHost().run(t, append([]string{"agent"}, strings.Fields(tt.args)...)...)
		if got.code != tt.code || got.stdout != "" {
			t.Errorf("%s: code %d, want %d\n%s", tt.args, got.code, tt.code, got.stderr)
		}
		wantContains(t, tt.args, got.stderr, tt.want)
	}
	b := oneHost()
	b.openErr = errors.New("no haproxy here")
	if got := b.run(t, "agent"); got.code != exitError {
		t.Errorf("HAProxy cannot be opened: code %d, %s", got.code, got.stderr)
	}
}

func TestAgentWaitsForALogin(t *testing.T) {
	p := oneHost().program(nil, nil)
	p.dial = dial
	a := startAgent(t, p, freeAddr(t), "--endpoints", freeAddr(t), "--user", "root:s3cret", "--dial-timeout", "300ms")
	a.answers(t, "/readyz", 503, "registry: registry not reachable: etcd at http://127.0.0.1:", "connection refused")
	if code := a.ends(); code != exitOK || strings.Contains(a.String(), "s3cret") {
		t.Errorf("code %d\n%s", code, a)
	}
}

func TestAgentSettingsThatEtcdCannotTakeAreUsage(t *testing.T) {
	p := oneHost().program(new(bytes.Buffer), new(bytes.Buffer))
	p.dial = dial
	if code := p.run(t.Context(), []string{"hapsync", "agent", "--prefix", "services"}); code != exitUsage {
		t.Errorf("code %d: %s", code, p.stderr)
	}
}

func TestAgentFinishesThePassThatIsUnderWay(t *testing.T) {
	heard := startSystemd(t)
	t.Setenv("WATCHDOG_USEC", "20000")
	b := oneHost()
	began, held := make(chan struct{}), make(chan struct{})
	release := stdsync.OnceFunc(func() { close(held) })
	defer release()
	b.writing = func() {
		close(began)
		<-held
	}
	a := startAgent(t, b.program(nil, nil), freeAddr(t))
	<-began
	a.end()
	hears(t, heard, "STOPPING=1\n\n.*WATCHDOG=1\n\n") // it may take longer than the watchdog waits
	a.answers(t, "/healthz", 200)
	release()
	if code := a.ends(); code != exitOK || len(b.state.Live.Rules) != 1 {
		t.Errorf("code %d, rules %v\n%s", code, b.state.Live.Rules, a)
	}
}

func TestAgentFollowsItsOwnFlags(t *testing.T) {
	leaving := func() *bench { // five of eight servers leave
		b := &bench{snapshot: registry.Snapshot{Revision: 8, Keys: 6}, state: oneHost().state}
		for i := range 8 {
			d := fmt.Sprintf("d%d.abc.com", i)
			server := haproxy.Server{Name: "s", Cookie: "s", Addr: netip.MustParseAddrPort("10.0.0.1:80"), Check: true, Weight: 1, State: haproxy.Ready}
			b.state.File.Backends = append(b.state.File.Backends, haproxy.Backend{Name: haproxy.BackendName(d), Servers: []haproxy.Server{server},
				Options: haproxy.BackendOptions{Balance: "roundrobin", Cookie: haproxy.StickyCookie}})
			b.state.File.Rules = append(b.state.File.Rules, haproxy.Rule{Frontend: "webin", Domain: d})
			if i < 3 {
				host := registry.Host{Name: "s", Addr: server.Addr, Weight: 1, State: registry.Ready}
				b.snapshot.Domains = append(b.snapshot.Domains, &registry.Domain{Name: d, Hosts: []registry.Host{host}})
			}
		}
		b.state.Live = b.state.File
		return b
	}
	a := startAgent(t, leaving().program(nil, nil), freeAddr(t))
	a.answers(t, "/readyz", 503, "held: 5 of 8 managed servers would be removed")
	a.ends()
	b := leaving()
	a = startAgent(t, b.program(nil, nil), freeAddr(t), "--max-removal", "70", "--resync", "10ms")
	a.says(t, "synced")
	eventually(t, "all is read again every 10 ms", func() error {
		if n := b.relists.Load(); n < 5 {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
}
