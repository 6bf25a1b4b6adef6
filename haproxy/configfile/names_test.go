package configfile

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// routed is the backend to which the rules of a frontend lead a Host, as in HAProxy; empty if no rule matches.
func routed(text, host string) string {
	acls := map[string][]string{}
	for l := range strings.Lines(text) {
		w := splitWords(l)
		switch {
		case len(w) == 5 && w[0] == "acl" && strings.HasPrefix(w[2], "hdr(host)"):
			acls[w[1]] = append(acls[w[1]], w[4])
		case len(w) == 4 && w[0] == "use_backend" && slices.Contains(acls[w[3]], host):
			return w[1]
		case len(w) == 10 && w[0] == "use_backend" && strings.HasSuffix(host, w[8]):
			return w[1]
		}
	}
	return ""
}

func TestExactNamesBeatWildcardsAndLongerOnesBeatShorter(t *testing.T) {
	t.Parallel()
	frontends := []string{"webin"}
	hosts := []string{"a.abc.com", "b.abc.com", "x", "z.org", "www.a.com", "www.org", "abc.com", "y.com", "y.abc.com", "y.b.abc.com", "b.b.abc.com", "y.org", "com", "net"}
	rapid.Check(t, func(t *rapid.T) {
		text := newFile(frontends)
		for range 3 {
			want := drawLines(t, drawConfig(frontends).Draw(t, "want"))
			owner := map[string]string{}
			for i, b := range want.Backends { // each name has one domain
				want.Backends[i].Options.Names = strings.Join(slices.DeleteFunc(strings.Fields(b.Options.Names), func(name string) bool {
					was := owner[name]
					owner[name] = cmp.Or(was, b.Name)
					return was != ""
				}), " ")
			}
			for _, b := range want.Backends {
				domain, _ := haproxy.DomainOf(b.Name)
				owner[domain] = b.Name
			}
			d := parseDocument(text)
			text = splice(d, readManaged(d, frontends, "f", nil, noDefaults), want)
			for _, host := range hosts {
				best := owner[host]
				for below := host; best == "" && below != ""; {
					_, below, _ = strings.Cut(below, ".")
					best = owner["*."+below]
				}
				if got := routed(text, host); got != best {
					t.Fatalf("%s goes to %q, not %q, by\n%s", host, got, best, text)
				}
			}
		}
	})
}

const namesFile = `frontend webin
    bind :80
    acl is_abc.com hdr(host),host_only -i abc.com
    acl is_abc.com hdr(host),host_only -i www.abc.com # hapsync
    acl own path /own
    acl is_x.com hdr(host),host_only -i x.com
    use_backend abc.com_cluster if is_abc.com
    use_backend x.com_cluster if is_x.com
    use_backend own_cluster if own
    use_backend x.com_cluster if { hdr(host),host_only -m end -i .shop.abc.com } # hapsync
    use_backend abc.com_cluster if { hdr(host),host_only -m end -i .abc.com } # hapsync the rest
    use_backend own_cluster

backend abc.com_cluster
    server s1 10.0.0.1:80 cookie s1

backend x.com_cluster
    server s1 10.0.0.2:80 cookie s1

backend own_cluster
    server s1 10.0.0.3:80
`

func TestNamesAreRead(t *testing.T) {
	t.Parallel()
	d := parseDocument(namesFile)
	m := readManaged(d, []string{"webin"}, "f", nil, noDefaults)
	have := m.Config.Backends[0].Options.Names + ", " + m.Config.Backends[1].Options.Names
	if have != "*.abc.com www.abc.com, *.shop.abc.com" || len(m.Foreign) > 1 {
		t.Fatalf("have %q, foreign %v", have, m.Foreign)
	}
	if got := strings.Join(m.Wildcards, " "); got != "*.abc.com *.shop.abc.com" {
		t.Errorf("wildcards %q", got)
	}
	want := m.Config
	want.Backends = append(slices.Clone(want.Backends), haproxy.Backend{Name: "a.com_cluster", Options: haproxy.BackendOptions{Names: "*.a.b.shop.abc.com a.net"}})
	want.Rules = append(slices.Clone(want.Rules), haproxy.Rule{Frontend: "webin", Domain: "a.com", AnyPort: true})
	slices.SortFunc(want.Backends, haproxy.CompareBackends)
	haproxy.SortRules(want.Rules)
	got := splice(d, m, want)
	text := strings.Replace(namesFile, "    acl is_abc.com hdr(host),host_only -i abc.com\n", "    acl is_a.com hdr(host),host_only -i a.com\n    acl is_a.com hdr(host),host_only -i a.net # hapsync\n    acl is_abc.com hdr(host),host_only -i abc.com\n", 1)
	text = strings.Replace(text, "    use_backend abc.com", "    use_backend a.com_cluster if is_a.com\n    use_backend abc.com", 1)
	text = strings.Replace(text, "    use_backend x.com_cluster if {", "    use_backend a.com_cluster if { hdr(host),host_only -m end -i .a.b.shop.abc.com } # hapsync\n    use_backend x.com_cluster if {", 1)
	text = strings.Replace(text, "\nbackend abc", "\nbackend a.com_cluster\n\nbackend abc", 1)
	if delta := gocmp.Diff(text, got); delta != "" {
		t.Errorf("(-want +got):\n%s", delta)
	}
}

