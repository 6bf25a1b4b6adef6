package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// A needing is what an operator writes that needs servers, and what leaves the registry then.
type needing struct {
	name  string
	lines map[string]string // above or behind which words, and what
	leave []string
	held  []string // whose removal HAProxy refuses
	// tracked is set if the domain that is held back has servers that others track: they go on.
	tracked bool
}

// Lines that an operator writes above or behind, and what.
const (
	lineA1         = "    server server1 127.0.0.1:11 cookie server1 check"
	lineB1, lineB2 = "    server server1 127.0.0.1:21 cookie server1", "    server server2 127.0.0.1:22 cookie server2"
	useA1          = "    acl one path_beg /1\n    use-server server1 if one\n"
	ownTracks      = "    server other 127.0.0.1:3 track a.abc.com_cluster/server1\n"
	tracksA1       = " track a.abc.com_cluster/server1"
	agentChecked   = " agent-check agent-port 9 agent-inter 1h"
)

// someNeedings are every third of needings, unless everything is tested.
func someNeedings() (some []needing) {
	for i := 0; i < len(needings); i += often(1, 3) {
		some = append(some, needings[i])
	}
	return some
}

var needings = []needing{
	{name: "a server that tracks another one goes with it", lines: map[string]string{lineB1: agentChecked, lineB2: " track server1"},
		leave: []string{"b.abc.com/server1/", "b.abc.com/server2/"}},
	{name: "a server that tracks one of another domain goes with it", lines: map[string]string{lineB1: tracksA1},
		leave: []string{"a.abc.com/server1/", "b.abc.com/server1/"}},
	{name: "a domain whose server tracks another one goes with that", lines: map[string]string{lineB1: tracksA1},
		leave: []string{"a.abc.com/server1/", "b.abc.com/"}},
	{name: "two servers that track one go with it", lines: map[string]string{lineB1: tracksA1, lineB2: tracksA1},
		leave: []string{"a.abc.com/server1/", "b.abc.com/server1/", "b.abc.com/server2/"}},
	{name: "the domain of a use-server line goes", lines: map[string]string{lineA1: useA1}, leave: []string{"a.abc.com/"}},
	{name: "the domain of a default-server line that tracks goes", lines: map[string]string{lineB1: "    default-server" + tracksA1 + "\n"},
		leave: []string{"a.abc.com/server1/", "b.abc.com/"}},

	{name: "a server that tracks another one stays", lines: map[string]string{lineB1: tracksA1}, leave: []string{"a.abc.com/server1/"},
		held: []string{"a.abc.com/server1"}},
	{name: "of two servers that track one, one stays", lines: map[string]string{lineB1: tracksA1, lineB2: tracksA1},
		leave: []string{"a.abc.com/server1/", "b.abc.com/server1/"}, held: []string{"a.abc.com/server1"}},
	{name: "of two servers that track one, the other stays", lines: map[string]string{lineB1: tracksA1, lineB2: tracksA1},
		leave: []string{"a.abc.com/server1/", "b.abc.com/server2/"}, held: []string{"a.abc.com/server1"}},
	{name: "a use-server line stays above a server that tracks and goes", lines: map[string]string{lineA1: useA1, lineB1: tracksA1},
		leave: []string{"a.abc.com/server1/", "b.abc.com/server1/"}, held: []string{"a.abc.com/server1"}},
	{name: "a default-server line that tracks stays", lines: map[string]string{lineB1: "    default-server" + tracksA1 + "\n"},
		leave: []string{"a.abc.com/server1/", "b.abc.com/server1/"}, held: []string{"a.abc.com/server1"}},
	{name: "an operator's server keeps its backend", lines: map[string]string{lineB1: ownTracks}, leave: []string{"a.abc.com/server1/", "b.abc.com/"},
		held: []string{"a.abc.com/server1"}},
	{name: "an operator's server keeps the backend of a use-server line", lines: map[string]string{lineA1: "    server other 127.0.0.1:3\n" + useA1},
		leave: []string{"a.abc.com/"}, held: []string{"a.abc.com/server1", "a.abc.com/server2", "a.abc.com/server3"}},
	{name: "a server that is held back tracks another one", lines: map[string]string{lineB1: tracksA1, lineB2: "    use-server server1 if { path_beg /1 }\n"},
		leave: []string{"a.abc.com/server1/", "b.abc.com/server1/"}, held: []string{"a.abc.com/server1", "b.abc.com/server1"}},
	{name: "all of the domain goes, a server that tracks it stays", lines: map[string]string{lineB1: tracksA1}, leave: []string{"a.abc.com/"},
		held: []string{"a.abc.com"}, tracked: true},
}

