package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	product "github.com/hapsync/hapsync/haproxy"
)

// startDynamic is an abc whose further domains come and go without a reload, where HAProxy can do that.
func startDynamic(t *testing.T, h haproxy) abc {
	t.Helper()
	b := startABC(t, h)
	b.env = append(b.env, "HAPSYNC_DYNAMIC_DOMAINS=auto")
	return b
}

// eachDynamic runs f on the binaries that take domains while they run.
func eachDynamic(t *testing.T, f func(t *testing.T, h haproxy)) {
	t.Helper()
	eachHAProxyThat(t, func(can product.Capabilities) bool { return can.Backends }, f)
}

// fetches is the status and body for a domain.
func (b *box) fetches(t testing.TB, domain string, status int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s is answered with %d", domain, status), func() error {
		if a, err := get(b.web, domain, ""); err != nil || a.status != status {
			return fmt.Errorf("got %s, %w", a, err)
		}
		return nil
	})
}

func TestANewDomainIsServedWithoutAReload(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		c1 := startHost(t, "c.abc.com server1")
		b.register(t, "c.abc.com/server1", c1.addr)
		before := b.generation(t)
		said := b.step(t)
		if h.can.Backends {
			says(t, said, "runtime", "+ backend c.abc.com_cluster")
			says(t, said, "runtime", "+ use_backend rule of c.abc.com in webin")
			reloads(t, said, 0)
			b.notReloaded(t, before)
		} else {
			reloads(t, said, 1)
			b.reloadedOnce(t, before)
		}
		for _, host := range []string{"c.abc.com", "C.abc.com", "c.abc.com:8080"} {
			b.serves(t, host, "", c1)
		}
		b.sticks(t, "c.abc.com")
		b.unknown(t, "d.abc.com")
		b.managed(t, "a.abc.com server1="+b.a1.addr+" server2="+b.a2.addr, "b.abc.com server1="+b.b1.addr, "c.abc.com server1="+c1.addr)
		if text := read(t, b.mapFile()); text != "" {
			t.Errorf("the map file has %q", text)
		}
	})
}

func TestAnAgentServesANewDomainWithoutAReloadAndTheNextReloadFoldsIt(t *testing.T) {
	eachDynamic(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		a := b.startAgent(t)
		a.ready(t)
		before := b.generation(t)
		c1, c2, dead := startHost(t, "c.abc.com server1"), startHost(t, "c.abc.com server2"), freeAddr(t)
		for name, addr := range map[string]string{"server1": c1.addr, "server2": c2.addr, "server3": dead} {
			b.register(t, "c.abc.com/"+name, addr)
		}
		b.comes(t, "c.abc.com", "server1", c1)
		b.comes(t, "c.abc.com", "server2", c2)
		b.put(t, "c.abc.com/server2/weight", "7")
		b.eventuallyWeighs(t, "c.abc.com_cluster/server2", "7 ")
		b.settles(t)
		b.notReloaded(t, before)
		eventually(t, "HAProxy finds the dead host", func() error {
			if reply, err := b.runtime("show stat c.abc.com_cluster 4 -1"); err != nil || !strings.Contains(reply, "DOWN") {
				return fmt.Errorf("%q, %w", reply, err)
			}
			return nil
		})
		first := b.ask(t, "c.abc.com", "")

		b.put(t, "a.abc.com/balance", "leastconn") // which takes a reload
		eventually(t, "the reload is made", func() error {
			if now := b.generation(t); now.reloads != before.reloads+1 {
				return fmt.Errorf("%+v", now)
			}
			return nil
		})
		for range 5 {
			if got := b.ask(t, "c.abc.com", first.cookie); got.status != http.StatusOK || got.body != first.body {
				t.Errorf("after the reload: got %s, want %s again", got, first.body)
			}
		}
		b.serves(t, "c.abc.com", "server1", c1)
		b.settles(t)
		b.eventuallyWeighs(t, "c.abc.com_cluster/server2", "7 ")
		if reply, err := b.runtime("show map " + b.mapFile()); err != nil || strings.TrimSpace(reply) != "" {
			t.Errorf("the map has %q, %v after the reload", reply, err)
		}
	})
}

