package configfile

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hapsync/hapsync/haproxy"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

const keptText = `frontend webin
    bind :80
    acl own path_beg /own
    acl is_a.com hdr(host) -i a.com
    acl is_c.com hdr(host) -i c.com
    use_backend own_cluster if own
    use_backend a.com_cluster if is_a.com
    use_backend c.com_cluster if is_c.com
    default_backend own_cluster

backend a.com_cluster
    balance roundrobin
    server s1 10.0.0.1:80 cookie s1 check
    server s2 10.0.0.2:80 cookie s2 check

backend c.com_cluster
    balance roundrobin
    server s1 10.0.0.1:80 check # hapsync

backend own_cluster
    server one 10.9.9.9:80 # rack 1
`

func readText(text string) (Document, Managed) {
	d := parseDocument(text)
	return d, readManaged(d, []string{"webin"}, "f", nil, noDefaults)
}

func TestATransactionIsLeftOutWhereItWouldTouchOtherLines(t *testing.T) {
	t.Parallel()
	if d, m := readText(keptText); changedByTransaction(d, m) != "" {
		t.Fatal(changedByTransaction(d, m))
	}
	for name, change := range map[string][2]string{
		"a rule of an operator's between ours":    {"    use_backend c.com_cluster if is_c.com\n", "    use_backend own_cluster if { path /x }\n    use_backend c.com_cluster if is_c.com\n"},
		"an ACL of an operator's between ours":    {"    acl is_c.com hdr", "    acl x path /x\n    acl is_c.com hdr"},
		"rules in another order":                  {"    use_backend a.com_cluster if is_a.com\n    use_backend c.com_cluster if is_c.com\n", "    use_backend c.com_cluster if is_c.com\n    use_backend a.com_cluster if is_a.com\n"},
		"ACLs in another order":                   {"    acl is_a.com hdr(host) -i a.com\n    acl is_c.com hdr(host) -i c.com\n", "    acl is_c.com hdr(host) -i c.com\n    acl is_a.com hdr(host) -i a.com\n"},
		"a comment behind an ACL":                 {"-i a.com\n", "-i a.com # contract 4711\n"},
		"a comment behind a rule":                 {"if is_c.com\n", "if is_c.com # keep last\n"},
		"a comment behind a server":               {"cookie s1 check\n", "cookie s1 check # rack 7\n"},
		"a comment behind the mark":               {"check # hapsync\n", "check # hapsync rack 9\n"},
		"servers in another order":                {"server s1 10.0.0.1:80 cookie s1", "server s3 10.0.0.1:80 cookie s3"},
		"quotes in a server's line":               {"cookie s1 check\n", "cookie s1 check agent-send \"a  b\"\n"},
		"a default-server line below the servers": {"\n\nbackend own", "\n    default-server weight 20\n    server s2 10.0.0.2:80 check # hapsync\n\nbackend own"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(keptText, change[0], change[1], 1)
			if d, m := readText(text); text == keptText || changedByTransaction(d, m) == "" {
				t.Errorf("a transaction would edit\n%s", text)
			}
		})
	}
}

// TestAServersLineKeepsItsWords changes only the address of each server.
func TestAServersLineKeepsItsWords(t *testing.T) {
	t.Parallel()
	for _, words := range []string{
		"check # Bob's box", "check # it's \"the\" box", `check agent-send "a  b\n"`, `check agent-send "a # b\n"`, `check agent-send 'a # "b' # c`, `check sni str(a\ \ b)`, `check sni str(a\#b) # c`,
	} {
		text := "frontend webin\n    acl is_a.com hdr(host) -i a.com\n    use_backend a.com_cluster if is_a.com\n\nbackend a.com_cluster\n    server s1 10.0.0.1:80 cookie s1 " + words + "\n"
		d, m := readText(text)
		want := haproxy.Config{Rules: m.Config.Rules, Backends: slices.Clone(m.Config.Backends)}
		if len(want.Backends) != 1 || len(want.Backends[0].Servers) != 1 {
			t.Errorf("%s: not ours: %v", words, m.NotOurs)
			continue
		}
		want.Backends[0].Servers = slices.Clone(want.Backends[0].Servers)
		want.Backends[0].Servers[0].Addr = netip.MustParseAddrPort("10.0.0.9:80")
		if got, right := splice(d, m, want), strings.Replace(text, "10.0.0.1", "10.0.0.9", 1); got != right {
			t.Errorf("(-want +got):\n%s", gocmp.Diff(right, got))
		}
	}
}

