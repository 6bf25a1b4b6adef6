package sync

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// sized is a backend of a domain with servers h00, h01, ..., which have checks.
func sized(name string, from, to int) haproxy.Backend {
	b := haproxy.Backend{Name: haproxy.BackendName(name), Options: haproxy.BackendOptions{Balance: "roundrobin", Cookie: haproxy.StickyCookie}}
	for i := from; i < to; i++ {
		b.Servers = append(b.Servers, haproxy.Server{Name: fmt.Sprintf("h%02d", i), Check: true})
	}
	return b
}

// agents is a backend whose servers have agent-checks.
func agents(b haproxy.Backend) haproxy.Backend {
	for i := range b.Servers {
		b.Servers[i].Params = "agent-check agent-port 1"
	}
	return b
}

// given is a backend whose default-server line has one.
func given(b haproxy.Backend) haproxy.Backend {
	b.Own = []string{haproxy.GivenAgent}
	return b
}

func TestWhatIsBeyondTheLimitsIsLeftOut(t *testing.T) {
	t.Parallel()
	unchecked := sized("a.org", 0, 1)
	unchecked.Servers[0].Check = false
	const domains, hosts, descriptors = "--max-domains", "--max-hosts", "LimitNOFILE"
	for _, c := range []struct {
		name         string
		asked        []haproxy.Backend
		file, live   []haproxy.Backend
		others       amount
		room         int
		want, reason string
	}{
		{name: "nothing", asked: []haproxy.Backend{sized("a.org", 0, 3), sized("b.org", 0, 3)}, room: 6, want: "a.org h00 h01 h02; b.org h00 h01 h02"},
		{name: "the last hosts by name", asked: []haproxy.Backend{sized("a.org", 0, 5)}, want: "a.org h00 h01 h02", reason: hosts},
		{name: "no host that HAProxy has", asked: []haproxy.Backend{sized("a.org", 0, 5)}, file: []haproxy.Backend{sized("a.org", 3, 4)}, live: []haproxy.Backend{sized("a.org", 4, 5)},
			want: "a.org h00 h03 h04", reason: hosts},
		{name: "no host of more than the limit that HAProxy has", asked: []haproxy.Backend{sized("a.org", 0, 5)}, file: []haproxy.Backend{sized("a.org", 1, 5)}, want: "a.org h01 h02 h03 h04", reason: hosts},
		{name: "the last new domains", asked: []haproxy.Backend{sized("a.org", 0, 1), sized("b.org", 0, 1), sized("c.org", 0, 1), sized("d.org", 0, 1)}, live: []haproxy.Backend{sized("d.org", 0, 1)},
			want: "a.org h00; d.org h00", others: amount{domains: 1}, reason: domains},
		{name: "hosts of the domain with the most new ones, where there are no descriptors", asked: []haproxy.Backend{sized("a.org", 0, 3), sized("b.org", 0, 1)}, file: []haproxy.Backend{sized("a.org", 2, 3)},
			room: 9, others: amount{descriptors: 7}, want: "a.org h02; b.org h00", reason: descriptors},
		{name: "a whole domain", asked: []haproxy.Backend{sized("a.org", 0, 3), sized("b.org", 0, 2)}, room: 1, want: "b.org h00", reason: descriptors},
		{name: "the check of a server that HAProxy has without one", asked: []haproxy.Backend{sized("a.org", 0, 1), sized("b.org", 0, 2)}, live: []haproxy.Backend{unchecked}, file: []haproxy.Backend{sized("b.org", 0, 2)},
			room: 2, want: "a.org h00-; b.org h00 h01", reason: descriptors},
		{name: "servers with agent-checks, which need more each", asked: []haproxy.Backend{agents(sized("a.org", 0, 3)), agents(sized("b.org", 0, 1))}, room: 7, want: "a.org h00; b.org h00", reason: descriptors},
		{name: "no agent-check that HAProxy has", asked: []haproxy.Backend{agents(sized("a.org", 0, 3))}, file: []haproxy.Backend{agents(sized("a.org", 0, 2))}, room: 8, want: "a.org h00 h01", reason: descriptors},
		{name: "nothing of those with agent-checks", asked: []haproxy.Backend{agents(sized("a.org", 0, 3))}, room: 9, want: "a.org h00 h01 h02"},
		{name: "servers with agent-checks by default", asked: []haproxy.Backend{given(sized("a.org", 0, 3))}, room: 5, want: "a.org h00 h01", reason: descriptors},
		{name: "no server that HAProxy has, whatever it may have", asked: []haproxy.Backend{sized("a.org", 0, 3)}, live: []haproxy.Backend{sized("a.org", 0, 3)}, room: 1, want: "a.org h00 h01 h02"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			st := haproxy.State{File: haproxy.Config{Backends: c.file}, Live: haproxy.Config{Backends: c.live}}
			if c.room > 0 {
				st.Descriptors = haproxy.Descriptors{Limit: 100 + c.room, Other: 100}
			}
			got, over := Policy{MaxHosts: 3, MaxDomains: 3}.limit(haproxy.Config{Backends: c.asked}, st, c.others)
			if text := backendsText(got); text != c.want {
				t.Errorf("%s, want %s", text, c.want)
			}
			if (len(over) > 0) != (c.reason != "") {
				t.Errorf("left out: %v", over)
			}
			for name, why := range over {
				if !strings.Contains(why, c.reason) || !strings.Contains(why, "left out") {
					t.Errorf("%s: %s", name, why)
				}
			}
		})
	}
}

