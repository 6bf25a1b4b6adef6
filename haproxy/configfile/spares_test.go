package configfile

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

const (
	spareOne  = "\nbackend hapsync-spare-1\n    balance roundrobin\n    cookie SERVERID insert indirect nocache\n"
	spareTwo  = "\nbackend hapsync-spare-2\n    balance roundrobin\n    cookie SERVERID insert indirect nocache\n"
	stickyB   = "\nbackend b.com_cluster\n    balance roundrobin\n    cookie SERVERID insert indirect nocache\n    server s1 10.0.0.1:80 cookie s1 check\n"
	stickyZ   = "\nbackend z.com_cluster\n    balance roundrobin\n    cookie SERVERID insert indirect nocache\n    server s1 10.0.0.1:80 cookie s1 check\n"
	rulesBZ   = "    acl is_b.com hdr(host) -i b.com\n    acl is_z.com hdr(host) -i z.com\n    use_backend b.com_cluster if is_b.com\n    use_backend z.com_cluster if is_z.com\n"
	spareHead = "frontend webin\n    bind :80\n"
)

// readSpares reads a text of the managed file together with another file.
func readSpares(text, other string) (Document, Managed) {
	docs := []Document{parseDocument(other), parseDocument(text)}
	m := readManaged(docs[1], []string{"webin"}, "/f.cfg", nil, noDefaults)
	m.findSpares(docs, 1, noDefaults)
	return docs[1], m
}

func names(backends []haproxy.Backend) string {
	var all []string
	for _, b := range backends {
		all = append(all, b.Name)
	}
	return strings.Join(all, " ")
}

var plainSpares = haproxy.Spares{Count: 2, Options: haproxy.BackendOptions{Balance: "roundrobin", Cookie: haproxy.StickyCookie}}

func TestSpareBackendsComeAndGoWithRulesOfDomains(t *testing.T) {
	t.Parallel()
	binary := haproxytest.FirstHAProxy(t)
	none, one := haproxy.Spares{}, plainSpares
	one.Count = 1
	other := plainSpares
	other.Options.Cookie = ""
	const withoutCookie = "\nbackend hapsync-spare-1\n    balance roundrobin\n\nbackend hapsync-spare-2\n    balance roundrobin\n"
	for name, c := range map[string]struct {
		spares        haproxy.Spares
		before, after string
	}{
		"they come, in the order of names":  {plainSpares, spareHead + ruleB + stickyB, spareHead + rulesBZ + stickyB + spareOne + spareTwo + stickyZ},
		"they stay":                         {plainSpares, spareHead + ruleB + stickyB + spareOne + spareTwo, spareHead + rulesBZ + stickyB + spareOne + spareTwo + stickyZ},
		"fewer are wanted":                  {one, spareHead + ruleB + stickyB + spareOne + spareTwo, spareHead + rulesBZ + stickyB + spareOne + stickyZ},
		"none are":                          {none, spareHead + ruleB + stickyB + spareOne + spareTwo, spareHead + rulesBZ + stickyB + stickyZ},
		"a domain without a key is another": {other, spareHead + ruleB + stickyB + spareOne + spareTwo, spareHead + rulesBZ + stickyB + withoutCookie + stickyZ},
		"a domain goes":                     {plainSpares, spareHead + rulesBZ + stickyB + stickyZ, spareHead + ruleB + stickyB + spareOne + spareTwo},
		"no rule changes":                   {plainSpares, spareHead + ruleB + stickyB, spareHead + ruleB + strings.Replace(stickyB, "10.0.0.1", "10.0.0.2", 1)},
		"no rule changes, and none are":     {none, spareHead + ruleB + stickyB + spareOne, spareHead + ruleB + strings.Replace(stickyB, "10.0.0.1", "10.0.0.2", 1) + spareOne},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, m := readSpares(c.before, "")
			_, want := readSpares(c.after, "")
			m.newSpares = m.sparesFor(c.spares, haproxy.Capabilities{CookieLive: true}, want.Config)
			if got := splice(d, m, want.Config); got != c.after {
				t.Errorf("written (-want +got):\n%s", diff(c.after, got))
			}
			got, err := transact(t.Context(), filepath.Join(t.TempDir(), "x"), binary, c.before, m, want.Config)
			if err != nil || got != c.after {
				t.Errorf("edited: %v (-want +got):\n%s", err, diff(c.after, got))
			}
			if line, ok := reproduces(c.after); !ok {
				t.Errorf("line %d keeps the next edit from being one", line)
			}
			if again, _ := readSpares(got, ""); foreignLines(again, want)[lineKey{"backend hapsync-spare-1", "balance"}] != nil {
				t.Error("its lines count as an operator's")
			}
		})
	}
}