// box starts HAProxy with the lines.
func (n needing) box(t *testing.T, h haproxy) *box {
	b := startBox(t, h)
	b.env = append(b.env, "HAPSYNC_MAX_REMOVAL=100")
	for _, host := range []string{"a.abc.com/server1=127.0.0.1:11", "a.abc.com/server2=127.0.0.1:12", "a.abc.com/server3=127.0.0.1:13",
		"b.abc.com/server1=127.0.0.1:21", "b.abc.com/server2=127.0.0.1:22", "c.abc.com/server1=127.0.0.1:31"} {
		name, addr, _ := strings.Cut(host, "=")
		b.register(t, name, addr)
	}
	b.put(t, "b.abc.com/check", "off")
	b.must(t, "sync")
	for words, more := range n.lines {
		if strings.HasSuffix(more, "\n") {
			operator(t, b.managedFile, words, more+words)
		} else {
			operator(t, b.managedFile, words+"\n", words+more+"\n")
		}
	}
	b.reload(t)
	b.inLine(t)
	return b
}

// done is what is wrong with the file after all that could go has gone; nil if nothing is.
func (n needing) done(t *testing.T, b *box) error {
	text := read(t, b.managedFile)
	if shut := strings.Contains(text, "acl is_a.abc.com always_false # hapsync\n"); n.tracked && (strings.Contains(text, " disabled") || !shut) {
		return fmt.Errorf("servers are out of service that others track, or their domain is not:\n%s", text)
	}
	for _, host := range []string{"a.abc.com/server1/ 127.0.0.1:11 ", "a.abc.com/server2/ 127.0.0.1:12 ", "a.abc.com/server3/ 127.0.0.1:13 ",
		"b.abc.com/server1/ 127.0.0.1:21 ", "b.abc.com/server2/ 127.0.0.1:22 "} {
		key, addr, _ := strings.Cut(host, " ")
		domain, _, _ := strings.Cut(key, "/")
		stays := !slices.Contains(n.leave, key) && !slices.Contains(n.leave, domain+"/") ||
			slices.Contains(n.held, strings.TrimSuffix(key, "/")) || slices.Contains(n.held, domain)
		if strings.Contains(text, addr) != stays {
			return fmt.Errorf("stays %v, %s:\n%s", stays, key, text)
		}
	}
	return nil
}

// problems fails the test unless the output names what HAProxy refuses, and nothing else.
func (n needing) problems(t *testing.T, output string) {
	t.Helper()
	for _, held := range n.held {
		says(t, output, "problem ", held+": out of service, but left in the file", "HAProxy refuses")
	}
	if strings.Contains(output, "a fault of hapsync's") {
		t.Errorf("%s", output)
	}
	if got := strings.Count(output, "refuses the line"); got != len(n.held) {
		t.Errorf("%d problems, want %d:\n%s", got, len(n.held), output)
	}
}

