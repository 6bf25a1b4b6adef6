package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	product "github.com/hapsync/hapsync/haproxy"
)

// startSpares is an abc with two spare backends, where HAProxy takes servers with a cookie, but no backend, while it runs.
func startSpares(t *testing.T, h haproxy, env ...string) abc {
	t.Helper()
	return startABC(t, h, append([]string{"HAPSYNC_DYNAMIC_DOMAINS=auto", "HAPSYNC_SPARE_BACKENDS=2"}, env...)...)
}

// ofUse reports whether spare backends are of use whatever a domain has: the process takes no backends, and takes servers with a cookie.
func ofUse(can product.Capabilities) bool { return can.CookieLive && !can.Backends }

// eachSpare runs f on the binaries for which spare backends are.
func eachSpare(t *testing.T, f func(t *testing.T, h haproxy)) {
	t.Helper()
	eachHAProxyThat(t, ofUse, f)
}

// inSpares fails the test unless the process has these servers in its spare backends, such as "1/server1".
func (b *box) inSpares(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("spare backends have %q", want), func() error {
		reply, err := b.runtime("show servers state")
		var have []string
		for l := range strings.Lines(reply) {
			if w := strings.Fields(l); len(w) > 4 && strings.HasPrefix(w[1], "hapsync-spare-") {
				have = append(have, strings.TrimPrefix(w[1], "hapsync-spare-")+"/"+w[3])
			}
		}
		if slices.Sort(have); err == nil && !slices.Equal(have, want) {
			err = fmt.Errorf("have %q", have)
		}
		return err
	})
}

// commands sends lines of an operator's to HAProxy's socket.
func (b *box) commands(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if reply, err := b.runtime(line); err != nil || strings.Contains(reply, "rror") || strings.Contains(reply, "Unknown") {
			t.Fatalf("%s: %q, %v", line, reply, err)
		}
	}
}

// newDomain registers a domain with one host, and starts that.
func (b *box) newDomain(t *testing.T, domain string) *host {
	t.Helper()
	h := startHost(t, domain+" server1")
	b.txn(t, addrOf(t, domain+"/server1", h.addr))
	return h
}

// spareBackend is a section as hapsync writes it.
const spareBackend = "\nbackend hapsync-spare-%d\n    balance roundrobin\n    cookie SERVERID insert indirect nocache\n"

// withoutSpares is a text of the managed file without spare backends as hapsync writes them.
func withoutSpares(text string) string {
	for i := range 20 {
		text = strings.Replace(text, fmt.Sprintf(spareBackend, i+1), "", 1)
	}
	return text
}