func TestASpareBackendIsOneThatIsAsANewDomainsAndThatNoLineNames(t *testing.T) {
	t.Parallel()
	both := stickyB + spareOne + spareTwo
	for name, c := range map[string]struct{ rules, backends, other, want string }{
		"as written":                   {"", both, "", "hapsync-spare-1 hapsync-spare-2"},
		"comments between sections":    {"    # mine hapsync-spare-1\n", both + "\n# mine hapsync-spare-1\n", "# hapsync-spare-1\n", "hapsync-spare-1 hapsync-spare-2"},
		"a comment within":             {"", strings.Replace(both, "spare-1\n", "spare-1\n    # mine\n", 1), "", "hapsync-spare-2"},
		"a comment behind a word":      {"", strings.TrimSuffix(both, "\n") + " # mine\n", "", "hapsync-spare-1"},
		"a comment behind the name":    {"", strings.Replace(both, "spare-1\n", "spare-1 # mine\n", 1), "", "hapsync-spare-2"},
		"a line of its own":            {"", both + "    http-response set-header X y\n", "", "hapsync-spare-1"},
		"a server":                     {"", both + "    server s1 10.0.0.1:80 cookie s1 check\n", "", "hapsync-spare-1"},
		"a default-server":             {"", both + "    default-server inter 5s\n", "", "hapsync-spare-1"},
		"a rule":                       {"    use_backend hapsync-spare-1 if { path /x }\n", both, "", "hapsync-spare-2"},
		"a condition":                  {"    http-request deny if { nbsrv(hapsync-spare-1) 0 }\n", both, "", "hapsync-spare-2"},
		"a line of another file":       {"", both, "frontend x\n    default_backend hapsync-spare-2\n", "hapsync-spare-1"},
		"a server that tracks":         {"", both, "backend x\n    server s 10.0.0.1:80 track hapsync-spare-2/s\n", "hapsync-spare-1"},
		"named defaults":               {"", strings.ReplaceAll(both, "spare-1\n", "spare-1 from web\n"), "", "hapsync-spare-2"},
		"twice":                        {"", both + spareTwo, "", "hapsync-spare-1"},
		"in another file, too":         {"", both, spareTwo, "hapsync-spare-1"},
		"behind .if":                   {"", stickyB + "\n.if defined(X)" + spareTwo + ".endif\n" + spareOne, "", "hapsync-spare-1"},
		"a listen section":             {"", both + "\nlisten hapsync-spare-3\n", "", "hapsync-spare-1 hapsync-spare-2"},
		"a name of another shape":      {"", both + "\nbackend hapsync-spare-07\n\nbackend hapsync-spare-0\n\nbackend hapsync-spare-x\n", "", "hapsync-spare-1 hapsync-spare-2"},
		"a number that begins with it": {"    use_backend hapsync-spare-12 if { path /x }\n", both + "\nbackend hapsync-spare-12\n", "", "hapsync-spare-1 hapsync-spare-2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := spareHead + c.rules + ruleB + c.backends
			d, m := readSpares(text, c.other)
			if got := names(m.Spares); got != c.want {
				t.Errorf("spare are %q, want %q", got, c.want)
			}
			m.newSpares = m.sparesFor(haproxy.Spares{}, haproxy.Capabilities{CookieLive: true}, m.Config)
			for _, s := range m.Spares {
				if got := splice(d, m, haproxy.Config{}); strings.Contains(got, "\nbackend "+s.Name+"\n") {
					t.Errorf("%s stays in\n%s", s.Name, got)
				}
			}
			if got := splice(d, m, haproxy.Config{}); strings.Count(got, "mine") != strings.Count(text, "mine") {
				t.Errorf("a comment is lost in\n%s", got)
			}
			for name := range m.otherSpares {
				if got := splice(d, m, haproxy.Config{}); strings.Count(got, name) != strings.Count(text, name) {
					t.Errorf("%s is not left alone in\n%s", name, got)
				}
			}
		})
	}
}