// TestWhatLinesNeedIsHeldOnlyIfTheLinesStay compares plan and sync with what HAProxy takes.
func TestWhatLinesNeedIsHeldOnlyIfTheLinesStay(t *testing.T) {
	t.Parallel()
	for _, n := range someNeedings() {
		t.Run(n.name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := n.box(t, h)
				b.txn(t, nil, n.leave...)
				code := 0
				if len(n.held) > 0 {
					code = 6
				}
				plan := b.hapsync(t, "plan")
				n.problems(t, plan.stdout)
				o := b.exits(t, code, "sync")
				n.problems(t, o.stdout)
				for l := range strings.Lines(plan.stdout) {
					if !strings.HasPrefix(l, "to do: ") && !strings.HasPrefix(l, "in line: ") && !strings.Contains(o.stdout, l) {
						t.Errorf("the plan has %q, sync has not: %s", l, o)
					}
				}
				if err := n.done(t, b); err != nil {
					t.Error(err)
				}
				if code == 0 {
					b.reload(t) // a process cannot delete a server that others track
					b.inLine(t)
				}
				again := b.exits(t, code, "sync")
				n.problems(t, again.stdout)
				says(t, again.stdout, "in line: ")
			})
		})
	}
}

// TestAnAgentHoldsWhatLinesNeedOnlyIfTheLinesStay has HAProxy refuse what leaves, or take it.
func TestAnAgentHoldsWhatLinesNeedOnlyIfTheLinesStay(t *testing.T) {
	t.Parallel()
	for _, n := range someNeedings() {
		t.Run(n.name, func(t *testing.T) {
			t.Parallel()
			b := n.box(t, latestHAProxy(t))
			a := b.startAgent(t)
			a.ready(t)
			b.txn(t, nil, n.leave...)
			eventually(t, "all that may go has gone", func() error { return n.done(t, b) })
			if len(n.held) == 0 {
				a.ready(t)
			}
			for _, held := range n.held {
				a.logs(t, 0, held, "refuses")
			}
			if err := n.done(t, b); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestADomainThatHasToStayIsAnUnknownOne has all of a domain go that a rule of an operator's elsewhere needs.
func TestADomainThatHasToStayIsAnUnknownOne(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		for _, behind := range []string{"", "    default_backend catchall\n"} {
			for _, routing := range []string{"acl", "map"} {
				t.Run(strings.Join(strings.Fields(behind+" "+routing), " "), func(t *testing.T) {
					t.Parallel()
					aDomainThatHasToStay(t, startABC(t, h, "HAPSYNC_ROUTING="+routing), behind)
				})
			}
		}
	})
}

func aDomainThatHasToStay(t *testing.T, b abc, behind string) {
	const before = "\nbackend b.abc.com_cluster\n"
	rule := "\nfrontend other\n    bind " + b.dir + "/other.sock\n    use_backend a.abc.com_cluster if { path_beg /a }\n"
	operator(t, b.managedFile, before, rule+before)
	status := http.StatusServiceUnavailable
	if behind != "" {
		status = http.StatusGone
		operator(t, b.managedFile, "\n\nbackend a.abc.com_cluster\n", "\n"+behind+"\nbackend catchall\n    http-request deny deny_status 410\n\nbackend a.abc.com_cluster\n")
	}
	gone := func(domain string) error {
		if a, err := get(b.web, domain, ""); err != nil || a.status != status {
			return fmt.Errorf("want %d, got %s, %w", status, a, err)
		}
		return nil
	}
	b.reload(t)
	b.inLine(t)
	b.unregister(t, "a.abc.com")
	other := startHost(t, "other")
	b.register(t, "c.abc.com/server1", other.addr)
	says(t, b.exits(t, 6, "sync", "--allow-mass-removal").stdout, "a.abc.com: out of service, but left in the file")
	since := b.generation(t)
	b.exits(t, 6, "sync")
	b.notReloaded(t, since)
	b.serves(t, "b.abc.com", "", b.b1)
	b.serves(t, "c.abc.com", "", other)
	if err := errors.Join(gone("a.abc.com"), gone("unknown.abc.com")); err != nil {
		t.Error(err)
	}
	for _, addr := range []string{b.a1.addr, b.a2.addr} {
		if !strings.Contains(read(t, b.managedFile), addr) {
			t.Errorf("%s is not in the file", addr)
		}
	}
	b.reload(t) // the file says the same
	if err := gone("a.abc.com"); err != nil {
		t.Error(err)
	}
	a := b.startAgent(t)
	a.logs(t, 0, "a.abc.com", "out of service")
	b.register(t, "a.abc.com/server1", b.a1.addr) // it comes again
	b.comes(t, "a.abc.com", "server1", b.a1)
	b.unregister(t, "a.abc.com")
	eventually(t, "a.abc.com is out of service again", func() error { return gone("a.abc.com") })
	operator(t, b.managedFile, rule, "")
	a.terminate(t)
	b.must(t, "sync", "--allow-mass-removal")
	b.inLine(t)
	if text := read(t, b.managedFile); strings.Contains(text, b.a1.addr) || strings.Contains(text, "a.abc.com") {
		t.Errorf("a.abc.com is in the file:\n%s", text)
	}
	b.serves(t, "b.abc.com", "", b.b1)
	if err := gone("a.abc.com"); err != nil {
		t.Error(err)
	}
}

// TestADomainThatOthersTrackGetsNoRequests has all of a domain go, one of whose servers a server of another domain tracks.
func TestADomainThatOthersTrackGetsNoRequests(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		operator(t, b.managedFile, "server server1 "+b.b1.addr+" cookie server1 check", "server server1 "+b.b1.addr+" cookie server1 track a.abc.com_cluster/server1")
		b.reload(t)
		b.inLine(t)
		b.unregister(t, "a.abc.com")
		says(t, b.hapsync(t, "plan", "--allow-mass-removal").stdout, "reload ", "a.abc.com", "servers of other domains track its servers")
		o := b.exits(t, 6, "sync", "--allow-mass-removal")
		says(t, o.stdout, "a.abc.com: out of service, but left in the file", "refuses the line track")
		if strings.Contains(o.stdout, "the transaction failed") {
			t.Errorf("a transaction was tried that cannot write it: %s", o)
		}
		since := b.generation(t)
		says(t, b.exits(t, 6, "sync").stdout, "in line: ")
		b.notReloaded(t, since)
		if err := b.answers503("a.abc.com"); err != nil {
			t.Error(err)
		}
		b.serves(t, "b.abc.com", "", b.b1)
		b.a1.end(t)
		eventually(t, "b.abc.com is down with the server that its own one tracks", func() error { return b.answers503("b.abc.com") })
		operator(t, b.managedFile, " track a.abc.com_cluster/server1", " check")
		b.must(t, "sync", "--allow-mass-removal")
		b.inLine(t)
		b.serves(t, "b.abc.com", "", b.b1)
		if text := read(t, b.managedFile); strings.Contains(text, "a.abc.com") {
			t.Errorf("a.abc.com is in the file:\n%s", text)
		}
	})
}

