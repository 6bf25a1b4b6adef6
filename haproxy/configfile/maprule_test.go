package configfile

import (
	"slices"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
)

func TestAMapRuleIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	for _, anyPort := range []bool{false, true} {
		raw := "    " + MapRule("/etc/haproxy/hapsync.domains.map", anyPort) + "\n"
		r, ok := readMapRule(line{raw: raw})
		if !ok || r.file != "/etc/haproxy/hapsync.domains.map" || r.anyPort != anyPort {
			t.Errorf("%q: read %+v, %t", raw, r, ok)
		}
		if _, ok := readMapRule(line{raw: raw, conditional: true}); ok {
			t.Errorf("%q: taken for hapsync's though it stands behind .if", raw)
		}
	}
}

func TestARuleOfAnOperatorsIsNoMapRule(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"use_backend",
		"use_backend a.abc.com_cluster if is_a.abc.com",
		"use_backend %[req.hdr(host),lower,map(/etc/haproxy/mine.map)] if { req.hdr(host),lower,map(/etc/haproxy/mine.map) -m found }",
		"use_backend %[req.hdr(host),lower,map(/a.domains.map)] if { req.hdr(host),lower,map(/b.domains.map) -m found }",
		"use_backend %[req.hdr(host),lower,map(/a.domains.map)]",
		"use_backend %[req.hdr(host),lower,map(/a.domains.map,none)] if { req.hdr(host),lower,map(/a.domains.map,none) -m found }",
		"use_backend %[path,map(/a.domains.map)] if { path,map(/a.domains.map) -m found }",
		MapRule("/a.domains.map", true) + " { path /x }",
	} {
		if r, ok := readMapRule(line{raw: raw}); ok {
			t.Errorf("%q: read as %+v", raw, r)
		}
	}
}

func TestTheMapFileStandsBesideTheManagedFile(t *testing.T) {
	t.Parallel()
	for managed, want := range map[string]string{
		"/etc/haproxy/hapsync.cfg": "/etc/haproxy/hapsync.domains.map",
		"/etc/haproxy/conf":        "/etc/haproxy/conf.domains.map",
		"/etc/my proxy/h.cfg":      "",
		"/etc/h)x.cfg":             "",
		"/etc/h,x.cfg":             "",
		"relative.cfg":             "",
	} {
		if path, ok := MapFile(managed); ok != (want != "") || ok && path != want {
			t.Errorf("MapFile(%q) = %q, %t, want %q", managed, path, ok, want)
		}
	}
}

// A frontend with lines of an operator's, and the rule of a domain in every possible place.
const (
	mapped     = "    use_backend %[req.hdr(host),lower,map(/f.domains.map)] if { req.hdr(host),lower,map(/f.domains.map) -m found }\n"
	ruleB      = "    acl is_b.com hdr(host) -i b.com\n    use_backend b.com_cluster if is_b.com\n"
	backendB   = "\nbackend b.com_cluster\n    server s1 10.0.0.1:80 cookie s1\n"
	byPath     = "    use_backend other if { path_beg /x }\n"
	byHost     = "    use_backend other if { hdr(host) -i x.com }\n"
	toFallback = "    default_backend fallback\n"
)

func TestAMapRuleIsWrittenBehindTheRulesThatChangeAndAboveOnesByHost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, after string }{
		"no rule":                         {toFallback, toFallback + ruleB + mapped},
		"a rule by path":                  {byPath + toFallback, byPath + toFallback + ruleB + mapped},
		"a rule by host":                  {byHost + toFallback, ruleB + mapped + byHost + toFallback},
		"a map rule":                      {mapped + toFallback, ruleB + mapped + toFallback},
		"a map rule above a rule by host": {mapped + byHost, ruleB + mapped + byHost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, after := "frontend webin\n    bind :80\n"+c.before, "frontend webin\n    bind :80\n"+c.after+backendB
			d := parseDocument(before)
			m := readManaged(d, []string{"webin"}, "f", nil, noDefaults)
			m.mapFile = "/f.domains.map"
			want := readManaged(parseDocument(after), []string{"webin"}, "f", nil, noDefaults)
			if len(want.Config.Rules) != 1 {
				t.Fatalf("read %v", want.Config)
			}
			if got := splice(d, m, want.Config); got != after {
				t.Errorf("(-want +got):\n%s", diff(after, got))
			}
		})
	}
}

func TestAFrontendWhoseRulesStayGetsNoMapRule(t *testing.T) {
	t.Parallel()
	text := "frontend webin\n    bind :80\n" + ruleB + backendB
	d := parseDocument(text)
	m := readManaged(d, []string{"webin"}, "f", nil, noDefaults)
	m.mapFile = "/f.domains.map"
	want := haproxy.Config{Backends: slices.Clone(m.Config.Backends), Rules: m.Config.Rules}
	want.Backends[0].Options.Balance = "leastconn"
	if got := splice(d, m, want); strings.Contains(got, "map(") {
		t.Errorf("written:\n%s", got)
	}
}

