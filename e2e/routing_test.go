package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// startByMap is an abc whose domains the frontend has by the map.
func startByMap(t *testing.T, h haproxy) abc {
	t.Helper()
	return startABC(t, h, "HAPSYNC_ROUTING=map", "HAPSYNC_DYNAMIC_DOMAINS=auto")
}

// mapped fails the test unless the map file, and the map of the process, have these entries: "a.abc.com www.a.org" is a domain with a
// further name. In the process, a spare backend stands for one domain.
func (b *box) mapped(t *testing.T, domains ...string) {
	t.Helper()
	var lines []string
	backends := map[string]string{}
	for _, d := range domains {
		for _, name := range strings.Fields(d) {
			backends[name] = strings.Fields(d)[0] + "_cluster"
			lines = append(lines, name+" "+backends[name]+"\n")
		}
	}
	slices.Sort(lines)
	want := strings.Join(lines, "")
	eventually(t, "the map is as wanted", func() error {
		if got := read(t, b.mapFile()); got != want {
			return fmt.Errorf("the map file has\n%s\nwant\n%s", got, want)
		}
		reply, err := b.runtime("show map " + b.mapFile())
		var has []string
		spares := map[string]string{}
		for l := range strings.Lines(reply) {
			_, entry, _ := strings.Cut(l, " ")
			name, backend, ok := strings.Cut(strings.TrimSpace(entry), " ")
			if strings.HasPrefix(backend, "hapsync-spare-") {
				spares[backend] = cmp.Or(spares[backend], backends[name])
				backend = spares[backend]
			}
			if ok {
				has = append(has, name+" "+backend+"\n")
			}
		}
		slices.Sort(has)
		if got := strings.Join(has, ""); err != nil || got != want {
			return fmt.Errorf("the map of the process has\n%s\nwant\n%s%w", got, want, err)
		}
		return nil
	})
}

func TestOneRuleLeadsToAllDomainsByTheMap(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startByMap(t, h)
		b.mapped(t, "a.abc.com", "b.abc.com")
		text := read(t, b.managedFile)
		if !strings.Contains(text, b.allByMap()) || strings.Count(text, "use_backend ") != 1 || !strings.Contains(text, "    acl is_a.abc.com hdr(host),host_only -i a.abc.com\n") {
			t.Errorf("the managed file is\n%s", text)
		}
		for _, name := range []string{"b.abc.com", "B.ABC.com", "b.abc.com:8080"} {
			b.serves(t, name, "", b.b1)
		}
		b.alternates(t, "a.abc.com", b.a1, b.a2)
		b.sticks(t, "a.abc.com")
		for _, other := range []string{"b.abc.com.", "xb.abc.com", "abc.com", "b.abc.com.evil:80"} {
			b.unknown(t, other)
		}
		says(t, b.must(t, "explain", "b.abc.com").stdout, "reached", "b.abc.com with any port, in frontend webin, by the map")

		c1 := startHost(t, "c.abc.com server1")
		b.register(t, "c.abc.com/server1", c1.addr)
		b.put(t, "c.abc.com/aliases", "www.c.org")
		before := b.generation(t)
		said := b.step(t)
		says(t, said, "+ map entry of c.abc.com in webin")
		b.takesServers(t, before)
		b.mapped(t, "a.abc.com", "b.abc.com", "c.abc.com www.c.org")
		b.serves(t, "c.abc.com", "", c1)
		b.serves(t, "www.c.org:80", "", c1)

		before = b.generation(t)
		b.unregister(t, "c.abc.com")
		said = b.must(t, "sync").stdout
		says(t, said, "runtime", "- map entry of c.abc.com in webin")
		b.inLine(t)
		b.notReloaded(t, before)
		b.mapped(t, "a.abc.com", "b.abc.com")
		b.unknown(t, "c.abc.com")
		b.unknown(t, "www.c.org")
		if text := read(t, b.managedFile); strings.Contains(text, "c.abc.com") || strings.Contains(text, "c.org") {
			t.Errorf("the file has\n%s", text)
		}

		b.master.end(t) // it reads the map file when it starts again
		b.start(t)
		b.inLine(t)
		b.serves(t, "b.abc.com", "", b.b1)
	})
}