func TestANewDomainComesInASpareBackendUntilNoneIsFree(t *testing.T) {
	eachSpare(t, func(t *testing.T, h haproxy) {
		b := startSpares(t, h)
		before := b.generation(t)
		hosts := map[string]*host{}
		for i, name := range []string{"c.abc.com", "d.abc.com"} {
			hosts[name] = b.newDomain(t, name)
			said := b.step(t)
			says(t, said, "runtime", "+ backend "+name+"_cluster", "in a spare backend")
			reloads(t, said, 0)
			b.serves(t, name, "server1", hosts[name])
			b.sticks(t, name)
			says(t, b.must(t, "explain", name).stdout, "backend", fmt.Sprintf("hapsync-spare-%d until the next reload", i+1))
			text := read(t, b.managedFile)
			if !strings.Contains(text, fmt.Sprintf(spareBackend, i+1)) || !strings.Contains(text, "    server server1 "+hosts[name].addr+" cookie server1 check\n") {
				t.Errorf("the file has\n%s", text)
			}
		}
		b.notReloaded(t, before)
		b.inSpares(t, "1/server1", "2/server1")
		says(t, b.must(t, "explain", "d.abc.com").stdout, "haproxy", "UP")
		says(t, b.must(t, "check").stdout, "ok", "new domains: the next one takes a reload, which frees all spare backends")
		if text := read(t, b.mapFile()); text != "" {
			t.Errorf("the map file has %q", text)
		}

		hosts["e.abc.com"] = b.newDomain(t, "e.abc.com")
		said := b.step(t)
		says(t, said, "e.abc.com", "no spare backend is free")
		reloads(t, said, 1)
		b.reloadedOnce(t, before)
		b.inSpares(t)
		says(t, b.must(t, "check").stdout, "ok", "new domains: 2 come without a reload")
		before = b.generation(t)
		hosts["f.abc.com"] = b.newDomain(t, "f.abc.com")
		reloads(t, b.step(t), 0)
		for name, h := range hosts {
			b.serves(t, name, "server1", h)
		}
		b.inSpares(t, "1/server1")

		b.put(t, "f.abc.com/server1/weight", "7") // what is for a domain finds it in its spare backend
		said = b.step(t)
		says(t, said, "runtime", "~ server f.abc.com_cluster/server1")
		reloads(t, said, 0)
		b.eventuallyWeighs(t, "hapsync-spare-1/server1", "7 ")
		b.notReloaded(t, before)

		b.put(t, "a.abc.com/balance", "leastconn")
		b.env = append(b.env, "HAPSYNC_SPARE_BACKENDS=1")
		reloads(t, b.step(t), 1)
		b.eventuallyWeighs(t, "f.abc.com_cluster/server1", "7 ")
		b.newDomain(t, "g.abc.com")
		reloads(t, b.step(t), 0)
		if text := read(t, b.managedFile); strings.Count(text, "hapsync-spare-") != 1 {
			t.Errorf("the setting is 1, and the file has\n%s", text)
		}
		b.env = append(b.env, "HAPSYNC_SPARE_BACKENDS=0")
		b.reload(t)
		b.inLine(t)
		b.newDomain(t, "h.abc.com")
		reloads(t, b.step(t), 1)
		if text := read(t, b.managedFile); strings.Contains(text, "hapsync-spare-") {
			t.Errorf("the setting is 0, and the file has\n%s", text)
		}
	})
}