func TestAMapRuleHidesNoRuleOfHapsyncsAndIsNothingBehindThem(t *testing.T) {
	t.Parallel()
	d := parseDocument("frontend webin\n    bind :80\n" + ruleB + mapped + backendB)
	m := readManaged(d, []string{"webin"}, "f", nil, noDefaults)
	if above := shadows(d.body(m.frontends["webin"])); len(above) > 0 || m.Behind != "" {
		t.Errorf("lines %v count as an operator's, and %q stands behind the rules", above, m.Behind)
	}
}

// all is the map rule that replaces the rules of all domains.
var all = strings.TrimSuffix(mapped, "\n") + " # hapsync\n"

const (
	aclB       = "    acl is_b.com hdr(host) -i b.com\n"
	ruleOnlyB  = "    use_backend b.com_cluster if is_b.com\n"
	otherPlace = "    use_backend %[req.hdr(host),lower,map(/old/f.domains.map)] if { req.hdr(host),lower,map(/old/f.domains.map) -m found } # hapsync\n"
)

func TestTheRuleOfAllDomainsTakesThePlaceOfTheirs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ rules, byMap string }{
		"alone":                                   {ruleB, aclB + all},
		"a map rule behind it":                    {ruleB + mapped, aclB + all},
		"a rule by path above it":                 {byPath + ruleB, byPath + aclB + all},
		"a rule by path below it":                 {ruleB + byPath, aclB + all + byPath},
		"a rule by path before the map rule":      {ruleB + byPath + mapped, aclB + all + byPath},
		"rules by host":                           {ruleB + mapped + byHost + toFallback, aclB + all + byHost + toFallback},
		"an ACL that an operator's line looks at": {aclB + byPath + ruleOnlyB, aclB + byPath + all},
		"an ACL in another form that means it":    {strings.Replace(ruleB, "-i b.com", "-i b.com b.com:80", 1), strings.Replace(aclB, "-i b.com", "-i b.com b.com:80", 1) + all},
		"a further name":                          {aclB + "    acl is_b.com hdr(host) -i www.b.com # hapsync\n" + ruleOnlyB, aclB + "    acl is_b.com hdr(host) -i www.b.com # hapsync\n" + all},
		"a wildcard":                              {ruleB + "    use_backend b.com_cluster if { hdr(host) -m end -i .b.com } # hapsync\n", aclB + all + "    use_backend b.com_cluster if { hdr(host) -m end -i .b.com } # hapsync\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read := func(rules string) (Document, Managed) {
				d := parseDocument("frontend webin\n    bind :80\n" + rules + backendB)
				return d, readManaged(d, []string{"webin"}, "/f.cfg", nil, noDefaults)
			}
			d, m := read(c.rules)
			back, byMap := read(c.byMap)
			if len(m.Config.Rules) != 1 || len(byMap.Config.Rules) != 1 || !byMap.Config.Rules[0].ByMap {
				t.Fatalf("read %v and %v", m.Config, byMap.Config)
			}
			if got, want := splice(d, m, byMap.Config), "frontend webin\n    bind :80\n"+c.byMap+backendB; got != want {
				t.Errorf("to the map (-want +got):\n%s", diff(want, got))
			}
			got := splice(back, byMap, m.Config)
			_, again := read(strings.TrimSuffix(strings.TrimPrefix(got, "frontend webin\n    bind :80\n"), backendB))
			if !again.Config.Equal(m.Config) || strings.Contains(got, "map(") {
				t.Errorf("and back:\n%s", got)
			}
		})
	}
}

func TestARuleOfAllDomainsThatReadsAnotherFileIsWrittenAgain(t *testing.T) {
	t.Parallel()
	d := parseDocument("frontend webin\n    bind :80\n" + aclB + otherPlace + byPath + backendB)
	m := readManaged(d, []string{"webin"}, "/f.cfg", nil, noDefaults)
	if len(m.Routes) > 0 || len(m.Config.Rules) != 1 {
		t.Errorf("routes %v, rules %v", m.Routes, m.Config.Rules)
	}
	if got, want := splice(d, m, m.Config), "frontend webin\n    bind :80\n"+aclB+all+byPath+backendB; got != want {
		t.Errorf("(-want +got):\n%s", diff(want, got))
	}
}

