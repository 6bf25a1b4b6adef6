package e2e

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// What an operator has beside, around and above hapsync's lines.

// besideBase is a base file as an operator may have it.
const besideBase = "global\n" + harness.NoCertificates + `    stats socket @DIR@/s.sock mode 600 level admin expose-fd listeners
    stats timeout 30s
` + besideDefaults

const besideDefaults = `defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
`

// domainLines are a managed domain of the classic shape, without its frontend's lines.
func domainLines(domain string, servers ...string) string {
	return "\nbackend " + domain + "_cluster\n    balance roundrobin\n    cookie SERVERID insert indirect nocache\n    " +
		strings.Join(servers, "\n    ") + "\n"
}

// serverLine is a server of the classic shape.
func serverLine(name, addr string) string {
	return "server " + name + " " + addr + " cookie " + name + " check"
}

// frontendLines are the frontend webin with the rules of some domains.
func (b *box) frontendLines(domains ...string) string {
	var acls, rules strings.Builder
	for _, d := range domains {
		fmt.Fprintf(&acls, "    acl is_%[1]s hdr(host) -i %[1]s\n", d)
		fmt.Fprintf(&rules, "    use_backend %[1]s_cluster if is_%[1]s\n", d)
	}
	return "frontend webin\n    bind " + b.web + "\n" + acls.String() + rules.String()
}

// newBeside is a box with a base file of its own, and no HAProxy yet.
func newBeside(t *testing.T, h haproxy) *box {
	t.Helper()
	b := newBox(t, h)
	b.runtimeSocket, b.masterSocket = filepath.Join(b.dir, "s.sock"), filepath.Join(b.dir, "m.sock")
	b.env = append(b.env, "HAPSYNC_MASTER_SOCKET="+b.masterSocket)
	b.write(t, b.baseFile, strings.NewReplacer("@DIR@", b.dir).Replace(besideBase))
	return b
}

func (b *box) write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// runs fails the test unless the process has exactly these servers in a domain's backend, in any order.
func (b *box) runs(t *testing.T, domain string, servers ...string) {
	t.Helper()
	reply, err := b.runtime("show servers state " + domain + "_cluster")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for l := range strings.Lines(reply) {
		if w := strings.Fields(l); len(w) > 18 && w[0] != "#" {
			have[w[3]] = true
		}
	}
	want := map[string]bool{}
	for _, s := range servers {
		want[s] = true
	}
	if fmt.Sprint(have) != fmt.Sprint(want) {
		t.Errorf("backend %s_cluster has %v, want %v", domain, have, want)
	}
}

func TestABackendOfAnotherFileIsLeftAlone(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		legacy, shop, a1 := freeAddr(t), startHost(t, "shop"), startHost(t, "a1")
		third := filepath.Join(b.dir, "legacy.cfg")
		b.write(t, b.managedFile, b.frontendLines())
		b.write(t, third, "frontend legacy\n    bind "+legacy+"\n    default_backend shop_cluster\n"+domainLines("shop", serverLine("web1", shop.addr)))
		b.register(t, "a.abc.com/server1", a1.addr)
		b.startWith(t, b.baseFile, b.managedFile, third)
		for range 2 {
			b.must(t, "sync")
			b.inLine(t)
			b.runs(t, "shop", "web1")
			b.serves(t, "a.abc.com", "", a1)
			if a, err := get(legacy, "x", ""); err != nil || a.body != "shop" {
				t.Errorf("the operator's site answers %s, %v", a, err)
			}
			b.register(t, "a.abc.com/server2", a1.addr)
		}
	})
}

func TestServersThatTheFileDoesNotShowStay(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string][]string{
		"between .if and .endif": {".if version_atleast(2.5)", "@SERVER@", ".endif"},
		"without our cookie":     {"server server1 @ADDR@ check"},
		"with another cookie":    {"server server1 @ADDR@ cookie s1 check"},
		"by a template":          {"server-template server 1-1 @ADDR@ check"},
	} {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				own, other := startHost(t, "own"), startHost(t, "other")
				text := b.frontendLines("a.abc.com") + domainLines("a.abc.com", lines...)
				text = strings.NewReplacer("@SERVER@", serverLine("server1", own.addr), "@ADDR@", own.addr).Replace(text)
				b.write(t, b.managedFile, text)
				b.startWith(t, b.baseFile, b.managedFile)
				b.register(t, "a.abc.com/server1", own.addr)
				if o := b.hapsync(t, "sync"); o.code != 6 {
					t.Errorf("want exit code 6 for a host that is left alone: %s", o)
				} else {
					says(t, o.stdout+o.stderr, "server1", "left alone")
				}
				b.runs(t, "a.abc.com", "server1")
				b.serves(t, "a.abc.com", "", own)
				if read(t, b.managedFile) != text {
					t.Errorf("the file was written:\n%s", read(t, b.managedFile))
				}
				says(t, b.hapsync(t, "check").stdout, "left alone", "server1")
				b.besideOurs(t, own, other, text)
			})
		})
	}
}

