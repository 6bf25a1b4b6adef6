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

// A frontend with lines of an operator's, with the rule of a domain in each of its places.
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
