package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// An operators is a box with files full of hand-written lines.
type operators struct {
	*box
	x   *host  // served by the operator's own rules
	tls string // the address of the TLS bind
	tcp string // the address of a TCP proxy in the base file
}

// startOperators fills in the files of testdata/operator, joined where they are to be one, and starts HAProxy with them.
func startOperators(t *testing.T, h haproxy, joined bool) operators {
	t.Helper()
	b := operators{box: newBox(t, h), x: startHost(t, "x"), tls: freeAddr(t), tcp: freeAddr(t)}
	writeCertificate(t, filepath.Join(b.dir, "site.pem"), "own.abc.com")
	if err := os.Mkdir(filepath.Join(b.dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	base, managed := b.fill(t, "haproxy.cfg"), b.fill(t, "hapsync.cfg")
	if joined {
		base, managed = base+managed, base+managed
		b.files(b.baseFile, b.baseFile)
	}
	for file, text := range map[string]string{b.baseFile: base, b.managedFile: managed} {
		if err := os.WriteFile(file, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	b.start(t)
	return b
}

// fill puts addresses and paths into a file of testdata/operator, and what only some versions take.
func (b operators) fill(t *testing.T, file string) string {
	t.Helper()
	program, deprecated := "", ""
	if b.haproxy.version < 303 {
		program = "program idle\n    command sleep 3600\n"
	}
	if b.haproxy.version >= 301 && b.haproxy.version < 303 {
		deprecated = "expose-deprecated-directives"
	}
	return strings.NewReplacer("@DIR@", b.dir, "@WEB@", b.web, "@STATS@", b.stats, "@TLS@", b.tls, "@TCP@", b.tcp, "@X@", b.x.addr,
		"@PROGRAM@\n", program, "@DEPRECATED@", deprecated,
		"@LONG-COMMENT@", "# "+strings.Repeat("long ", 15_000)+`\`, "@LONG-WORD@", "/"+strings.Repeat("w", 66_000),
	).Replace(read(t, filepath.Join("testdata/operator", file)))
}

// changes are what happens in the registry between ten syncs.
func (b operators) changes(t *testing.T) []func() {
	var a [4]*host
	for i, name := range []string{"a1", "a2", "a3", "c1"} {
		a[i] = startHost(t, name)
	}
	return []func(){
		func() { b.register(t, "a.abc.com/server1", a[0].addr); b.register(t, "b.abc.com/server1", a[0].addr) },
		func() { b.register(t, "a.abc.com/server2", a[1].addr) },
		func() { b.register(t, "c.abc.com/server1", a[3].addr) },
		func() { b.register(t, "a.abc.com/server1", a[2].addr) },
		func() { b.put(t, "a.abc.com/server2/weight", "7"); b.put(t, "b.abc.com/balance", "leastconn") },
		func() { b.unregister(t, "c.abc.com") },
		func() { b.put(t, "a.abc.com/check", "/health"); b.register(t, "0.abc.com/server1", a[3].addr) },
		func() { b.unregister(t, "b.abc.com") },
		func() { b.put(t, "0.abc.com/server1/state", "maint"); b.delete(t, "a.abc.com/check") },
		func() { b.unregister(t, "a.abc.com/server2"); b.register(t, "zz.abc.com/s", a[1].addr) },
	}
}

func TestHandWrittenLinesStayOverTenSyncs(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startOperators(t, h, false)
		base := footprintOf(t, b.baseFile)
		b.keepsLines(t)
		if footprintOf(t, b.baseFile) != base {
			t.Error("the base file was written")
		}
	})
}

func TestHandWrittenLinesStayInOneFile(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startOperators(t, h, true)
		b.keepsLines(t)
	})
}

// keepsLines makes the changes, with a sync after each. After the first one the operator adds to a backend of ours.
func (b operators) keepsLines(t *testing.T) {
	t.Helper()
	written := withoutOurs(read(t, b.managedFile))
	for i, change := range b.changes(t)[:often(10, 6)] {
		change()
		b.step(t)
		text := read(t, b.managedFile)
		sameLines(t, written, withoutOurs(text))
		b.keepsServing(t)
		if i > 0 {
			continue
		}
		const header = "backend a.abc.com_cluster\n"
		text = strings.Replace(text, header, header+"    # the shop \\\n\ttimeout  server 9s   # by hand\n", 1)
		if err := os.WriteFile(b.managedFile, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if added := withoutOurs(text); len(added) != len(written)+2 {
			t.Fatalf("the operator's lines are not in %q", added)
		}
		written = withoutOurs(text)
	}
}

// keepsServing fails the test unless the operator's own rules do what they say.
func (b operators) keepsServing(t *testing.T) {
	t.Helper()
	b.serves(t, "own.abc.com", "", b.x)
	for _, addr := range []string{b.tcp, b.tls} {
		c := harness.Client{Addr: addr}
		if addr == b.tls {
			c.Dial = func() (net.Conn, error) { return tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) }
		}
		if a, err := c.Get("own.abc.com", "", "close"); err != nil || a.Body != b.x.name {
			t.Errorf("%s: got %s, %v", addr, a, err)
		}
	}
	if a := b.ask(t, "unknown.abc.com", ""); a.status != http.StatusNotFound || a.body != "sorry" {
		t.Errorf("the default backend: got %s", a)
	}
}

var (
	header = regexp.MustCompile(`^(global|defaults|listen|frontend|backend|program|resolvers)\b`)
	// Lines of ours, for any domain of abc.com: in a frontend, and in a backend.
	ourRule    = regexp.MustCompile(`^\s+(acl is_\S+\.abc\.com hdr\(host\)(,host_only)? -i \S+|use_backend \S+\.abc\.com_cluster if is_\S+)$`)
	ourBackend = regexp.MustCompile(`^backend \S+\.abc\.com_cluster$`)
	ourOption  = regexp.MustCompile(`^\s+(balance|cookie|server|http-check|option httpchk)\b`)
)

// withoutOurs are the lines that hapsync has no part in: all but its rules, and its backends with what it puts into them.
// Blank lines do not count, as they come and go with the backends.
func withoutOurs(text string) []string {
	var lines []string
	ours := false
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		if header.MatchString(l) {
			ours = ourBackend.MatchString(l)
		}
		if strings.TrimSpace(l) == "" || ourBackend.MatchString(l) || ourRule.MatchString(l) || ours && ourOption.MatchString(l) {
			continue
		}
		lines = append(lines, l)
	}
	return lines
}

// sameLines fails the test where a line was lost, changed or moved.
func sameLines(t *testing.T, want, got []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range want {
		if i == len(got) || got[i] != want[i] {
			t.Fatalf("hand-written lines changed: line %d of them was\n%.200s\nand is followed by\n%.500q", i+1, want[i], got[i:min(i+3, len(got))])
		}
	}
	t.Fatalf("hand-written lines changed: %.500q came to them", got[len(want):])
}

// writeCertificate writes a domain's certificate, which signs itself, and its key into one file.
func writeCertificate(t *testing.T, file, domain string) {
	t.Helper()
	if err := os.WriteFile(file, newCertificate(t, domain, time.Now().Add(time.Hour)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// newCertificate is a certificate for a domain, until a time, and its key.
func newCertificate(t *testing.T, domain string, until time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: domain}, NotAfter: until, DNSNames: []string{domain},
	}
	signed, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
}

func TestOurRulesStandAboveThoseThatWouldShadowThem(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]string{
		"a wildcard":           "    use_backend wild if { hdr_end(host) -i .abc.com }\n",
		"an ACL":               "    acl wild req.hdr(Host),lower -m end .abc.com\n    use_backend wild if METH_GET wild\n",
		"without a condition":  "    use_backend wild\n",
		"a negative condition": "    acl other hdr(host) -i other\n    use_backend wild unless other\n",
	} {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				wild, one, two := startHost(t, "wild"), startHost(t, "one"), startHost(t, "two")
				b.write(t, b.baseFile, read(t, b.baseFile)+"backend wild\n    server w "+wild.addr+"\n")
				b.write(t, b.managedFile, b.frontendLines()+rule)
				b.startWith(t, b.baseFile, b.managedFile)
				b.register(t, "b.abc.com/server1", one.addr)
				for _, domain := range []string{"b.abc.com", "a.abc.com", "c.abc.com"} { // the later ones come beside ours
					b.register(t, domain+"/server1", one.addr)
					b.must(t, "sync")
					b.serves(t, domain, "", one)
					b.serves(t, "unknown.abc.com", "", wild)
				}
				b.unregister(t, "a.abc.com")
				b.unregister(t, "b.abc.com")
				b.unregister(t, "c.abc.com")
				b.register(t, "d.abc.com/server1", two.addr)
				b.must(t, "sync", "--allow-mass-removal")
				b.unregister(t, "d.abc.com")
				b.hapsync(t, "sync", "--allow-mass-removal")
				b.register(t, "a.abc.com/server1", two.addr)
				b.must(t, "sync")
				b.reload(t)
				b.serves(t, "a.abc.com", "", two)
				b.serves(t, "unknown.abc.com", "", wild)
				b.inLine(t)
				if o := b.hapsync(t, "check"); strings.Contains(o.stdout+o.stderr, "stands above") {
					t.Errorf("it warns without a reason:\n%s", o)
				}
				text := strings.Replace(read(t, b.managedFile), rule, "", 1)
				b.write(t, b.managedFile, strings.Replace(text, "    use_backend a.abc.com", rule+"    use_backend a.abc.com", 1))
				for _, command := range []string{"plan", "check"} {
					o := b.hapsync(t, command)
					says(t, o.stdout+o.stderr, "use_backend wild", "stands above hapsync's rules for a.abc.com")
				}
			})
		})
	}
}

func TestARuleBetweenTwoOfHapsyncsStaysThere(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		one := startHost(t, "one")
		text := b.frontendLines("a.abc.com", "c.abc.com") + domainLines("a.abc.com", serverLine("server1", one.addr)+" # rack 7") + domainLines("c.abc.com", serverLine("server1", one.addr)) +
			"\nbackend special\n    http-request return status 200 content-type text/plain string special\n"
		text = strings.Replace(text, "    use_backend c.abc.com", "    use_backend special if { path_beg /api }\n    use_backend c.abc.com", 1)
		b.write(t, b.managedFile, text)
		b.register(t, "a.abc.com/server1", one.addr)
		b.register(t, "c.abc.com/server1", one.addr)
		b.startWith(t, b.baseFile, b.managedFile)
		isKept := func() {
			t.Helper()
			b.inLine(t)
			c := harness.Client{Addr: b.web, Path: "/api"}
			defer c.Close()
			if a, err := c.Get("c.abc.com", "", "close"); err != nil || a.Body != "special" {
				t.Errorf("the operator's rule does not hold: %s, %v", a, err)
			}
			if !strings.Contains(read(t, b.managedFile), "check # rack 7\n") {
				t.Error("the comment is gone")
			}
		}
		b.must(t, "sync")
		isKept()
		b.register(t, "b.abc.com/server1", one.addr)
		b.must(t, "sync")
		isKept()
		b.comes(t, "b.abc.com", "server1", one)
		b.delete(t, "b.abc.com/")
		b.must(t, "sync", "--allow-mass-removal")
		isKept()
	})
}