// backendsText are the servers by domain; one without a check has a - behind its name.
func backendsText(c haproxy.Config) string {
	var lines []string
	for _, b := range c.Backends {
		words := make([]string, 0, 1+len(b.Servers))
		domain, _ := haproxy.DomainOf(b.Name)
		words = append(words, domain)
		for _, s := range b.Servers {
			if s.Check {
				words = append(words, s.Name)
			} else {
				words = append(words, s.Name+"-")
			}
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return strings.Join(lines, "; ")
}

// many are hosts of a domain.
func many(n int) (hosts []registry.Host) {
	for i := range n {
		hosts = append(hosts, host(fmt.Sprintf("h%02d", i), fmt.Sprintf("10.0.1.%d:1", i+1)))
	}
	return hosts
}

// TestADomainForWhichHAProxyDoesNotLoadTheFileKeepsNoOtherOut has a HAProxy that takes ten servers, and does not tell before it
// reloads.
func TestADomainForWhichHAProxyDoesNotLoadTheFileKeepsNoOtherOut(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		tooMany := func(c haproxy.Config) bool {
			servers := 0
			for _, b := range c.Backends {
				servers += len(b.Servers)
			}
			return servers > 10
		}
		i.haproxy.change(func() {
			loaded := clone(i.haproxy.live)
			i.haproxy.loaded, i.haproxy.unloadable = &loaded, tooMany
		})
		i.registry.tell(twoDomains())
		elapse(5 * time.Second)
		s := revised(twoDomains(), 900)
		s.Domains[1].Hosts = many(20)
		i.registry.change(s, "b.abc.com")
		elapse(5 * time.Second)
		if n := len(serversOf(i.haproxy.now().live, "b.abc.com_cluster")); n != 20 {
			t.Fatalf("%d servers are added live", n)
		}
		s = revised(s, 901, domain("c.abc.com", host("server1", "10.0.0.3:1")))
		s = revised(s, 901, domain("d.abc.com", host("server1", "10.0.0.4:1")))
		i.registry.change(s, "c.abc.com", "d.abc.com")
		elapse(5 * time.Second)
		now := i.haproxy.now()
		for _, name := range []string{"c.abc.com", "d.abc.com"} {
			if _, served := backendOf(now.live, name); !served {
				t.Errorf("%s is not served", name)
			}
		}
		if tooMany(now.file) {
			t.Errorf("HAProxy does not start with the file: %s", backendsText(now.file))
		}
		problems := i.Status().Last.Problems
		if !slices.ContainsFunc(problems, func(p registry.Problem) bool { return p.Domain == "b.abc.com" }) || len(problems) != 1 {
			t.Errorf("problems: %v", problems)
		}
	})
}