func TestADefaultServerLineHoldsForTheServersBelowIt(t *testing.T) {
	t.Parallel()
	const text = `frontend webin
    acl is_a.com hdr(host) -i a.com
    use_backend a.com_cluster if is_a.com

backend a.com_cluster
    default-server maxconn 10
    server s2 10.0.0.2:80 cookie s2 check
    default-server weight 20 disabled backup
    server s4 10.0.0.4:80 cookie s4 check
    server s6 10.0.0.6:80 cookie s6 weight 7 enabled no-backup
    default-server check
`
	d, m := readText(text)
	want := haproxy.Config{Rules: m.Config.Rules, Backends: slices.Clone(m.Config.Backends)}
	b := &want.Backends[0]
	if delta := gocmp.Diff([]haproxy.Server{
		{Name: "s2", Addr: netip.MustParseAddrPort("10.0.0.2:80"), Cookie: "s2", Check: true, Weight: 1, MaxConn: 10, State: haproxy.Ready},
		{Name: "s4", Addr: netip.MustParseAddrPort("10.0.0.4:80"), Cookie: "s4", Check: true, Weight: 20, MaxConn: 10, Backup: true, State: haproxy.Maint},
		{Name: "s6", Addr: netip.MustParseAddrPort("10.0.0.6:80"), Cookie: "s6", Weight: 7, MaxConn: 10, State: haproxy.Ready},
	}, b.Servers, cmpopts.EquateComparable(netip.AddrPort{})); delta != "" {
		t.Fatalf("(-want +got):\n%s", delta)
	}
	b.Servers = slices.Clone(b.Servers)
	for i := range b.Servers {
		b.Servers[i].Addr = netip.MustParseAddrPort("10.1.1.1:80")
	}
	b.Servers = append(b.Servers, haproxy.Server{Name: "s1", Addr: netip.MustParseAddrPort("10.0.0.1:80"), Cookie: "s1", Check: true, Weight: 1, State: haproxy.Ready},
		haproxy.Server{Name: "s3", Addr: netip.MustParseAddrPort("10.0.0.3:80"), Cookie: "s3", Weight: 20, MaxConn: 10, Backup: true, State: haproxy.Maint})
	haproxy.SortServers(b.Servers)
	got := splice(d, m, want)
	if _, next := readText(got); !next.Config.Equal(want) {
		t.Errorf("the rewrite says something else: %s\n%s", gocmp.Diff(want.Backends, next.Config.Backends, cmpopts.EquateComparable(netip.AddrPort{})), got)
	}
	if before, after := linesWith(text, "default-server"), linesWith(got, "default-server"); !slices.Equal(before, after) {
		t.Errorf("%q became %q", before, after)
	}
}