func TestALineOfANameThatIsNotInItsPlaceIsWrittenAgain(t *testing.T) {
	t.Parallel()
	const shop, rest = "    use_backend x.com_cluster if { hdr(host),host_only -m end -i .shop.abc.com } # hapsync\n", "    use_backend abc.com_cluster if { hdr(host),host_only -m end -i .abc.com } # hapsync the rest\n"
	const www, exact = "    acl is_abc.com hdr(host),host_only -i www.abc.com # hapsync\n", "    use_backend x.com_cluster if is_x.com\n"
	wanted := readManaged(parseDocument(namesFile), []string{"webin"}, "f", nil, noDefaults).Config
	for name, text := range map[string]string{
		"a shorter wildcard above a longer one": strings.Replace(namesFile, shop+rest, rest+shop, 1),
		"a wildcard above an exact name":        strings.Replace(strings.Replace(namesFile, shop, "", 1), exact, shop+exact, 1),
		"a name that is there twice":            strings.Replace(namesFile, www, www+www, 1),
		"a wildcard that is there twice":        strings.Replace(namesFile, shop, shop+shop, 1),
		"a name of other ports":                 strings.Replace(namesFile, www, strings.Replace(www, ",host_only", "", 1), 1),
		"a wildcard of other ports":             strings.Replace(namesFile, shop, strings.Replace(shop, ",host_only", "", 1), 1),
		"a name that is not there":              strings.Replace(namesFile, www, "", 1),
		"a wildcard that is not there":          strings.Replace(namesFile, rest, "", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := parseDocument(text)
			m := readManaged(d, []string{"webin"}, "f", nil, noDefaults)
			if m.Config.Equal(wanted) {
				t.Fatal("it is read as if nothing were wrong")
			}
			got := splice(d, m, wanted)
			again := readManaged(parseDocument(got), []string{"webin"}, "f", nil, noDefaults)
			if !again.Config.Equal(wanted) || strings.Count(got, ownMark) != 3 {
				t.Errorf("it is not right after a rewrite:\n%s", got)
			}
		})
	}
}

func TestFrontendsThatDifferInNamesAreWrittenAgain(t *testing.T) {
	t.Parallel()
	frontend, _, _ := strings.Cut(namesFile, "\nbackend abc.com_cluster")
	second := strings.Replace(strings.Replace(frontend, "webin", "second", 1), "    bind :80\n", "", 1)
	for _, lacks := range []string{"-i www.abc.com", ".shop.abc.com"} {
		var less []string
		for l := range strings.Lines(second) {
			if !strings.Contains(l, lacks) {
				less = append(less, l)
			}
		}
		d := parseDocument(strings.Join(less, "") + namesFile)
		frontends := []string{"webin", "second"}
		m := readManaged(d, frontends, "f", nil, noDefaults)
		for _, names := range []string{"*.abc.com www.abc.com", "*.abc.com"} {
			want := haproxy.Config{Backends: slices.Clone(m.Config.Backends), Rules: m.Config.Rules}
			want.Backends[0].Options.Names, want.Backends[1].Options.Names = names, "*.shop.abc.com"
			if m.Config.Equal(want) {
				t.Errorf("without %s in one it is read as right for %q", lacks, names)
			}
			if again := readManaged(parseDocument(splice(d, m, want)), frontends, "f", nil, noDefaults); !again.Config.Equal(want) {
				t.Errorf("without %s in one: %v", lacks, again.Config)
			}
		}
	}
}