// TestWhatAnAgentLeftHalfDoneInASpareBackendIsEnded has the record, the servers and the map of HAProxy as an agent leaves them that is killed in
// between.
func TestWhatAnAgentLeftHalfDoneInASpareBackendIsEnded(t *testing.T) {
	eachSpare(t, func(t *testing.T, h haproxy) {
		b := startSpares(t, h)
		before := b.generation(t)
		c1 := b.newDomain(t, "c.abc.com")
		b.must(t, "sync")
		record := filepath.Join(b.dir, ".hapsync.cfg.domains")
		lines := read(t, record)
		b.commands(t, "del map "+b.mapFile()+" c.abc.com", "set server hapsync-spare-1/server1 state maint", "del server hapsync-spare-1/server1")
		reloads(t, b.step(t), 0) // the entry and the server were not there yet
		b.serves(t, "c.abc.com", "server1", c1)
		b.inSpares(t, "1/server1")

		if err := os.WriteFile(record, []byte(lines+strings.ReplaceAll(strings.Split(lines, "\n")[1], "c.abc.com", "gone.abc.com")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		operator(t, record, "gone.abc.com_cluster\troundrobin\tSERVERID insert indirect nocache\thapsync-spare-1", "gone.abc.com_cluster\troundrobin\tSERVERID insert indirect nocache\thapsync-spare-2")
		reloads(t, b.step(t), 0) // no command of it was sent
		d1 := b.newDomain(t, "d.abc.com")
		reloads(t, b.step(t), 0)
		b.serves(t, "d.abc.com", "server1", d1)
		b.inSpares(t, "1/server1", "2/server1")
		b.notReloaded(t, before)
		b.serves(t, "c.abc.com", "server1", c1)
	})
}

func TestASpareBackendThatIsNotFreeIsLeftAlone(t *testing.T) {
	eachSpare(t, func(t *testing.T, h haproxy) {
		b := startSpares(t, h, "HAPSYNC_SPARE_BACKENDS=5")
		mine := startHost(t, "mine")
		operator(t, b.managedFile, "    acl is_a.abc.com", "    use_backend hapsync-spare-1 if { path /mine }\n    acl is_a.abc.com")
		operator(t, b.managedFile, fmt.Sprintf(spareBackend, 2), fmt.Sprintf(spareBackend, 2)+"    http-response set-header X-Mine yes\n")
		b.reload(t)
		b.commands(t, "add map "+b.mapFile()+" mine.abc.com hapsync-spare-3", "add server hapsync-spare-4/mine "+mine.addr, "enable server hapsync-spare-4/mine")
		b.inLine(t)
		before := b.generation(t)
		c1 := b.newDomain(t, "c.abc.com")
		says(t, b.must(t, "plan", "--spare-backends", "4").stdout, "c.abc.com", "no spare backend is free")
		reloads(t, b.step(t), 0)
		b.inSpares(t, "4/mine", "5/server1")
		b.serves(t, "c.abc.com", "server1", c1)
		b.unknown(t, "mine.abc.com")
		b.notReloaded(t, before)

		b.env = append(b.env, "HAPSYNC_SPARE_BACKENDS=0")
		d1 := b.newDomain(t, "d.abc.com")
		reloads(t, b.step(t), 1)
		b.serves(t, "d.abc.com", "server1", d1)
		text := read(t, b.managedFile)
		if strings.Count(text, "\nbackend hapsync-spare-") != 2 || !strings.Contains(text, "set-header X-Mine yes") || !strings.Contains(text, "use_backend hapsync-spare-1 if") {
			t.Errorf("the file has\n%s", text)
		}
	})
}

func TestDomainsByTheMapComeInSpareBackends(t *testing.T) {
	eachSpare(t, func(t *testing.T, h haproxy) {
		b := startSpares(t, h, "HAPSYNC_ROUTING=map")
		before := b.generation(t)
		c1 := b.newDomain(t, "c.abc.com")
		b.put(t, "c.abc.com/aliases", "www.c.org")
		reloads(t, b.step(t), 0)
		b.serves(t, "c.abc.com", "server1", c1)
		b.serves(t, "www.c.org", "server1", c1)
		b.inSpares(t, "1/server1")
		if text := read(t, b.mapFile()); strings.Contains(text, "spare") || !strings.Contains(text, "www.c.org c.abc.com_cluster\n") {
			t.Errorf("the map file has\n%s", text)
		}
		b.etcdctl(t, "del", b.prefix+"/c.abc.com/aliases")
		reloads(t, b.step(t), 0)
		b.unknown(t, "www.c.org")
		b.serves(t, "c.abc.com", "server1", c1)
		b.notReloaded(t, before)
		b.reload(t)
		b.inLine(t)
		b.mapped(t, "a.abc.com", "b.abc.com", "c.abc.com")
		b.serves(t, "c.abc.com", "server1", c1)
		b.inSpares(t)
	})
}

func TestAFileWithoutSpareBackendsGetsThemWithTheNextDomain(t *testing.T) {
	eachSpare(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		b.inLine(t)
		c1 := b.newDomain(t, "c.abc.com")
		reloads(t, b.step(t), 1)
		b.serves(t, "c.abc.com", "server1", c1)
		if text := read(t, b.managedFile); strings.Count(text, "\nbackend hapsync-spare-") != 10 {
			t.Errorf("the file has\n%s", text)
		}
		d1 := b.newDomain(t, "d.abc.com")
		reloads(t, b.step(t), 0)
		b.serves(t, "d.abc.com", "server1", d1)
	})
}

// TestSpareBackendsAreThereWhereTheyAreOfUse has those of HAProxy 2.6 without cookies, and none where backends can be added.
func TestSpareBackendsAreThereWhereTheyAreOfUse(t *testing.T) {
	others := func(can product.Capabilities) bool { return !ofUse(can) }
	eachHAProxyThat(t, others, func(t *testing.T, h haproxy) {
		b := startSpares(t, h)
		if text := read(t, b.managedFile); strings.Contains(text, "hapsync-spare-") {
			t.Errorf("the file has\n%s", text)
		}
		if h.can.Backends {
			return
		}
		c1 := b.newDomain(t, "c.abc.com")
		reloads(t, b.step(t), 1)
		b.serves(t, "c.abc.com", "", c1)
		for i, domain := range []string{"d.abc.com", "e.abc.com"} {
			h := startHost(t, domain)
			b.put(t, domain+"/cookie", "off")
			b.txn(t, addrOf(t, domain+"/server1", h.addr))
			reloads(t, b.step(t), 1-i)
			b.serves(t, domain, "", h)
		}
		b.inSpares(t, "1/server1")
	})
}

// TestAHAProxyWithoutTheManagedFileIsReloadedOnce has HAProxy load the base file alone, which a reload does not change.
func TestAHAProxyWithoutTheManagedFileIsReloadedOnce(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBox(t, h)
		b.env = append(b.env, "HAPSYNC_DYNAMIC_DOMAINS=auto")
		b.prepare(t)
		b.register(t, "a.abc.com/server1", "127.0.0.1:1")
		b.startWith(t, b.baseFile)
		before := b.generation(t)
		a := b.startAgent(t, soon...)
		a.unready(t, "HAProxy has not loaded the change")
		const looks = 5
		passed, err := a.metric("hapsync_passes_total")
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the agent has looked some times more", func() error {
			if now, err := a.metric("hapsync_passes_total"); err != nil || now < passed+looks {
				return fmt.Errorf("%v passes, %w", now, err)
			}
			return nil
		})
		b.reloadedOnce(t, before)
		if strings.Contains(a.printed(), "via=runtime") {
			t.Errorf("it sent HAProxy commands:\n%s", a.printed())
		}
	})
}

