package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	stormSeed  = 3
	stormPause = 30 * time.Millisecond // between two changes, on the average
)

// stormChanges is how many changes a storm has: HAPSYNC_STORM, or 200, or 60 unless everything is tested.
func stormChanges(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv("HAPSYNC_STORM"), fmt.Sprint(often(200, 60))))
	if err != nil || n < 1 {
		t.Fatalf("HAPSYNC_STORM: %q is not a number of changes", os.Getenv("HAPSYNC_STORM"))
	}
	return n
}

// stormKills is how often a process is killed in a storm.
func stormKills(t testing.TB) int {
	t.Helper()
	return max(often(10, 3), stormChanges(t)*30/500)
}

// A storm changes the registry at random, and knows what it should say.
type storm struct {
	*box
	t      *testing.T
	random *rand.Rand
	hosts  []*host // which live, all the time
	// domains are the hosts by domain and name; the server "anchor" of a stable domain never gets worse.
	domains map[string]map[string]stormHost
	// halves are the keys of hosts that lack the other one, mends what to put to make bad values good again.
	halves, mends map[string]string
	named         int
	load          []*load
	sticky        []*sticky
}

// A stormHost is a host as HAProxy is to have it.
type stormHost struct {
	host          *host
	weight, state string // as in the registry, where it may be empty
}

const anchor = "anchor"

// startStorm prepares the stable domains, under load, and some that come and go.
func startStorm(t *testing.T, b *box) *storm {
	t.Helper()
	s := &storm{
		box: b, t: t, random: rand.New(rand.NewPCG(stormSeed, uint64(b.haproxy.version))),
		domains: map[string]map[string]stormHost{}, halves: map[string]string{}, mends: map[string]string{},
	}
	t.Logf("%d changes, seed %d", stormChanges(t), stormSeed)
	for i := range 4 {
		s.hosts = append(s.hosts, startHost(t, fmt.Sprintf("host %d", i)))
	}
	for i := range 2 {
		domain := fmt.Sprintf("stable%d.abc.com", i)
		s.add(domain, anchor, startHost(t, domain+" anchor"))
		s.add(domain, "other", s.hosts[i])
	}
	for range 4 {
		s.addDomain()
	}
	return s
}

// underLoad asks the stable domains, which must be served.
func (s *storm) underLoad() {
	s.t.Helper()
	for _, domain := range s.stable() {
		s.load = append(s.load, startLoad(s.t, s.box, domain))
		s.sticky = append(s.sticky, startSticky(s.t, s.box, domain, s.domains[domain][anchor].host))
	}
}

func (s *storm) stable() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.domains)), func(d string) bool { return !stable(d) })
}

func stable(domain string) bool { return strings.HasPrefix(domain, "stable") }

// change makes one change at random.
func (s *storm) change() {
	s.t.Helper()
	changes := []struct {
		share int
		make  func()
	}{
		{20, func() { s.add(s.domain(), s.name("s"), s.live()) }},
		{15, s.move}, {10, s.reweigh}, {10, s.drain}, {15, s.remove},
		{6, s.addDomain}, {4, s.removeDomain},
		{8, s.half}, {6, s.spoil}, {6, s.mend},
	}
	total := 0
	for _, c := range changes {
		total += c.share
	}
	at := s.random.IntN(total)
	for _, c := range changes {
		if at -= c.share; at < 0 {
			c.make()
			return
		}
	}
}

// pause lets some time pass, at random.
func (s *storm) pause() {
	<-time.After(time.Duration(s.random.Int64N(int64(2 * stormPause))))
}

func (s *storm) name(prefix string) string {
	s.named++
	return fmt.Sprint(prefix, s.named)
}

func (s *storm) live() *host { return s.hosts[s.random.IntN(len(s.hosts))] }

func (s *storm) domain() string { return pick(s.random, slices.Sorted(maps.Keys(s.domains))) }

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

// server is one that may go at any time; ok is false where the domain has none.
func (s *storm) server() (domain, name string, ok bool) {
	domain = s.domain()
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(s.domains[domain])), func(n string) bool { return n == anchor })
	if len(names) == 0 {
		return "", "", false
	}
	return domain, pick(s.random, names), true
}

// address puts both keys of a host, in one transaction or one after the other.
func (s *storm) address(domain, name string, h *host) {
	delete(s.mends, domain+"/"+name+"/port")
	if s.random.IntN(2) == 0 {
		s.txn(s.t, addrOf(s.t, domain+"/"+name, h.addr))
		return
	}
	s.register(s.t, domain+"/"+name, h.addr)
}

func (s *storm) add(domain, name string, h *host) {
	s.address(domain, name, h)
	if s.domains[domain] == nil {
		s.domains[domain] = map[string]stormHost{}
	}
	s.domains[domain][name] = stormHost{host: h}
}

func (s *storm) move() {
	if domain, name, ok := s.server(); ok {
		moved := s.domains[domain][name]
		moved.host = s.live()
		s.address(domain, name, moved.host)
		s.domains[domain][name] = moved
	}
}

func (s *storm) reweigh() {
	if domain, name, ok := s.server(); ok {
		h := s.domains[domain][name]
		h.weight = fmt.Sprint(s.random.IntN(257))
		s.put(s.t, domain+"/"+name+"/weight", h.weight)
		delete(s.mends, domain+"/"+name+"/weight")
		s.domains[domain][name] = h
	}
}