// besideOurs has servers of ours come and go in a backend with an operator's server1.
func (b *box) besideOurs(t *testing.T, own, other *host, text string) {
	t.Helper()
	b.unregister(t, "a.abc.com")
	b.register(t, "a.abc.com/web2", other.addr)
	b.must(t, "sync")
	b.inLine(t)
	b.runs(t, "a.abc.com", "server1", "web2")
	b.serves(t, "a.abc.com", "web2", other)
	b.unregister(t, "a.abc.com")
	b.must(t, "sync", "--allow-mass-removal")
	b.inLine(t)
	b.runs(t, "a.abc.com", "server1")
	b.serves(t, "a.abc.com", "", own)
	if got := read(t, b.managedFile); got != text {
		t.Errorf("the file is\n%s\nwant it as it was:\n%s", got, text)
	}
}

func TestServersThatAreTypedIntoTheProcessStay(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		one, typed := startHost(t, "one"), startHost(t, "typed")
		b.write(t, b.managedFile, b.frontendLines("a.abc.com")+domainLines("a.abc.com", serverLine("server1", one.addr)))
		b.register(t, "a.abc.com/server1", one.addr)
		b.startWith(t, b.baseFile, b.managedFile)
		b.must(t, "sync")
		if _, err := b.runtime("add server a.abc.com_cluster/guest " + typed.addr + ";enable server a.abc.com_cluster/guest"); err != nil {
			t.Fatal(err)
		}
		b.must(t, "sync")
		b.inLine(t)
		b.runs(t, "a.abc.com", "server1", "guest")
		b.register(t, "a.abc.com/server2", one.addr)
		b.must(t, "sync")
		b.unregister(t, "a.abc.com/server2")
		b.must(t, "sync")
		b.inLine(t)
		if h.can.CookieLive {
			b.runs(t, "a.abc.com", "server1", "guest")
		} else {
			b.runs(t, "a.abc.com", "server1") // the reload, not hapsync, has ended what was only in the process
		}
	})
}

// secureHost answers over TLS with a name.
func secureHost(t *testing.T, name string) (addr string) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// TestDefaultsAreThoseOfTheProxy has defaults that are not the base file's last ones: in the managed file itself, named by the
// frontend, inherited (3.x), in a file between the two.
func TestDefaultsAreThoseOfTheProxy(t *testing.T) {
	t.Parallel()
	const secure, plain = "defaults web\n    mode http\n    timeout connect 1s\n    timeout client 9s\n    timeout server 9s\n    default-server ssl verify none\n",
		"defaults tcp\n    mode tcp\n    timeout connect 1s\n    timeout client 9s\n    timeout server 9s\n"
	for name, c := range map[string]struct{ before, managed, frontend string }{
		"in the managed file":    {"", secure, "frontend webin"},
		"named by the frontend":  {"", secure + plain, "frontend webin from web"},
		"in a file between":      {plain + secure, "", "frontend webin"},
		"from others by name":    {secure, "defaults more from web\n    option dontlognull\n", "frontend webin"},
		"named, in another file": {secure + plain, "", "frontend webin from web"},
	} {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				b.write(t, b.baseFile, strings.Replace(read(t, b.baseFile), "mode http", "mode tcp", 1))
				between := filepath.Join(b.dir, "between.cfg")
				b.write(t, between, "# nothing\n"+c.before)
				b.write(t, b.managedFile, c.managed+strings.Replace(b.frontendLines(), "frontend webin", c.frontend, 1))
				b.startWith(t, b.baseFile, between, b.managedFile)
				b.register(t, "a.abc.com/server1", secureHost(t, "one"))
				if o := b.must(t, "sync"); strings.Contains(o.stdout+o.stderr, "not in mode http") {
					t.Errorf("a false warning: %s", o)
				}
				b.register(t, "a.abc.com/server2", secureHost(t, "two"))
				b.must(t, "sync")
				b.inLine(t)
				for cookie, body := range map[string]string{"server1": "one", "server2": "two"} {
					if a := b.ask(t, "a.abc.com", cookie); a.body != body {
						t.Errorf("%s answers %s, want %q", cookie, a, body)
					}
				}
			})
		})
	}
}

