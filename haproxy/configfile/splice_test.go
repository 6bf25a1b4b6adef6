package configfile

import (
	"slices"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// foreignText are lines of operators, for a frontend and for any section.
var (
	foreignFrontend = []string{
		"    bind :443 ssl crt /etc/ssl/site.pem alpn h2,http/1.1", "\thttp-request set-header X-Forwarded-Proto https if { ssl_fc }",
		"    capture request header Host len 64   ", "    acl own path_beg /own", "    use_backend own_cluster if own", "    default_backend own_cluster",
		"    # use_backend a.abc.com_cluster if is_a.abc.com", "  acl is_admin src 10.0.0.0/8", "    .if defined(HAPROXY_VERSION)", "    .endif", "",
		"    http-request deny if { path \\ }", `    http-request set-header X "a # b"`, "    acl long path " + strings.Repeat("/x ", 30_000), "    use_backend a.abc.com_cluster if { path /a } is_a.abc.com",
		"    acl isnt_ours hdr(host) -i a.abc.com", "    use_backend own_cluster if { hdr_end(host) -i .own.com }", "    .if defined(X)\n    use_backend own_cluster",
	}
	foreignBackend = []string{"    timeout server 5m", "    # a comment", "    http-response set-header X y", "    option forwardfor", "    use-server server1 if { path / }", ""}
	foreignSection = []string{
		"\n# what follows is ours, said the operator\nbackend own_cluster\n    server one 10.9.9.9:80 check\n", "listen stats\n    bind :8404\n    stats enable\n\n\n",
		"resolvers dns\n    nameserver a 10.0.0.53:53\n", "defaults\n    mode http\n    timeout client 5s\n", "cache small\n    total-max-size 4\n# the end of it\n\n",
	}
)

// foreignOf are the lines of a text that are not hapsync's, without blank lines. hapsync's are the lines with our names in our form, and in
// managed backends the lines of the kinds that it manages.
func foreignOf(text string, ours map[string]bool) []string {
	var kept []string
	own := false
	for l := range strings.Lines(text) {
		w := strings.Fields(l)
		switch {
		case len(w) == 0:
			continue
		case sectionKinds[w[0]]:
			own = w[0] == "backend" && ours[w[1]]
			if own {
				continue
			}
		case w[0] == "acl" && len(w) == 5 && ours[strings.TrimPrefix(w[1], "is_")+"_cluster"] && strings.HasPrefix(w[1], "is_"):
			continue
		case w[0] == "use_backend" && len(w) == 4 && ours[w[1]] && strings.HasPrefix(w[3], "is_"):
			continue
		case (own || w[0] == "acl" || w[0] == "use_backend") && strings.HasSuffix(l, " "+ownMark+"\n"):
			continue
		case own && slices.Contains([]string{"balance", "cookie", "server", "http-check"}, w[0]), own && len(w) == 2 && w[1] == "httpchk":
			continue
		}
		kept = append(kept, l)
	}
	return kept
}

// scatter inserts foreign lines between the lines of a managed file.
func scatter(t *rapid.T, text string) string {
	var b strings.Builder
	kind := ""
	for l := range strings.Lines(text) {
		if w := firstWord(l); sectionKinds[w] {
			if kind != "" && rapid.IntRange(0, 4).Draw(t, "section") == 0 {
				b.WriteString(rapid.SampledFrom(foreignSection).Draw(t, "lines"))
			}
			kind = w
		}
		b.WriteString(l)
		pool := foreignBackend
		if kind == "frontend" {
			pool = foreignFrontend
		}
		for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "n") {
			extra := rapid.SampledFrom(pool).Draw(t, "line")
			switch firstWord(extra) {
			case ".if":
				b.WriteString(extra + "\n    http-request deny if { path /in-if }\n    .endif\n")
				continue
			case ".endif":
				continue
			}
			b.WriteString(extra + "\n")
		}
	}
	return b.String()
}

// drawLines draws marked lines and other names for the backends.
func drawLines(t *rapid.T, c haproxy.Config) haproxy.Config {
	for i := range c.Backends {
		c.Backends[i].Options.Lines = rapid.SampledFrom([]string{"", "timeout server 30s", "timeout server 1h\nhttp-request deny deny_status 503",
			"default-server ssl verify none sni str(a) check-sni a inter 5s\nhttp-check expect status 200-299"}).Draw(t, "marked")
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"*.com", "*.abc.com", "*.b.abc.com", "*.org", "www.a.com", "www.org", "abc.com"}), 0, 3, rapid.ID).Draw(t, "names")
		slices.Sort(names)
		c.Backends[i].Options.Names = strings.Join(names, " ")
	}
	return c
}