// TestALiteralEntryOfTheMapLeadsToTheSpareBackendInstead has an entry in HAProxy's map that names the backend of the domain, which it has not
// loaded: from an older map file, or from an operator.
func TestALiteralEntryOfTheMapLeadsToTheSpareBackendInstead(t *testing.T) {
	t.Parallel()
	for _, routing := range []string{"map", "acl"} {
		t.Run(routing, func(t *testing.T) {
			eachSpare(t, func(t *testing.T, h haproxy) {
				b := startSpares(t, h, "HAPSYNC_ROUTING="+routing)
				b.commands(t, "add map "+b.mapFile()+" c.abc.com c.abc.com_cluster")
				c1 := b.newDomain(t, "c.abc.com")
				reloads(t, b.step(t), 0)
				b.serves(t, "c.abc.com", "server1", c1)
				b.inLine(t)
				b.commands(t, "set map "+b.mapFile()+" c.abc.com c.abc.com_cluster")
				reloads(t, b.step(t), 0) // nothing of the kind is in the process
				b.serves(t, "c.abc.com", "server1", c1)
			})
		})
	}
}

// TestADomainInASpareBackendIsRemovedWithoutARefusal has a domain come and go by sync, without a reload in between.
func TestADomainInASpareBackendIsRemovedWithoutARefusal(t *testing.T) {
	t.Parallel()
	for _, routing := range []string{"acl", "map"} {
		t.Run(routing, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := startBox(t, h)
				b.env = append(b.env, "HAPSYNC_DYNAMIC_DOMAINS=auto", "HAPSYNC_ROUTING="+routing)
				one := startHost(t, "one")
				b.register(t, "a.abc.com/server1", one.addr)
				b.must(t, "sync")
				b.register(t, "b.abc.com/server1", one.addr)
				b.must(t, "sync")
				b.serves(t, "b.abc.com", "", one)
				b.unregister(t, "b.abc.com")
				if o := b.must(t, "sync", "--allow-mass-removal"); strings.Contains(o.stdout, "refused") {
					t.Errorf("nothing is refused: %s", o)
				}
				b.inLine(t)
				if a := b.ask(t, "b.abc.com", ""); a.status != http.StatusServiceUnavailable {
					t.Errorf("got %s", a)
				}
			})
		})
	}
}