// TestHAProxyJudgesAllOfItsFiles has a third file that the managed one does not fit with, and names that are taken there.
func TestHAProxyJudgesAllOfItsFiles(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]bool{"as HAProxy tells": false, "as hapsync is told": true} {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				one := startHost(t, "one")
				conf := filepath.Join(b.dir, "conf.d")
				if err := os.Mkdir(conf, 0o755); err != nil {
					t.Fatal(err)
				}
				b.write(t, b.managedFile, b.frontendLines()+"    use_backend own if { path /own }\n")
				b.write(t, filepath.Join(conf, "own.cfg"), "backend own\n    server s "+one.addr+"\nbackend b.abc.com_cluster\n    server s "+one.addr+"\n")
				if told {
					b.env = append(b.env, "HAPSYNC_HAPROXY_FILE="+strings.Join([]string{b.baseFile, conf, b.managedFile}, ","))
				}
				b.startWith(t, b.baseFile, conf, b.managedFile)
				b.register(t, "a.abc.com/server1", one.addr)
				b.register(t, "b.abc.com/server1", one.addr)
				o := b.hapsync(t, "sync")
				if o.code != 6 {
					t.Errorf("want exit code 6 for a name that is taken: %s", o)
				}
				says(t, o.stdout+o.stderr, "b.abc.com", "left alone", "own.cfg")
				b.serves(t, "a.abc.com", "", one)
				b.runs(t, "b.abc.com", "s")
				says(t, b.hapsync(t, "check").stdout, "ok", "process", "conf.d")
			})
		})
	}
}

func TestTwoAgentsHaveAHostOfTheirOwnOnOneHAProxy(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		one, two := startHost(t, "one"), startHost(t, "two")
		second := *b
		second.web, second.prefix, second.managedFile = freeAddr(t), b.prefix+"-second", filepath.Join(b.dir, "second.cfg")
		second.env = append(slices.Clone(b.env), "HAPSYNC_MANAGED_FILE="+second.managedFile, "HAPSYNC_PREFIX="+second.prefix, "HAPSYNC_FRONTEND=second")
		b.write(t, b.managedFile, b.frontendLines())
		b.write(t, second.managedFile, strings.Replace(second.frontendLines(), "frontend webin", "frontend second", 1))
		b.startWith(t, b.baseFile, b.managedFile, second.managedFile)
		b.register(t, "a.abc.com/server1", one.addr)
		second.register(t, "z.abc.com/server1", two.addr)
		for range 2 {
			for _, of := range []*box{b, &second} {
				of.must(t, "sync")
				of.register(t, map[*box]string{b: "a.abc.com/server2", &second: "z.abc.com/server2"}[of], one.addr)
				of.must(t, "sync")
			}
			b.inLine(t)
			second.inLine(t)
			b.runs(t, "a.abc.com", "server1", "server2")
			b.runs(t, "z.abc.com", "server1", "server2")
		}
		b.serves(t, "a.abc.com", "server1", one)
		second.serves(t, "z.abc.com", "server1", two)
	})
}

