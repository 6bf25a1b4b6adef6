package configfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

func TestANamedDefaultsSectionGivesABackendWhatTheFileDoesOrIsNotUsed(t *testing.T) {
	t.Parallel()
	const web = "defaults web\n    mode http\n    timeout server 5s\n    default-server inter 1s\n"
	const sticky = "    balance roundrobin\n    cookie SERVERID insert indirect nocache\n"
	sticks := haproxy.BackendOptions{Balance: "roundrobin", Cookie: haproxy.StickyCookie}
	for name, c := range map[string]struct {
		base string
		want map[haproxy.BackendOptions]string
	}{
		"as init writes it":             {web + "defaults domain from web\n" + sticky + "defaults from web\n", map[haproxy.BackendOptions]string{sticks: "domain", {}: "web"}},
		"the last one, used by all":     {web + sticky, map[haproxy.BackendOptions]string{sticks: "web"}},
		"in another order of words":     {web + "    cookie SERVERID indirect nocache insert\n    balance roundrobin\n", map[haproxy.BackendOptions]string{sticks: "web"}},
		"with a line more":              {web + "defaults domain from web\n" + sticky + "    option httpchk\ndefaults from web\n", map[haproxy.BackendOptions]string{{}: "web"}},
		"with a line less":              {web + "defaults domain\n    mode http\n" + sticky + "defaults from web\n", map[haproxy.BackendOptions]string{{}: "web"}},
		"with another time":             {web + "defaults domain from web\n" + sticky + "    timeout server 6s\ndefaults from web\n", map[haproxy.BackendOptions]string{{}: "web"}},
		"without a name":                {"defaults\n    mode http\n" + sticky, nil},
		"without a name, from another":  {web + "defaults from web\n" + sticky, map[haproxy.BackendOptions]string{{}: "web"}},
		"of mode tcp":                   {"defaults web\n    mode tcp\n" + sticky, nil},
		"two of one name":               {web + sticky + web + sticky, nil},
		"with a variable in its cookie": {web + "defaults domain from web\n    balance roundrobin\n    cookie \"$NAME\" insert indirect nocache\ndefaults from web\n", map[haproxy.BackendOptions]string{{}: "web"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			base, managed := filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "hapsync.cfg")
			for file, text := range map[string]string{base: c.base, managed: "frontend webin\n    bind :80\n"} {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			files, err := OpenFiles(haproxy.Settings{BaseFile: base, ManagedFile: managed, Frontends: []string{"webin"}, Binary: haproxytest.FirstHAProxy(t)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			f, err := files.Read()
			if err != nil {
				t.Fatal(err)
			}
			if delta := diff(c.want, f.DomainDefaults()); delta != "" {
				t.Errorf("(-want +got):\n%s", delta)
			}
		})
	}
}

func TestAMapRuleLeadsToNewDomainsOnlyWhereNoRuleOfAnOperatorsIsBetween(t *testing.T) {
	t.Parallel()
	const anyPort = "    use_backend %[req.hdr(host),host_only,lower,map(/f.domains.map)] if { req.hdr(host),host_only,lower,map(/f.domains.map) -m found }\n"
	for name, c := range map[string]struct {
		lines string
		want  map[string]bool
	}{
		"no map rule":                  {ruleB, nil},
		"behind a rule":                {ruleB + mapped + toFallback, map[string]bool{"webin": false}},
		"with any port":                {ruleB + anyPort + toFallback, map[string]bool{"webin": true}},
		"no rules":                     {mapped, map[string]bool{"webin": false}},
		"an operator's rule above all": {byPath + ruleB + mapped, map[string]bool{"webin": false}},
		"an operator's rule below":     {ruleB + mapped + byHost, map[string]bool{"webin": false}},
		"an operator's rule between":   {ruleB + byPath + mapped, nil},
		"above a rule":                 {mapped + ruleB, nil},
		"of another file":              {"    use_backend %[req.hdr(host),lower,map(/x/f.domains.map)] if { req.hdr(host),lower,map(/x/f.domains.map) -m found }\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := parseDocument("frontend webin\n    bind :80\n" + c.lines + backendB)
			if delta := diff(c.want, readManaged(d, []string{"webin"}, "/f.cfg", nil, noDefaults).Routes); delta != "" {
				t.Errorf("(-want +got):\n%s", delta)
			}
		})
	}
}