// answers503 is an error unless a domain does.
func (b *box) answers503(domain string) error {
	if a, err := get(b.web, domain, ""); err != nil || a.status != http.StatusServiceUnavailable {
		return fmt.Errorf("got %s, %w", a, err)
	}
	return nil
}

// needs has a rule of an operator's in another frontend need the domains.
func (b *box) needs(t *testing.T, domains ...string) (noMore func()) {
	t.Helper()
	rules := "\nfrontend other\n    bind " + b.dir + "/other.sock\n"
	for _, d := range domains {
		rules += "    use_backend " + d + "_cluster if { path_beg /" + d + " }\n"
	}
	const before = "\n# the statistics page\n"
	operator(t, b.baseFile, before, rules+before)
	b.reload(t)
	return func() { operator(t, b.baseFile, rules, "") }
}

// TestADomainThatHAProxyHasLoadedShutGoesForGood has the line that needs it go after HAProxy has loaded its shut rule.
func TestADomainThatHAProxyHasLoadedShutGoesForGood(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		for _, behind := range []string{"", "    default_backend catchall\n"} {
			for _, routing := range []string{"acl", "map"} {
				t.Run(strings.Join(strings.Fields(behind+" "+routing), " "), func(t *testing.T) {
					t.Parallel()
					b := startABC(t, h, "HAPSYNC_ROUTING="+routing, "HAPSYNC_MAX_REMOVAL=100")
					if behind != "" {
						operator(t, b.managedFile, "\n\nbackend a.abc.com_cluster\n", "\n"+behind+"\nbackend catchall\n    http-request deny deny_status 410\n\nbackend a.abc.com_cluster\n")
					}
					noMore := b.needs(t, "a.abc.com")
					b.unregister(t, "a.abc.com")
					b.exits(t, 6, "sync")
					b.reload(t)
					noMore()
					since := b.generation(t)
					b.must(t, "sync")
					b.inLine(t)
					b.notReloaded(t, since)
					b.register(t, "a.abc.com/server1", b.a1.addr)
					b.must(t, "sync")
					b.inLine(t)
					b.serves(t, "a.abc.com", "", b.a1)
				})
			}
		}
	})
}