// drawByMap draws whether the frontend routes no domain, some, or all by the map.
func drawByMap(t *rapid.T, c haproxy.Config) haproxy.Config {
	one := rapid.SampledFrom([]string{"none", "some", "all"}).Draw(t, "by the map")
	anyPort := rapid.Bool().Draw(t, "the map takes any port")
	for i, r := range c.Rules {
		if one == "none" || one == "some" && rapid.Bool().Draw(t, r.Domain) {
			continue
		}
		c.Rules[i].ByMap, c.Rules[i].AnyPort = true, anyPort
		at := slices.IndexFunc(c.Backends, func(b haproxy.Backend) bool { return b.Name == r.Backend() })
		c.Backends[at].ByMap, c.Backends[at].Exact = []string{r.Frontend}, nil
		if !anyPort {
			c.Backends[at].Exact = []string{r.Frontend}
		}
	}
	return c
}

// drawClosed draws domains that are gone but have to stay: their rules match no request.
func drawClosed(t *rapid.T, c haproxy.Config) haproxy.Config {
	for i, b := range c.Backends {
		if rapid.IntRange(0, 3).Draw(t, b.Name+" is closed") > 0 {
			continue
		}
		c.Backends[i].Closed, c.Backends[i].Options.Names, c.Backends[i].Exact = true, "", nil
		for j, r := range c.Rules {
			if r.Backend() == b.Name {
				c.Rules[j].Closed, c.Rules[j].AnyPort = true, false
			}
		}
	}
	return c
}

func TestARewriteKeepsEveryLineOfAnOperators(t *testing.T) {
	t.Parallel()
	frontends := []string{"webin"}
	const f = "/f.cfg"
	rapid.Check(t, func(t *rapid.T) {
		have := drawClosed(t, drawByMap(t, drawLines(t, drawConfig(frontends).Draw(t, "have"))))
		base := parseDocument(newFile(frontends))
		text := scatter(t, splice(base, readManaged(base, frontends, f, nil, noDefaults), have))
		d := parseDocument(text)
		m := readManaged(d, frontends, f, nil, noDefaults)
		if delta := diff(have, m.Config); delta != "" {
			t.Fatalf("foreign lines change what is read (-want +got):\n%s\n%s", delta, text)
		}
		want := drawLines(t, drawConfig(frontends).Draw(t, "want"))
		for i, b := range have.Backends { // the lines of a domain go with it: keep all domains here
			if !slices.ContainsFunc(want.Backends, func(w haproxy.Backend) bool { return w.Name == b.Name }) {
				want.Backends = append(want.Backends, have.Backends[i])
				domain, _ := haproxy.DomainOf(b.Name)
				last := &want.Backends[len(want.Backends)-1]
				last.ByMap, last.Exact, last.Closed = nil, nil, false
				want.Rules = append(want.Rules, haproxy.Rule{Frontend: "webin", Domain: domain, AnyPort: true})
			}
		}
		want = drawClosed(t, drawByMap(t, want))
		slices.SortFunc(want.Backends, func(a, b haproxy.Backend) int { return strings.Compare(a.Name, b.Name) })
		haproxy.SortRules(want.Rules)
		got := splice(d, m, want)
		if delta := diff(want, readManaged(parseDocument(got), frontends, f, nil, noDefaults).Config); delta != "" {
			t.Fatalf("the rewrite says something else (-want +got):\n%s\n%s", delta, got)
		}
		ours := map[string]bool{}
		for _, b := range want.Backends {
			ours[b.Name] = true
		}
		if before, after := foreignOf(text, ours), foreignOf(got, ours); !slices.Equal(before, after) {
			t.Fatalf("(-before +after):\n%s", gocmp.Diff(before, after))
		}
		again := parseDocument(got)
		if same := splice(again, readManaged(again, frontends, f, nil, noDefaults), want); same != got {
			t.Fatalf("a rewrite of what is there changes it:\n%s", gocmp.Diff(got, same))
		}
	})
}