func TestARestartedAgentKnowsWhatCameWithoutAReload(t *testing.T) {
	eachDynamic(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		a := b.startAgent(t)
		a.ready(t)
		before := b.generation(t)
		c1 := startHost(t, "c.abc.com server1")
		b.register(t, "c.abc.com/server1", c1.addr)
		b.comes(t, "c.abc.com", "", c1)
		a.kill(t)
		a = b.startAgent(t)
		a.ready(t)
		b.settles(t)
		b.unregister(t, "c.abc.com")
		b.fetches(t, "c.abc.com", http.StatusServiceUnavailable)
		b.settles(t)
		eventually(t, "the backend is gone", func() error {
			if reply, err := b.runtime("show backend"); err != nil || strings.Contains(reply, "c.abc.com") {
				return fmt.Errorf("%q, %w", reply, err)
			}
			return nil
		})
		b.notReloaded(t, before)
		b.register(t, "c.abc.com/server1", c1.addr)
		b.comes(t, "c.abc.com", "", c1)
		b.settles(t)
		b.notReloaded(t, before)
	})
}

func TestAHAProxyThatRestartsHasTheDomainsFromItsFile(t *testing.T) {
	eachDynamic(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		a := b.startAgent(t)
		a.ready(t)
		c1 := startHost(t, "c.abc.com server1")
		b.register(t, "c.abc.com/server1", c1.addr)
		b.comes(t, "c.abc.com", "", c1)
		b.settles(t)
		b.master.end(t)
		b.start(t)
		b.serves(t, "c.abc.com", "", c1)
		b.comes(t, "c.abc.com", "", c1)
		b.settles(t)
		b.unregister(t, "c.abc.com")
		b.fetches(t, "c.abc.com", http.StatusServiceUnavailable)
		b.settles(t)
	})
}

func TestAnOperatorsRulesKeepTheirMeaningBesideDomainsThatComeWithoutAReload(t *testing.T) {
	eachDynamic(t, func(t *testing.T, h haproxy) {
		for _, line := range []string{"    default_backend catchall\n", "    use_backend catchall if TRUE\n"} {
			b := startDynamic(t, h)
			catchall, special, c1 := startHost(t, "catchall"), startHost(t, "special"), startHost(t, "c.abc.com server1")
			operator(t, b.managedFile, b.mapRule(), b.mapRule()+line)
			operator(t, b.managedFile, "    use_backend a.abc.com_cluster if", "    use_backend special if { hdr(x-special) -m found }\n    use_backend a.abc.com_cluster if")
			operator(t, b.baseFile, "\n# the statistics page\n", "\nbackend catchall\n    server c "+catchall.addr+"\nbackend special\n    server s "+special.addr+"\n\n# the statistics page\n")
			b.reload(t)
			before := b.generation(t)
			a := b.startAgent(t)
			a.ready(t)
			b.serves(t, "c.abc.com", "", catchall)
			b.register(t, "c.abc.com/server1", c1.addr)
			b.comes(t, "c.abc.com", "", c1)
			b.serves(t, "unknown.abc.com", "", catchall)
			b.serves(t, "a.abc.com", "server1", b.a1)
			b.settles(t)

			b.unregister(t, "c.abc.com") // it came without a reload
			b.comes(t, "c.abc.com", "", catchall)
			b.unregister(t, "b.abc.com") // it is in the file that HAProxy has loaded
			b.comes(t, "b.abc.com", "", catchall)
			b.settles(t)
			b.register(t, "b.abc.com/server1", b.b1.addr)
			b.comes(t, "b.abc.com", "", b.b1)
			b.settles(t)
			b.notReloaded(t, before)
			a.kill(t)
		}
	})
}

func TestARuleOfAnOperatorsBetweenHapsyncsTakesTheReload(t *testing.T) {
	eachDynamic(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		special, c1 := startHost(t, "special"), startHost(t, "c.abc.com server1")
		operator(t, b.managedFile, b.mapRule(), "    use_backend special if { path / }\n"+b.mapRule())
		operator(t, b.baseFile, "\n# the statistics page\n", "\nbackend special\n    server s "+special.addr+"\n\n# the statistics page\n")
		b.reload(t)
		says(t, b.must(t, "check").stdout, "warn", "new domains: the next one takes a reload: ")
		b.register(t, "c.abc.com/server1", c1.addr)
		reloads(t, b.step(t), 1)
		b.serves(t, "c.abc.com", "", c1)
		b.serves(t, "unknown.abc.com", "", special)
	})
}