// TestManyDomainsThatHaveToStayAreShutAtOnce has more of them than haproxy -c is asked about one by one.
func TestManyDomainsThatHaveToStayAreShutAtOnce(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h, "HAPSYNC_MAX_REMOVAL=100")
		var many []string
		puts := map[string]string{}
		for i := range 50 {
			many = append(many, fmt.Sprintf("many%d.abc.com", i))
			maps.Copy(puts, addrOf(t, many[i]+"/server1", b.b1.addr))
		}
		b.txn(t, puts)
		b.must(t, "sync")
		b.needs(t, many...)
		b.txn(t, nil, "many")
		said := b.exits(t, 6, "sync").stdout
		for _, domain := range many {
			says(t, said, domain+": out of service, but left in the file", "use_backend: '"+domain+"_cluster'")
			if err := b.answers503(domain); err != nil {
				t.Errorf("%s: %v", domain, err)
			}
		}
		if got := strings.Count(read(t, b.managedFile), " always_false # hapsync\n"); got != len(many) {
			t.Errorf("%d domains are shut", got)
		}
		if first := strings.Count(said, "use_backend: '"); first != len(many) {
			t.Errorf("%d lines of HAProxy's for %d domains:\n%s", first, len(many), said)
		}
	})
}

// TestAnAgentTellsOnceOfADomainThatHasToStay has it ask HAProxy again and again.
func TestAnAgentTellsOnceOfADomainThatHasToStay(t *testing.T) {
	t.Parallel()
	b := startABC(t, latestHAProxy(t), "HAPSYNC_MAX_REMOVAL=100")
	b.needs(t, "a.abc.com")
	a := b.startAgent(t, "--resync", "1s")
	a.ready(t)
	b.unregister(t, "a.abc.com")
	a.logs(t, 0, "changed", "rule=a.abc.com", "no request")
	a.logs(t, 0, "a.abc.com/server1", "maint", "via=runtime")
	a.logs(t, 0, "a.abc.com", "out of service")
	<-time.After(time.Second)
	said, history := a.printed(), b.must(t, "history").stdout
	<-time.After(4 * time.Second)
	if now := a.printed(); now != said {
		t.Errorf("it goes on to say\n%s", strings.TrimPrefix(now, said))
	}
	if now := b.must(t, "history").stdout; now != history {
		t.Errorf("the history goes on:\n%s\nand was\n%s", now, history)
	}
	if strings.Contains(said, "msg=removed rule=a.abc.com") || strings.Contains(said, "msg=removed backend=a.abc.com") {
		t.Errorf("it says that the domain has gone:\n%s", said)
	}
}