func TestNamesFromTheRegistryAreNoSpareBackends(t *testing.T) {
	t.Parallel()
	const domain = "hapsync-spare-1.com"
	line := func(server string) string {
		return "\nbackend " + domain + "_cluster\n    balance roundrobin\n    option httpchk\n    http-check send meth GET uri /hapsync-spare-2 ver HTTP/1.1 hdr Host " + domain + "\n" + server
	}
	rules := "    acl is_" + domain + " hdr(host) -i " + domain + "\n    acl is_" + domain + " hdr(host) -i hapsync-spare-2.org # hapsync\n" +
		"    use_backend " + domain + "_cluster if is_" + domain + "\n    use_backend " + domain + "_cluster if { hdr(host) -m end -i .hapsync-spare-2.net } # hapsync\n"
	for server, want := range map[string]string{
		"    server hapsync-spare-2 10.0.0.1:80 cookie hapsync-spare-2 check\n":                          "hapsync-spare-1 hapsync-spare-2",
		"    server hapsync-spare-1 10.0.0.1:80 check # hapsync\n":                                       "hapsync-spare-1 hapsync-spare-2",
		"    server hapsync-spare-1 10.0.0.1:80 cookie hapsync-spare-1 check track hapsync-spare-2/s1\n": "hapsync-spare-1",
		"    server hapsync-spare-2 hapsync-spare-2.x:80\n":                                              "hapsync-spare-1",
	} {
		_, m := readSpares(spareHead+rules+line(server)+spareOne+spareTwo, "")
		if got := names(m.Spares); got != want || len(m.Config.Rules) != 1 {
			t.Errorf("%q: spare are %q, want %q; rules %v", server, got, want, m.Config.Rules)
		}
	}
}

func TestWithoutCookiesOnNewServersSparesAreForDomainsWithoutThem(t *testing.T) {
	t.Parallel()
	_, m := readSpares(spareHead+ruleB+stickyB, "")
	if got := m.sparesFor(plainSpares, haproxy.Capabilities{}, m.Config); len(got) > 0 {
		t.Errorf("%v though no domain can use them", got)
	}
	want := haproxy.Config{Backends: []haproxy.Backend{{Name: "b.com_cluster", Options: haproxy.BackendOptions{Balance: "leastconn"}}}}
	got := m.sparesFor(plainSpares, haproxy.Capabilities{}, want)
	if names(got) != "hapsync-spare-1 hapsync-spare-2" || got[0].Options.Cookie != "" {
		t.Errorf("%v", got)
	}
}

func TestSparesThatMayBeLoadedAreThoseThatNoEarlierFileHadOtherwise(t *testing.T) {
	t.Parallel()
	_, now := readSpares(spareHead+stickyB+spareOne+spareTwo, "")
	for before, want := range map[string]string{
		"":       "hapsync-spare-1 hapsync-spare-2",
		spareOne: "hapsync-spare-1 hapsync-spare-2",
		strings.Replace(spareOne, "nocache", "nocache httponly", 1): "hapsync-spare-2",
		spareOne + spareTwo + "    retries 1\n":                     "hapsync-spare-1",
	} {
		_, earlier := readSpares(spareHead+before, "")
		if got := names(now.SparesLike(earlier)); got != want {
			t.Errorf("after %q: %q, want %q", before, got, want)
		}
	}
}