// TestWhatWasLoadedIsReadByItsOwnDefaults has a domain above a defaults section that was added after the load.
func TestWhatWasLoadedIsReadByItsOwnDefaults(t *testing.T) {
	t.Parallel()
	const domain = "\nbackend %_cluster\n    balance roundrobin\n    server s1 10.0.0.1:80 cookie s1 check\n"
	text := func(domains ...string) string {
		acls, rules, backends := "", "", ""
		for _, d := range domains {
			acls += "    acl is_" + d + " hdr(host) -i " + d + "\n"
			rules += "    use_backend " + d + "_cluster if is_" + d + "\n"
			if d == "z.com" {
				backends += "\ndefaults other\n    mode http\n    default-server weight 9\n"
			}
			backends += strings.ReplaceAll(domain, "%", d)
		}
		return "global\n    stats socket /x.sock level admin\n\ndefaults\n    mode http\n\nfrontend webin\n    bind :80\n" + acls + rules + backends
	}
	c := newFilesIn(t)
	c.Managed, c.frontends, c.list = c.Base, []string{"webin"}, []string{c.Base}
	if err := os.WriteFile(c.Base, []byte(text("a.com", "b.com", "z.com")), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := c.Read()
	if err != nil {
		t.Fatal(err)
	}
	for what, m := range map[string]Managed{"now": f.Managed, "loaded": c.Loaded(f, text("a.com", "z.com"))} {
		if b, _ := haproxy.FindBackend(m.Config.Backends, "z.com_cluster"); len(b.Servers) != 1 || b.Servers[0].Weight != 9 {
			t.Errorf("%s: %v, want a weight of 9", what, b.Servers)
		}
	}
}

func TestACommentOutlivesTheMark(t *testing.T) {
	t.Parallel()
	text := strings.Replace(keptText, "check # hapsync\n", "check # hapsync rack 9\n", 1)
	d, m := readText(text)
	want := haproxy.Config{Rules: m.Config.Rules, Backends: slices.Clone(m.Config.Backends)}
	b := &want.Backends[1]
	b.Options.Cookie, b.Servers = haproxy.StickyCookie, slices.Clone(b.Servers)
	b.Servers[0].Cookie = "s1"
	const right = "    server s1 10.0.0.1:80 cookie s1 check # rack 9\n"
	if got := splice(d, m, want); !strings.Contains(got, right) {
		t.Errorf("no %q in\n%s", right, got)
	}
}

func linesWith(text, word string) []string {
	return slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return !strings.Contains(l, word) })
}

// TestATransactionKeepsWhatARewriteKeeps has lines of an operator's between hapsync's, in the form that client-native prints.
func TestATransactionKeepsWhatARewriteKeeps(t *testing.T) {
	t.Parallel()
	frontends := []string{"webin"}
	dir := filepath.Join(t.TempDir(), "transaction")
	var edits atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		d, m := readText(newFile(frontends))
		text := between(t, splice(d, m, drawConfig(frontends).Draw(t, "have")))
		d, m = readText(text)
		if (&Files{Managed: "f"}).NoEdit(Reading{Text: text, Digest: digestOf(text), doc: d, Managed: m}) != "" {
			return
		}
		want := drawConfig(frontends).Draw(t, "want")
		edited, err := transact(t.Context(), dir, "haproxy", text, m, want)
		if err != nil {
			t.Fatal(err)
		}
		if delta := gocmp.Diff(keptBy(edited, text), keptBy(splice(d, m, want), text)); delta != "" {
			t.Fatalf("of\n%s\nthey keep (-transaction +rewrite):\n%s", text, delta)
		}
		edits.Add(1)
	})
	if edits.Load() == 0 {
		t.Error("no transaction was tried: the test is blind")
	}
}

// keptBy are the lines of each section of a text that the same section of another text has, too, in their order.
func keptBy(text, other string) map[string][]string {
	before, kept := sectionLines(other), map[string][]string{}
	for section, lines := range sectionLines(text) {
		kept[section] = slices.DeleteFunc(lines, func(l string) bool { return !slices.Contains(before[section], l) })
	}
	return kept
}

func sectionLines(text string) map[string][]string {
	d, lines := parseDocument(text), map[string][]string{}
	for _, s := range d.sections {
		for _, l := range d.body(s) {
			lines[s.kind+" "+s.name] = append(lines[s.kind+" "+s.name], l.raw)
		}
	}
	return lines
}

// between inserts a few lines of an operator's into a managed file.
func between(t *rapid.T, text string) string {
	lines := map[string][]string{
		"acl":         {"    acl own path_beg /own\n"},
		"use_backend": {"    use_backend own if { path_beg /x }\n"},
		"server":      {"    default-server weight 20\n"},
		"backend":     {"backend own\n    server one 10.9.9.9:80\n\n"},
	}
	var b strings.Builder
	for l := range strings.Lines(text) {
		for _, extra := range lines[firstWord(l)] {
			if rapid.IntRange(0, 3).Draw(t, "extra") == 0 && !strings.Contains(b.String(), extra) {
				b.WriteString(extra)
			}
		}
		if rapid.IntRange(0, 15).Draw(t, "comment") == 0 && len(strings.Fields(l)) > 2 {
			l = strings.TrimSuffix(l, "\n") + " # x\n"
		}
		b.WriteString(l)
	}
	return b.String()
}