func TestStatsSocketsAreFoundInEveryForm(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		for name, form := range someOf(map[string]string{
			"quoted":        `"@DIR@/s.sock"`,
			"with unix@":    "unix@@DIR@/s.sock",
			"by a variable": `"${HAPSYNC_TEST_DIR}/s.sock"`,
			"TCP":           "@ADDR@",
			"ipv4@":         "ipv4@@ADDR@",
			"abstract":      "abns@hapsync-@NAME@",
		}) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := newBeside(t, h)
				replace := strings.NewReplacer("@DIR@", b.dir, "@ADDR@", freeAddr(t), "@NAME@", filepath.Base(b.dir))
				text := strings.Replace(read(t, b.baseFile), "stats socket "+b.dir+"/s.sock mode 600", "stats socket "+replace.Replace(form), 1)
				b.write(t, b.baseFile, strings.Replace(text, "global\n", "global\n    unix-bind prefix /nowhere\n    presetenv HAPSYNC_TEST_DIR "+b.dir+"\n", 1))
				b.write(t, b.managedFile, b.frontendLines())
				a1 := startHost(t, "a1")
				b.register(t, "a.abc.com/server1", a1.addr)
				b.startAnswering(t)
				b.must(t, "sync")
				b.inLine(t)
				b.serves(t, "a.abc.com", "", a1)
				b.put(t, "a.abc.com/server1/weight", "7")
				says(t, b.must(t, "sync").stdout, "runtime")
				b.inLine(t)
				b.must(t, "check")
			})
		}
	})
}

func TestTheMastersSocketIsFoundInEveryForm(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		for name, form := range someOf(map[string]string{
			"with unix@": "unix@@DIR@/m.sock",
			"TCP":        "@ADDR@",
			"ipv4@":      "ipv4@@ADDR@,level,operator",
			"abstract":   "abns@hapsync-@NAME@",
		}) {
			for _, told := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, told %v", name, told), func(t *testing.T) {
					t.Parallel()
					b := newBeside(t, h)
					b.masterSocket = strings.NewReplacer("@DIR@", b.dir, "@ADDR@", freeAddr(t), "@NAME@", filepath.Base(b.dir)).Replace(form)
					address, _, _ := strings.Cut(b.masterSocket, ",")
					b.env = append(b.env, "HAPSYNC_MASTER_SOCKET="+map[bool]string{true: address}[told])
					b.write(t, b.managedFile, b.frontendLines())
					a1 := startHost(t, "a1")
					b.register(t, "a.abc.com/server1", a1.addr)
					b.startAnswering(t)
					reloads(t, b.must(t, "sync").stdout, 1)
					b.inLine(t)
					b.serves(t, "a.abc.com", "", a1)
				})
			}
		}
	})
}

// startAnswering starts HAProxy with both files, and returns when hapsync reaches its stats socket.
func (b *box) startAnswering(t *testing.T) {
	t.Helper()
	b.master = startProcess(t, filepath.Join(b.dir, "haproxy.log"), b.haproxy.path, "-W", "-S", b.masterSocket, "-f", b.baseFile, "-f", b.managedFile)
	eventually(t, "hapsync reaches HAProxy", func() error {
		if err := b.master.running(); err != nil {
			t.Fatal(err)
		}
		if o := b.hapsync(t, "check"); o.code != 0 {
			return fmt.Errorf("%s", o)
		}
		return nil
	})
}

// TestAHAProxyThatStartedBeforeTheLastWriteIsBroughtInLine has HAProxy start with the text before the last write, as one does that is
// restarted at the moment of that write: what it has loaded is hapsync's, though neither the file nor a note of this worker says so.
func TestAHAProxyThatStartedBeforeTheLastWriteIsBroughtInLine(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		one, two := startHost(t, "one"), startHost(t, "two")
		b.write(t, b.managedFile, b.frontendLines())
		b.startWith(t, b.baseFile, b.managedFile)
		b.register(t, "a.abc.com/server1", one.addr)
		b.register(t, "b.abc.com/server1", two.addr)
		b.must(t, "sync")
		b.register(t, "a.abc.com/server2", two.addr) // by a command where HAProxy takes that
		b.must(t, "sync")
		b.runs(t, "a.abc.com", "server1", "server2")
		before := read(t, b.managedFile)

		b.master.end(t)
		b.unregister(t, "a.abc.com/server2")
		b.unregister(t, "b.abc.com")
		b.exits(t, 4, "sync", "--allow-mass-removal") // into the file alone
		after := read(t, b.managedFile)
		b.write(t, b.managedFile, before)
		b.startWith(t, b.baseFile, b.managedFile)
		b.write(t, b.managedFile, after)
		b.runs(t, "a.abc.com", "server1", "server2")

		b.must(t, "sync", "--allow-mass-removal")
		b.inLine(t)
		b.runs(t, "a.abc.com", "server1")
		b.serves(t, "a.abc.com", "", one)
		b.unknown(t, "b.abc.com")
	})
}
