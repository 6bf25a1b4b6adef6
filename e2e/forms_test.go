package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// TestRulesOfEqualMeaningAreTakenOverAsTheyAre has an ACL and a rule of an operator's that say what hapsync's do, in other words.
func TestRulesOfEqualMeaningAreTakenOverAsTheyAre(t *testing.T) {
	t.Parallel()
	const acl, rule = "    acl is_a.abc.com ", "    use_backend a.abc.com_cluster if is_a.abc.com\n"
	for name, lines := range someOf(map[string]string{
		"req.hdr":             acl + "req.hdr(host) -i a.abc.com\n" + rule,
		"an upper header":     acl + "hdr(Host) -i a.abc.com\n" + rule,
		"quotes":              "    acl \"is_a.abc.com\" 'hdr(host)' -i \"a.abc.com\"\n    use_backend \"a.abc.com_cluster\" if \"is_a.abc.com\"\n",
		"an upper value":      acl + "hdr(host) -i A.ABC.com\n" + rule,
		"two dashes":          acl + "hdr(host) -i -- a.abc.com\n" + rule,
		"-m str":              acl + "hdr(host) -m str -i a.abc.com\n" + rule,
		"a value with a port": acl + "hdr(host) -i a.abc.com:80 a.abc.com a.abc.com:8080 # both\n" + rule,
		"a line with a port":  acl + "hdr(host) -i a.abc.com\n" + acl + "req.hdr(host) -i a.abc.com:80\n" + rule,
		"the same twice":      acl + "hdr(host) -i a.abc.com\n" + acl + "hdr(host) -i a.abc.com\n" + rule,
		"in lower case":       acl + "req.hdr(Host),lower a.abc.com\n" + rule,
		"without its port":    acl + "hdr(host),field(1,:),lower -i a.abc.com\n" + acl + "hdr(host),host_only -i a.abc.com\n" + rule,
	}) {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				one, two := startHost(t, "one"), startHost(t, "two")
				text := "frontend webin\n    bind " + b.web + "\n" + lines + domainLines("a.abc.com", serverLine("server1", one.addr))
				b.write(t, b.managedFile, text)
				b.register(t, "a.abc.com/server1", one.addr)
				b.startWith(t, b.baseFile, b.managedFile)
				b.inLine(t)
				b.must(t, "sync")
				if got := read(t, b.managedFile); got != text {
					t.Errorf("the file was written:\n%s", got)
				}
				b.register(t, "a.abc.com/server1", two.addr)
				b.must(t, "sync")
				b.serves(t, "a.abc.com", "", two)
				for _, domain := range []string{"0.abc.com", "b.abc.com"} {
					b.register(t, domain+"/server1", one.addr)
					b.must(t, "sync")
					b.serves(t, domain, "", one)
					b.serves(t, "a.abc.com", "", two)
					for l := range strings.Lines(lines) {
						if got := read(t, b.managedFile); !strings.Contains(got, l) {
							t.Errorf("the line %q is gone:\n%s", l, got)
						}
					}
				}
				b.inLine(t)
				b.unregister(t, "a.abc.com")
				b.must(t, "sync")
				if got := read(t, b.managedFile); strings.Contains(strings.ToLower(got), "a.abc.com") {
					t.Errorf("a line of the removed domain is still there:\n%s", got)
				}
				b.unknown(t, "a.abc.com")
				b.inLine(t)
			})
		})
	}
}

// TestRulesOfAnotherMeaningStayForeign has what looks like ours, and matches more or less than hapsync's would.
func TestRulesOfAnotherMeaningStayForeign(t *testing.T) {
	t.Parallel()
	const acl, rule = "    acl is_a.abc.com ", "    use_backend a.abc.com_cluster if is_a.abc.com\n"
	const form = `in another form than "acl is_a.abc.com hdr(host) -i a.abc.com"`
	for name, lines := range map[string]string{
		"another value, too": acl + "hdr(host) -i a.abc.com www.abc.com\n" + rule,
		"case sensitive":     acl + "hdr(host) a.abc.com\n" + rule,
		"another line, too":  acl + "hdr(host) -i a.abc.com\n" + acl + "src 127.0.0.0/8\n" + rule,
		"the end alone":      acl + "hdr(host) -i -m end a.abc.com\n" + rule,
	} {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				one := startHost(t, "one")
				text := "frontend webin\n    bind " + b.web + "\n" + lines + domainLines("a.abc.com", serverLine("server1", one.addr))
				b.write(t, b.managedFile, text)
				b.register(t, "a.abc.com/server2", one.addr)
				b.startWith(t, b.baseFile, b.managedFile)
				o := b.hapsync(t, "sync")
				if o.code != 6 || read(t, b.managedFile) != text {
					t.Errorf("it is not left alone: %s\n%s", o, read(t, b.managedFile))
				}
				why := form
				if name == "another line, too" {
					why = "another ACL line is_a.abc.com"
				}
				says(t, o.stdout, "problem ", "left alone", why)
				if a := b.ask(t, "a.abc.com", ""); a.status != http.StatusOK {
					t.Errorf("got %s", a)
				}
			})
		})
	}
}
