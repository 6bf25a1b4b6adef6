package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestWhatIsLeftAloneKeepsItsTraffic has an operator edit lines of a domain by hand, without a reload: the domain, or a host of it, is no
// longer hapsync's, and is left alone in the file and in the process.
func TestWhatIsLeftAloneKeepsItsTraffic(t *testing.T) {
	t.Parallel()
	const acl, rule = "acl is_b.abc.com ", "use_backend b.abc.com_cluster"
	for name, c := range someOf(map[string]struct {
		edit func(lines []string) []string
		says string
	}{
		"a second ACL line":  {editLines(acl, func(l string) []string { return []string{l, "    acl is_b.abc.com hdr(host) -i www.b.abc.com"} }), "another ACL line"},
		"the rule twice":     {editLines(rule, func(l string) []string { return []string{l, l} }), "twice in frontend"},
		"no rule":            {editLines(rule, nil), "no use_backend rule with it"},
		"no ACL":             {editLines(acl, nil), "no ACL"},
		"neither":            {func(l []string) []string { return editLines(rule, nil)(editLines(acl, nil)(l)) }, "no ACL and no use_backend rule"},
		"other words":        {editLines(acl, func(string) []string { return []string{"    acl is_b.abc.com path_beg /"} }), "in another form"},
		"a server's own way": {editLines("server server2 ", func(l string) []string { return []string{strings.Replace(l, " cookie server2", "", 1)} }), "not an address with the cookie"},
	}) {
		for _, routing := range []string{"acl", "map"} {
			if routing == "map" && strings.Contains(name, "rule") || name == "neither" && routing == "map" {
				continue // there is one rule for all
			}
			t.Run(name+", "+routing, func(t *testing.T) {
				eachHAProxy(t, func(t *testing.T, h haproxy) {
					b := startBox(t, h)
					b.env = append(b.env, "HAPSYNC_ROUTING="+routing)
					a1, b1, b2 := startHost(t, "a1"), startHost(t, "b1"), startHost(t, "b2")
					b.register(t, "a.abc.com/server1", a1.addr)
					b.register(t, "b.abc.com/server1", b1.addr)
					b.must(t, "sync") // HAProxy has loaded what hapsync wrote
					b.register(t, "b.abc.com/server2", b2.addr)
					b.must(t, "sync") // and got this by a command, if it can
					b.serves(t, "b.abc.com", "server1", b1)

					b.write(t, b.managedFile, strings.Join(c.edit(strings.Split(read(t, b.managedFile), "\n")), "\n"))
					o := b.exits(t, 6, "sync")
					says(t, o.stdout, "problem ", "b.abc.com", "left alone", c.says)
					b.serves(t, "b.abc.com", "server1", b1)
					b.serves(t, "b.abc.com", "server2", b2)
					moved := startHost(t, "a1, moved")
					b.register(t, "a.abc.com/server1", moved.addr)
					if o := b.hapsync(t, "sync"); o.code != 6 && o.code != 4 { // HAProxy refuses some of these files
						t.Errorf("want exit code 6 or 4: %s", o)
					}
					b.serves(t, "a.abc.com", "", moved)
					b.serves(t, "b.abc.com", "server1", b1)

					b.unregister(t, "b.abc.com") // it is no longer in the registry, so it goes
					if o := b.hapsync(t, "sync", "--allow-mass-removal"); o.code == 4 || name == "a server's own way" {
						return // HAProxy refuses the file as it stands, or the server is the operator's
					}
					if a := b.ask(t, "b.abc.com", ""); a.status == http.StatusOK {
						t.Errorf("b.abc.com is served although the registry has no such domain: %s", a)
					}
				})
			})
		}
	}
}

// editLines replaces each line that begins with some words; nil removes it.
func editLines(begins string, by func(line string) []string) func([]string) []string {
	return func(lines []string) (edited []string) {
		found := false
		for _, l := range lines {
			switch {
			case !strings.HasPrefix(strings.TrimSpace(l), begins):
				edited = append(edited, l)
				continue
			case by != nil:
				edited = append(edited, by(l)...)
			}
			found = true
		}
		if !found {
			panic(fmt.Sprintf("no line begins with %q", begins))
		}
		return edited
	}
}