func TestFurtherNamesChangeByTheMapWithoutAReload(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startByMap(t, h)
		before := b.generation(t)
		b.put(t, "b.abc.com/aliases", "www.b.org WWW.abc.com")
		said := b.step(t)
		says(t, said, "runtime", "~ backend b.abc.com_cluster")
		reloads(t, said, 0)
		b.serves(t, "www.B.org:8080", "", b.b1)
		b.serves(t, "www.abc.com", "", b.b1)
		b.mapped(t, "a.abc.com", "b.abc.com www.b.org www.abc.com")
		b.etcdctl(t, "del", b.prefix+"/b.abc.com/aliases")
		b.put(t, "b.abc.com/aliases", "www.b.org")
		b.put(t, "a.abc.com/aliases", "www.abc.com") // moves
		reloads(t, b.step(t), 0)
		b.serves(t, "www.abc.com", "server1", b.a1)
		b.serves(t, "www.b.org", "", b.b1)
		b.notReloaded(t, before)
		b.mapped(t, "a.abc.com www.abc.com", "b.abc.com www.b.org")

		b.put(t, "b.abc.com/aliases", "www.b.org *.abc.com *.b.org")
		said = b.step(t)
		reloads(t, said, 1) // wildcards have rules
		b.put(t, "a.abc.com/aliases", "www.abc.com *.x.b.org")
		b.step(t)
		for name, host := range map[string]*host{"x.abc.com": b.b1, "a.abc.com": b.a1, "www.abc.com": b.a1, "y.x.b.org:80": b.a1, "y.b.org": b.b1, "x.b.org": b.b1} {
			server := ""
			if host == b.a1 {
				server = "server1"
			}
			b.serves(t, name, server, host)
		}
		b.mapped(t, "a.abc.com www.abc.com", "b.abc.com www.b.org")
		b.unknown(t, "b.org")
		b.etcdctl(t, "del", "--prefix", b.prefix+"/a.abc.com/")
		b.must(t, "sync", "--allow-mass-removal")
		b.serves(t, "a.abc.com", "", b.b1) // of *.abc.com now
		b.serves(t, "x.x.b.org", "", b.b1)
		b.inLine(t)
	})
}

func TestAnOperatorsRulesKeepTheirMeaningBesideTheMap(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		catchall, special, late := startHost(t, "catchall"), startHost(t, "special"), startHost(t, "late")
		operator(t, b.managedFile, b.mapRule(), "    use_backend late if { path /special }\n"+b.mapRule()+"    default_backend catchall\n")
		operator(t, b.managedFile, "    use_backend a.abc.com_cluster if", "    use_backend special if { hdr(x-special) -m found }\n    use_backend a.abc.com_cluster if")
		operator(t, b.managedFile, "    bind ", "    http-request deny deny_status 403 if is_b.abc.com { path /secret }\n    bind ")
		operator(t, b.managedFile, "    acl is_b.abc.com hdr(host),host_only -i b.abc.com\n", "")
		operator(t, b.managedFile, "frontend webin\n", "frontend webin\n    acl is_b.abc.com hdr(host),host_only -i b.abc.com\n")
		backends := ""
		for _, h := range []*host{catchall, special, late} {
			backends += "\nbackend " + h.name + "\n    server s " + h.addr + "\n"
		}
		operator(t, b.baseFile, "\n# the statistics page\n", backends+"\n# the statistics page\n")
		b.reload(t)
		answers := func() {
			t.Helper()
			b.serves(t, "a.abc.com", "server1", b.a1)
			b.serves(t, "b.abc.com", "", b.b1)
			b.serves(t, "unknown.abc.com", "", catchall)
			for _, c := range []struct{ host, path, header, want string }{
				{"unknown.abc.com", "/special", "", "late"}, {"a.abc.com", "/special", "", "a.abc.com"}, {"a.abc.com", "/", "yes", "special"}, {"b.abc.com", "/secret", "", "403"},
			} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+b.web+c.path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = c.host
				if c.header != "" {
					req.Header.Set("X-Special", c.header)
				}
				resp, err := http.DefaultClient.Do(req) //nolint:bodyclose // Receive closes it
				if err != nil {
					t.Fatal(err)
				}
				a, err := harness.Receive(resp)
				if got := fmt.Sprint(a.Status, " ", a.Body); err != nil || !strings.Contains(got, c.want) {
					t.Errorf("%s%s, X-Special %q: got %s, want %s", c.host, c.path, c.header, got, c.want)
				}
			}
		}
		answers()
		b.env = append(b.env, "HAPSYNC_ROUTING=map")
		reloads(t, b.step(t), 1)
		answers()
		c1 := startHost(t, "c.abc.com server1")
		b.register(t, "c.abc.com/server1", c1.addr)
		b.must(t, "sync")
		b.serves(t, "c.abc.com", "", c1)
		answers()
		before := b.generation(t)
		b.unregister(t, "c.abc.com")
		b.must(t, "sync")
		b.serves(t, "c.abc.com", "", catchall)
		b.notReloaded(t, before)
		b.env = append(b.env, "HAPSYNC_ROUTING=acl")
		b.step(t)
		answers()
		b.serves(t, "c.abc.com", "", catchall)
	})
}