func TestADomainWithMoreThanABackendCanGetLiveTakesTheReload(t *testing.T) {
	eachDynamic(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		c1 := startHost(t, "c.abc.com server1")
		b.register(t, "c.abc.com/server1", c1.addr)
		b.put(t, "c.abc.com/balance", "leastconn")
		said := b.step(t)
		reloads(t, said, 1)
		b.serves(t, "c.abc.com", "", c1)
	})
}

func TestADomainThatHAProxyRefusesToTakeComesByTheReload(t *testing.T) {
	eachDynamic(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		// the process has no such defaults: the file got them after it was loaded
		operator(t, b.baseFile, "defaults domain from web", "defaults later from web")
		c1 := startHost(t, "c.abc.com server1")
		a := b.startAgent(t)
		a.ready(t)
		before := b.generation(t)
		b.register(t, "c.abc.com/server1", c1.addr)
		b.comes(t, "c.abc.com", "", c1)
		b.settles(t)
		b.reloadedOnce(t, before)
	})
}

func TestABackendThatHapsyncDidNotAddIsLeftAlone(t *testing.T) {
	eachDynamic(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		c1 := startHost(t, "c.abc.com server1")
		commands := func(lines ...string) {
			t.Helper()
			for _, line := range lines {
				if reply, err := b.runtime(line); err != nil || strings.Contains(reply, "rror") {
					t.Fatalf("%s: %q, %v", line, reply, err)
				}
			}
		}
		commands("add backend mine.abc.com_cluster from domain", "add server mine.abc.com_cluster/x "+c1.addr,
			"enable server mine.abc.com_cluster/x", "publish backend mine.abc.com_cluster", "add map "+b.mapFile()+" mine.abc.com mine.abc.com_cluster")
		before := b.generation(t)
		b.inLine(t)
		b.register(t, "c.abc.com/server1", c1.addr)
		reloads(t, b.step(t), 0)
		b.unregister(t, "c.abc.com")
		b.must(t, "sync")
		b.inLine(t)
		b.serves(t, "mine.abc.com", "", c1)
		b.notReloaded(t, before)

		commands("add backend c.abc.com_cluster from domain") // an operator's own: the reload makes it hapsync's
		b.register(t, "c.abc.com/server1", c1.addr)
		b.must(t, "sync")
		b.serves(t, "c.abc.com", "", c1)
		b.reloadedOnce(t, before)
		b.inLine(t)
	})
}

func TestManyNewDomainsAtOnceComeWithoutAReload(t *testing.T) {
	eachDynamic(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		a := b.startAgent(t)
		a.ready(t)
		before := b.generation(t)
		c1 := startHost(t, "many")
		puts := map[string]string{}
		const many = 100
		for i := range many {
			for key, value := range addrOf(t, fmt.Sprintf("many%d.abc.com/server1", i), c1.addr) {
				puts[key] = value
			}
			if len(puts) == 100 || i == many-1 { // etcd takes 128 operations in one transaction
				b.txn(t, puts)
				clear(puts)
			}
		}
		for i := range many {
			b.comes(t, fmt.Sprintf("many%d.abc.com", i), "", c1)
		}
		b.settles(t)
		b.notReloaded(t, before)
		if text := read(t, b.managedFile); strings.Count(text, "\nbackend many") != many {
			t.Errorf("the file has %d of the domains", strings.Count(text, "\nbackend many"))
		}
		b.reload(t)
		b.settles(t)
		b.serves(t, "many7.abc.com", "", c1)
	})
}

func TestWithDynamicDomainsOffANewDomainTakesTheReload(t *testing.T) {
	eachDynamic(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		c1 := startHost(t, "c.abc.com server1")
		b.register(t, "c.abc.com/server1", c1.addr)
		b.must(t, "sync")
		before := b.generation(t)
		b.unregister(t, "c.abc.com")
		b.env = append(b.env, "HAPSYNC_DYNAMIC_DOMAINS=off")
		b.must(t, "sync")
		says(t, b.must(t, "check").stdout, "ok", "new domains: each takes a reload, as --dynamic-domains off asks for")
		b.inLine(t)
		b.unknown(t, "c.abc.com")
		b.register(t, "d.abc.com/server1", c1.addr)
		reloads(t, b.step(t), 1)
		b.reloadedOnce(t, before)
		b.serves(t, "d.abc.com", "", c1)
	})
}