func TestADomainThatGoesMakesRoomForAnotherOneAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.cfg.Policy.MaxDomains = 3
		full := revised(twoDomains(), 900, domain("c.abc.com", host("server1", "10.0.0.3:1")))
		i.registry.tell(full)
		elapse(5 * time.Second)
		full = revised(full, 901, domain("d.abc.com", host("server1", "10.0.0.4:1")))
		i.registry.change(full, "d.abc.com")
		elapse(5 * time.Second)
		if _, served := backendOf(i.haproxy.now().live, "d.abc.com"); served || len(i.Status().Last.Problems) != 1 {
			t.Fatalf("d.abc.com is not left out: %v", i.Status().Last.Problems)
		}
		i.registry.change(revised(twoDomains(), 902, domain("d.abc.com", host("server1", "10.0.0.4:1"))), "c.abc.com")
		elapse(5 * time.Second) // a resync comes after a minute
		if _, served := backendOf(i.haproxy.now().live, "d.abc.com"); !served {
			t.Errorf("d.abc.com is left out: %v", i.Status().Last.Problems)
		}
	})
}

func TestAChangeOfAnotherDomainComesBetweenTheManyOfOne(t *testing.T) {
	t.Parallel()
	s := revised(twoDomains(), 812)
	s.Domains[1].Hosts = nil
	for i := range 2*maxRun + 100 {
		s.Domains[1].Hosts = append(s.Domains[1].Hosts, host(fmt.Sprintf("h%04d", i), "10.0.0.2:1"))
	}
	inBubble(t, inLine(s, v32), func(t *testing.T, i inn) {
		var order []string
		moved := revised(s, 901)
		moved.Domains[0].Hosts = []registry.Host{host("server1", "10.0.0.1:7"), s.Domains[0].Hosts[1]}
		moved.Domains[1].Hosts = slices.Clone(s.Domains[1].Hosts)
		for j := range moved.Domains[1].Hosts {
			moved.Domains[1].Hosts[j].Weight = 9
		}
		i.haproxy.change(func() {
			i.haproxy.stubborn = func(c haproxy.Change) bool {
				if len(order) == 0 { // HAProxy is at the first of the many
					i.registry.change(moved, "a.abc.com")
				}
				order = append(order, c.Domain())
				return false
			}
		})
		i.registry.tell(s)
		synctest.Wait()
		many := revised(moved, 900)
		many.Domains[0] = s.Domains[0]
		i.registry.change(many, "b.abc.com")
		elapse(5 * time.Second)
		// it comes with the next turn, or with the one after that, if the end of a job had the next one begin at the same moment
		if other := slices.Index(order, "a.abc.com"); len(order) != 2*maxRun+101 || other < 1 || other > 2*maxRun {
			t.Errorf("the change of the other domain is number %d of %d", other, len(order))
		}
		if s := i.Status(); s.Applied != 901 || !s.Ready() {
			t.Errorf("applied %d: %q", s.Applied, s.Reasons)
		}
	})
}

func TestADomainWithFewChangesIsNotSplitBetweenPasses(t *testing.T) {
	t.Parallel()
	of := func(domain string, n int) (changes []haproxy.Change) {
		for i := range n {
			changes = append(changes, haproxy.AddServer{Backend: haproxy.BackendName(domain), Server: haproxy.Server{Name: fmt.Sprint("s", i)}})
		}
		return changes
	}
	var few []haproxy.Change
	for i := range maxRun {
		few = append(few, of(fmt.Sprintf("d%04d.abc.com", i), 3)...)
	}
	for name, c := range map[string]struct {
		changes []haproxy.Change
		want    int
	}{
		"three of each domain": {few, maxRun + 2},
		"many of one domain":   {of("a.abc.com", 2*maxRun), maxRun},
		"all":                  {few[:maxRun], maxRun},
	} {
		p := &pass{}
		if now := p.slice(c.changes); len(now) != c.want || len(c.changes) > c.want && p.deferred[now[0].Domain()] != (name == "many of one domain") {
			t.Errorf("%s: %d changes, deferred %d domains", name, len(now), len(p.deferred))
		}
	}
}

func (m *fake) Claim(haproxy.Config) error { return nil }