func TestRoutingIsSwitchedThereAndBackWithoutAFailedRequest(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		b.put(t, "b.abc.com/aliases", "www.b.org *.b.org")
		b.must(t, "sync")
		classic := read(t, b.managedFile)
		loads := []*load{startLoad(t, b.box, "a.abc.com"), startLoad(t, b.box, "b.abc.com"), startLoad(t, b.box, "www.b.org")}
		for range 2 {
			for _, routing := range []string{"map", "acl"} {
				before := b.generation(t)
				b.env = append(b.env, "HAPSYNC_ROUTING="+routing)
				said := b.step(t)
				says(t, said, "~ use_backend rule in webin of a.abc.com with any port")
				reloads(t, said, 1)
				b.reloadedOnce(t, before)
				for _, l := range loads {
					l.goesOn(t)
				}
				for _, name := range []string{"www.b.org", "x.b.org:80"} {
					b.serves(t, name, "", b.b1)
				}
			}
		}
		for _, l := range loads {
			l.endsWithoutFailure(t)
		}
		withoutMapRule := func(text string) string { return strings.ReplaceAll(text, b.mapRule(), "") }
		if text := read(t, b.managedFile); withoutMapRule(text) != withoutMapRule(classic) {
			t.Errorf("there and back the file is\n%s\nand was\n%s", text, classic)
		}
		if text := read(t, b.mapFile()); text != "" {
			t.Errorf("the map file has %q", text)
		}
	})
}

func TestManyDomainsComeAndGoByTheMapAtOnce(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startByMap(t, h)
		before := b.generation(t)
		many := startHost(t, "many")
		const n = 300
		all := []string{"a.abc.com", "b.abc.com"}
		puts := map[string]string{}
		for i := range n {
			name := fmt.Sprintf("many%d.abc.com", i)
			all = append(all, name)
			maps.Copy(puts, addrOf(t, name+"/server1", many.addr))
			if len(puts) == 100 { // etcd takes 128 operations in one transaction
				b.txn(t, puts)
				clear(puts)
			}
		}
		b.txn(t, puts)
		said := b.must(t, "sync").stdout
		if h.can.Backends {
			reloads(t, said, 0)
		} else {
			reloads(t, said, 1)
			b.reloadedOnce(t, before)
		}
		b.inLine(t)
		b.mapped(t, all...)
		b.serves(t, "many7.abc.com", "", many)

		before = b.generation(t)
		if reply, err := b.runtime("clear map " + b.mapFile()); err != nil || strings.TrimSpace(reply) != "" {
			t.Fatalf("%q, %v", reply, err)
		}
		b.unknown(t, "many7.abc.com")
		reloads(t, b.step(t), 0)
		b.mapped(t, all...)
		b.serves(t, "many7.abc.com", "", many)
		b.etcdctl(t, "del", "--prefix", b.prefix+"/many")
		b.must(t, "sync", "--allow-mass-removal")
		b.mapped(t, "a.abc.com", "b.abc.com")
		b.unknown(t, "many7.abc.com")
		b.serves(t, "b.abc.com", "", b.b1)
		b.notReloaded(t, before)
	})
}

func TestAnAgentFollowsDomainsByTheMap(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startByMap(t, h)
		a := b.startAgent(t)
		a.ready(t)
		c1 := startHost(t, "c.abc.com server1")
		b.register(t, "c.abc.com/server1", c1.addr)
		b.comes(t, "c.abc.com", "", c1)
		b.settles(t)
		before := b.generation(t)
		b.put(t, "c.abc.com/aliases", "www.c.org")
		b.fetches(t, "www.c.org", http.StatusOK)
		b.settles(t)
		b.mapped(t, "a.abc.com", "b.abc.com", "c.abc.com www.c.org")
		a.kill(t)
		a = b.startAgent(t)
		a.ready(t)
		b.settles(t)
		b.unregister(t, "c.abc.com")
		b.fetches(t, "c.abc.com", http.StatusServiceUnavailable)
		b.fetches(t, "www.c.org", http.StatusServiceUnavailable)
		b.settles(t)
		b.mapped(t, "a.abc.com", "b.abc.com")
		b.notReloaded(t, before)
		b.register(t, "c.abc.com/server1", c1.addr)
		b.comes(t, "c.abc.com", "", c1)
		b.settles(t)
		b.mapped(t, "a.abc.com", "b.abc.com", "c.abc.com")
		b.master.end(t)
		b.start(t)
		b.comes(t, "c.abc.com", "", c1)
		b.settles(t)
	})
}