func (s *storm) drain() {
	if domain, name, ok := s.server(); ok {
		h := s.domains[domain][name]
		h.state = pick(s.random, []string{"drain", "maint", "ready", "ready"})
		s.put(s.t, domain+"/"+name+"/state", h.state)
		s.domains[domain][name] = h
	}
}

func (s *storm) remove() {
	domain, name, ok := s.server()
	if !ok || len(s.domains[domain]) == 1 {
		return
	}
	s.unregister(s.t, domain+"/"+name)
	delete(s.domains[domain], name)
	s.forget(domain + "/" + name + "/")
}

func (s *storm) forget(keys string) {
	gone := func(key, _ string) bool { return strings.HasPrefix(key, keys) }
	maps.DeleteFunc(s.mends, gone)
	maps.DeleteFunc(s.halves, gone)
}

func (s *storm) addDomain() {
	domain := s.name("fleeting") + ".abc.com"
	for range 1 + s.random.IntN(3) {
		s.add(domain, s.name("s"), s.live())
	}
}

func (s *storm) removeDomain() {
	domain := s.domain()
	if stable(domain) {
		return
	}
	s.unregister(s.t, domain)
	delete(s.domains, domain)
	s.forget(domain + "/")
}

// half writes one of the two keys of a host; the other one comes later, or never.
func (s *storm) half() {
	ip, port := splitAddr(s.t, s.live().addr)
	written, missing, value := "ip", "port", ip
	if s.random.IntN(2) == 0 {
		written, missing, value = "port", "ip", port
	}
	host := s.domain() + "/" + s.name("half")
	s.put(s.t, host+"/"+written, value)
	s.halves[host+"/"+missing] = ""
}

// spoil puts a bad value where there was a good one, which stays in HAProxy, or where there was none.
func (s *storm) spoil() {
	domain, name, ok := s.server()
	switch n := s.random.IntN(4); {
	case n == 0 && ok:
		_, port := splitAddr(s.t, s.domains[domain][name].host.addr)
		s.mends[domain+"/"+name+"/port"] = port
		s.put(s.t, domain+"/"+name+"/port", pick(s.random, []string{"", "abc", "0", "99999", port + "\n    server evil 127.0.0.1:1"}))
	case n == 1 && ok:
		s.mends[domain+"/"+name+"/weight"] = cmp.Or(s.domains[domain][name].weight, "1")
		s.put(s.t, domain+"/"+name+"/weight", pick(s.random, []string{"-1", "257", "heavy", "1;disable server"}))
	case n == 2:
		s.register(s.t, s.domain()+"/"+s.name("bad host "), s.live().addr)
	default:
		s.register(s.t, s.name("bad domain ")+"/s", s.live().addr)
	}
}

// mend makes a bad value good again.
func (s *storm) mend() {
	if len(s.mends) > 0 {
		key := pick(s.random, slices.Sorted(maps.Keys(s.mends)))
		s.put(s.t, key, s.mends[key])
		delete(s.mends, key)
	}
}

// stormy are the flags of an agent in a storm, whose removals add up to more than half of the servers.
func stormy() []string { return []string{"--max-removal", "100", "--reload-interval", "1s"} }

func TestAgentEndsInLineAfterAStormOfChanges(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		w := startBatchWatch(t, b)
		before, started := b.generation(t), time.Now()
		s := startStorm(t, b)
		a := b.startAgent(t, stormy()...)
		b.comes(t, "stable0.abc.com", anchor, s.domains["stable0.abc.com"][anchor].host)
		b.comes(t, "stable1.abc.com", anchor, s.domains["stable1.abc.com"][anchor].host)
		s.underLoad()
		for range stormChanges(t) {
			s.change()
			s.pause()
		}
		s.passes()
		b.fewReloads(t, before, started, 1, time.Second)
		a.ready(t)
		reloads := b.generation(t).reloads - before.reloads
		a.measures(t, fmt.Sprint("hapsync_reloads_total ", reloads))
		if h.can.CookieLive {
			w.onlyForNewDomains(t, reloads)
			a.measures(t, fmt.Sprintf(`hapsync_reloads_total{cause="domain"} %d`, reloads))
		}
	})
}

func TestAgentThatIsKilledInAStormIsFollowedByOneThatEndsInLine(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		w := startBatchWatch(t, b)
		before, started := b.generation(t), time.Now()
		s := startStorm(t, b)
		a := b.startAgent(t, stormy()...)
		b.comes(t, "stable0.abc.com", anchor, s.domains["stable0.abc.com"][anchor].host)
		b.comes(t, "stable1.abc.com", anchor, s.domains["stable1.abc.com"][anchor].host)
		s.underLoad()
		kills := stormKills(t)
		for range kills {
			if s.random.IntN(2) == 0 { // else it may be killed while it starts
				a.ready(t)
			}
			for range 5 {
				s.change()
				s.pause()
			}
			for range s.random.IntN(10) { // the last changes before the end are under way
				s.change()
			}
			<-time.After(time.Duration(s.random.Int64N(int64(300 * time.Millisecond))))
			a.kill(t)
			w.killed(a.printed())
			check := exec.CommandContext(t.Context(), h.path, "-c", "-f", b.baseFile, "-f", b.managedFile)
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("haproxy -c refuses the file: %v\n%s", err, out)
			}
			s.change()
			a = b.startAgent(t, stormy()...)
		}
		s.passes()
		b.fewReloads(t, before, started, 1+kills, time.Second)
		a.ready(t)
		if h.can.CookieLive {
			w.onlyForNewDomains(t, b.generation(t).reloads-before.reloads)
		}
	})
}