func TestADomainThatGoesTakesOnlyItsOwnLines(t *testing.T) {
	t.Parallel()
	const text = `frontend webin
    bind :80
    acl is_a.com hdr(host) -i a.com
    acl is_b.com hdr(host) -i b.com
    use_backend a.com_cluster if is_a.com # the shop
    use_backend b.com_cluster if is_b.com

backend a.com_cluster
    balance roundrobin
    cookie SERVERID insert indirect nocache
    server s1 10.0.0.1:80 cookie s1 check

# the blog
backend b.com_cluster
    balance roundrobin
    cookie SERVERID insert indirect nocache
    timeout server 5m
    server s1 10.0.0.2:80 cookie s1 check # rack 7
`
	d := parseDocument(text)
	m := readManaged(d, []string{"webin"}, "f", nil, noDefaults)
	for _, gone := range []string{"a.com", "b.com"} {
		want := haproxy.Config{Backends: slices.Clone(m.Config.Backends), Rules: slices.Clone(m.Config.Rules)}
		want.Backends = slices.DeleteFunc(want.Backends, func(b haproxy.Backend) bool { return b.Name == haproxy.BackendName(gone) })
		want.Rules = slices.DeleteFunc(want.Rules, func(r haproxy.Rule) bool { return r.Domain == gone })
		got := splice(d, m, want)
		if strings.Contains(strings.ReplaceAll(got, "# the blog", ""), gone) {
			t.Errorf("%s is still there:\n%s", gone, got)
		}
		if !strings.Contains(got, "# the blog") || gone == "a.com" && !strings.Contains(got, "check # rack 7") {
			t.Errorf("a comment went with %s:\n%s", gone, got)
		}
	}
}

func TestNamesOfOursInAnotherShapeAreForeign(t *testing.T) {
	t.Parallel()
	const backend = "\nbackend a.com_cluster\n    balance roundrobin\n    server s1 10.0.0.1:80 cookie s1\n"
	cases := map[string]string{
		"the ACL has another criterion":   "    acl is_a.com path /a\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"the ACL has two values":          "    acl is_a.com hdr(host) -i a.com www.a.com\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"the ACL is alone":                "    acl is_a.com hdr(host) -i a.com\n",
		"the ACL's name is quoted":        "    acl \"is_a.com\" src 10.0.0.0/8\n",
		"the ACL's name has quotes in it": "    acl is_'a'.\"com\" src 10.0.0.0/8\n",
		"the ACL's name has an escape":    "    acl is_a\\.com src 10.0.0.0/8\n",
		"the keyword is quoted":           "    'acl' is_a.com src 10.0.0.0/8\n",
		"the words stand far apart":       "    acl\v\fis_a.com src 10.0.0.0/8\n",
		"the backend is quoted":           strings.Replace(backend, "a.com_cluster", "'a.com'_cluster", 1),
		"the keyword backend is quoted":   strings.Replace(backend, "backend", "\"backend\"", 1),
		"the rule has another condition":  "    acl is_a.com hdr(host) -i a.com\n    use_backend a.com_cluster if is_a.com { path / }\n" + backend,
		"the rule is an unless":           "    acl is_a.com hdr(host) -i a.com\n    use_backend a.com_cluster unless is_a.com\n" + backend,
		"the backend is alone":            backend,
		"the backend is a listen":         "    acl is_a.com hdr(host) -i a.com\n    use_backend a.com_cluster if is_a.com\n" + strings.Replace(backend, "backend", "listen", 1),
		"the rule stands in an .if":       "    acl is_a.com hdr(host) -i a.com\n    .if defined(X)\n    use_backend a.com_cluster if is_a.com\n    .endif\n" + backend,
		"one of two ACL lines is another": "    acl is_a.com hdr(host) -i a.com\n    acl is_a.com src 10.0.0.0/8\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"the ACL has only a port":         "    acl is_a.com hdr(host) -i a.com:80\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"the ACL has a bad port":          "    acl is_a.com hdr(host) -i a.com a.com:http\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"the ACL's value has a variable":  "    acl is_a.com hdr(host) -i \"${A:-a.com}\"\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"the ACL's value has an escape":   "    acl is_a.com hdr(host) -i a\\.com\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"the ACL matches the beginning":   "    acl is_a.com hdr(host) -i -m beg a.com\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"the ACL reads a file":            "    acl is_a.com hdr(host) -i -f a.com\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"the ACL is of the first header":  "    acl is_a.com hdr(host,1) -i a.com\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"the ACL converts the header":     "    acl is_a.com hdr(host),base64 -i a.com\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"a lower header, an upper value":  "    acl is_a.com hdr(host),lower A.com\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"the ACL's name goes on":          "    acl \"is_a.com x\" hdr(host) -i a.com\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"there are two rules":             "    acl is_a.com hdr(host) -i a.com\n    use_backend a.com_cluster if is_a.com\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"the ACL is case sensitive":       "    acl is_a.com hdr(host) a.com\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"a further name has no mark":      "    acl is_a.com hdr(host) -i a.com\n    acl is_a.com hdr(host) -i www.a.com\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"a marked ACL is of the path":     "    acl is_a.com hdr(host) -i a.com\n    acl is_a.com path /a # hapsync\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"a marked ACL has two values":     "    acl is_a.com hdr(host) -i a.com\n    acl is_a.com hdr(host) -i www.a.com x.com # hapsync\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"a marked ACL stands in an .if":   "    acl is_a.com hdr(host) -i a.com\n    .if defined(X)\n    acl is_a.com hdr(host) -i www.a.com # hapsync\n    .endif\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"a marked ACL is alone":           "    acl is_a.com hdr(host) -i www.a.com # hapsync\n" + backend,
		"an operator has shut it":         "    acl is_a.com always_false\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"shut in an .if":                  "    .if defined(X)\n    acl is_a.com always_false # hapsync\n    .endif\n    use_backend a.com_cluster if is_a.com\n" + backend,
		"a wildcard is alone":             "    use_backend a.com_cluster if { hdr(host) -m end -i .a.com } # hapsync\n" + backend,
		"the backend is in the base file": "",
	}
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			taken := map[string]string{}
			if body == "" {
				taken["a.com_cluster"] = "backend a.com_cluster (haproxy.cfg:9)"
			}
			m := readManaged(parseDocument("frontend webin\n    bind :80\n"+body), []string{"webin"}, "hapsync.cfg", taken, noDefaults)
			if len(m.Config.Backends)+len(m.Config.Rules) != 0 {
				t.Errorf("taken for ours: %v", m.Config)
			}
			if place := m.Foreign["a.com"]; !strings.Contains(place, ".cfg:") && !strings.Contains(place, ".cfg)") {
				t.Errorf("not said to be foreign, with its place: %q", m.Foreign)
			}
		})
	}
}