func TestAMapRuleThatReadsAnotherFileIsWrittenAgain(t *testing.T) {
	t.Parallel()
	moved := strings.ReplaceAll(mapped, "/f.", "/old/f.")
	for name, c := range map[string]struct{ mapFile, rule string }{
		"a new domain is to come without a reload": {"/new/f.domains.map", strings.ReplaceAll(mapped, "/f.", "/new/f.")},
		"each new domain is to come by a reload":   {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := func(rule string) string {
				return "frontend webin\n    bind :80\n" + ruleB + byPath + rule + toFallback + backendB
			}
			d := parseDocument(text(moved))
			m := readManaged(d, []string{"webin"}, "/new/f.cfg", nil, noDefaults)
			m.mapFile = c.mapFile
			if got := splice(d, m, m.Config); got != text(c.rule) {
				t.Errorf("(-want +got):\n%s", diff(text(c.rule), got))
			}
		})
	}
}

// TestAMapRuleOfAnOperatorsStays has a rule of hapsync's form that reads a map of another name, above or below hapsync's rule.
func TestAMapRuleOfAnOperatorsStays(t *testing.T) {
	t.Parallel()
	own := strings.ReplaceAll(mapped, "/f.", "/etc/mine.")
	for name, rules := range map[string]string{"above": own + mapped, "below": mapped + own, "alone": own} {
		text := "frontend webin\n    bind :80\n" + ruleB + rules + toFallback + backendB
		d := parseDocument(text)
		m := readManaged(d, []string{"webin"}, "/f.cfg", nil, noDefaults)
		if path, _ := MapFile(m.path); name != "alone" {
			m.mapFile = path
		}
		more := haproxy.Config{Backends: slices.Clone(m.Config.Backends), Rules: slices.Clone(m.Config.Rules)}
		more.Backends = append(more.Backends, haproxy.Backend{Name: "c.com_cluster", Options: haproxy.BackendOptions{Balance: "roundrobin"}})
		more.Rules = append(more.Rules, haproxy.Rule{Frontend: "webin", Domain: "c.com"})
		for _, want := range []haproxy.Config{m.Config, more, {}} {
			if got := splice(d, m, want); strings.Count(got, own) != 1 {
				t.Errorf("%s: the operator's rule is there %d times:\n%s", name, strings.Count(got, own), got)
			}
		}
		for _, r := range m.mapRules {
			if r.file != "/f.domains.map" {
				t.Errorf("%s: the rule is taken for one of a file that was moved", name)
			}
		}
	}
}

func TestWithoutTheMarkNoRuleStandsForThoseOfAllDomains(t *testing.T) {
	t.Parallel()
	for _, rules := range []string{aclB + mapped, aclB, "    .if defined(X)\n" + all + "    .endif\n" + aclB} {
		m := readManaged(parseDocument("frontend webin\n    bind :80\n"+rules+backendB), []string{"webin"}, "/f.cfg", nil, noDefaults)
		if len(m.Config.Rules) > 0 || m.Foreign["b.com"] == "" {
			t.Errorf("%q: %v", rules, m.Config.Rules)
		}
	}
}

func TestRulesBehindTheRuleOfAllDomainsAreForUnknownOnes(t *testing.T) {
	t.Parallel()
	m := readManaged(parseDocument("frontend webin\n    bind :80\n"+aclB+all+byPath+backendB), []string{"webin"}, "/f.cfg", nil, noDefaults)
	if m.Behind != "use_backend other if { path_beg /x }" {
		t.Errorf("behind the rules stands %q", m.Behind)
	}
}

func TestTheMapFileHasTheNamesOfDomainsAndKeepsOtherLines(t *testing.T) {
	t.Parallel()
	m := Managed{Foreign: map[string]string{"own.com": "backend own.com_cluster"}}
	m.Config.Backends = []haproxy.Backend{
		{Name: "a.com_cluster", Options: haproxy.BackendOptions{Names: "*.a.com www.a.com"}}, {Name: "b.com_cluster"}, {Name: "c.com_cluster"},
	}
	m.Config.Rules = []haproxy.Rule{{Frontend: "f", Domain: "a.com", ByMap: true}, {Frontend: "f", Domain: "b.com"}, {Frontend: "f", Domain: "c.com", ByMap: true}, {Frontend: "g", Domain: "c.com", ByMap: true}}
	const ours, others = "a.com a.com_cluster\nc.com c.com_cluster\nwww.a.com a.com_cluster\n", "# mine\nown.com own.com_cluster\nx y\nx\na.com a.com_cluster z\nb,c b.com_cluster\n"
	for _, have := range []string{"", ours, others, "old.com old.com_cluster\n" + others + "a.com\tc.com_cluster\n", ours + strings.TrimSuffix(others, "\n")} {
		want := ours
		if have != "" && have != ours {
			want += others
		}
		if got := m.mapText(mapEntries(m.Config), have); got != want {
			t.Errorf("of %q it makes %q, want %q", have, got, want)
		}
	}
}