func TestAFileWithoutAMapRuleGetsOneWithTheNextDomain(t *testing.T) {
	eachDynamic(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		operator(t, b.managedFile, b.mapRule(), "")
		if err := os.Remove(b.mapFile()); err != nil {
			t.Fatal(err)
		}
		b.reload(t)
		b.inLine(t)
		says(t, b.must(t, "check").stdout, "warn", "new domains: the next one takes a reload: ")
		c1 := startHost(t, "c.abc.com server1")
		b.register(t, "c.abc.com/server1", c1.addr)
		reloads(t, b.step(t), 1)
		b.serves(t, "c.abc.com", "", c1)
		says(t, b.must(t, "check").stdout, "ok", "new domains: come without a reload")
		b.register(t, "d.abc.com/server1", c1.addr)
		reloads(t, b.step(t), 0)
		b.serves(t, "d.abc.com", "", c1)
		elsewhere := strings.ReplaceAll(b.mapRule(), b.mapFile(), "/elsewhere/hapsync.domains.map") // as after a move of the managed file
		operator(t, b.managedFile, b.mapRule(), elsewhere)
		said := b.hapsync(t, "check").stdout
		says(t, said, "warn", "map file: it is missing, does not say what the managed file does, or is not the one that the managed file reads")
		says(t, said, "fail", "haproxy -c", "/elsewhere/hapsync.domains.map")
		says(t, b.step(t), "rewrite", "or is not the one that it reads")
		if text := read(t, b.managedFile); !strings.Contains(text, b.mapRule()) || strings.Contains(text, elsewhere) {
			t.Errorf("the managed file is\n%s", text)
		}
	})
}

// TestAFurtherNameThatBecomesADomainIsServed has a name move from a domain that HAProxy has loaded with it to one of its own.
func TestAFurtherNameThatBecomesADomainIsServed(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		a := b.startAgent(t)
		a.ready(t)
		for _, stays := range []bool{true, false} {
			old, name := fmt.Sprintf("old%t.abc.com", stays), fmt.Sprintf("new%t.abc.com", stays)
			before, after := startHost(t, old), startHost(t, name)
			b.register(t, old+"/server1", before.addr)
			b.put(t, old+"/aliases", name)
			b.comes(t, name, "", before)
			b.settles(t)
			var deletes []string
			if !stays {
				deletes = []string{old + "/"}
			}
			b.txn(t, addrOf(t, name+"/server1", after.addr), deletes...)
			b.comes(t, name, "", after)
			b.settles(t)
			b.serves(t, name, "", after)
		}
	})
}

// TestNoRuleLeadsToADomainThatLacksItsServers has words that no command may have, so that servers come by the reload alone.
func TestNoRuleLeadsToADomainThatLacksItsServers(t *testing.T) {
	eachDynamic(t, func(t *testing.T, h haproxy) {
		b := startDynamic(t, h)
		catchall, c1 := startHost(t, "catchall"), startHost(t, "c.abc.com server1")
		operator(t, b.managedFile, b.mapRule(), b.mapRule()+"    default_backend catchall\n")
		operator(t, b.baseFile, "\ndefaults web\n", "\ndefaults web\n    default-server check-alpn \"h2,http/1.1\"\n")
		operator(t, b.baseFile, "\n# the statistics page\n", "\nbackend catchall\n    server c "+catchall.addr+"\n\n# the statistics page\n")
		b.reload(t)
		a := b.startAgent(t)
		a.ready(t)
		b.register(t, "c.abc.com/server1", c1.addr)
		eventually(t, "c.abc.com is served", func() error {
			answer := b.ask(t, "c.abc.com", "")
			if answer.status != http.StatusOK {
				t.Fatalf("in between it is answered with %s", answer)
			}
			if answer.body != c1.name {
				return fmt.Errorf("got %s", answer)
			}
			return nil
		})
	})
}