func TestALineThatStaysKeepsItsPlace(t *testing.T) {
	t.Parallel()
	const text = `frontend webin
    acl is_b.com hdr(host) -i b.com
    use_backend b.com_cluster if is_b.com
    # the shop
    acl is_d.com hdr(host) -i d.com
    use_backend d.com_cluster if is_d.com
    # the end

backend b.com_cluster
    # rack 1
    server s1 10.0.0.1:80 cookie s1
    # rack 2
    server s3 10.0.0.3:80 cookie s3 # old
    # rack 3
    server s4 10.0.0.4:80 cookie s4
    timeout server 5m

backend d.com_cluster
    server s1 10.0.0.1:80 cookie s1
`
	const after = `frontend webin
    acl is_b.com hdr(host) -i b.com
    use_backend b.com_cluster if is_b.com
    # the shop
    acl is_c.com hdr(host) -i c.com
    acl is_d.com hdr(host) -i d.com
    acl is_e.com hdr(host) -i e.com
    use_backend c.com_cluster if is_c.com
    use_backend d.com_cluster if is_d.com
    use_backend e.com_cluster if is_e.com
    # the end

backend b.com_cluster
    # rack 1
    # rack 2
    server s2 10.0.0.2:80 cookie s2
    server s3 10.0.0.33:80 cookie s3 # old
    # rack 3
    server s4 10.0.0.4:80 cookie s4
    server s5 10.0.0.5:80 cookie s5
    timeout server 5m

backend c.com_cluster
    server s1 10.0.0.1:80 cookie s1

backend d.com_cluster
    server s1 10.0.0.1:80 cookie s1

backend e.com_cluster
    server s1 10.0.0.1:80 cookie s1
`
	d := parseDocument(text)
	want := readManaged(parseDocument(after), []string{"webin"}, "f", nil, noDefaults).Config
	if got := splice(d, readManaged(d, []string{"webin"}, "f", nil, noDefaults), want); got != after {
		t.Errorf("(-want +got):\n%s", gocmp.Diff(after, got))
	}
}

// noDefaults are the defaults of a file without defaults sections.
func noDefaults(section) defaultsSection { return defaultsSection{} }
