package configfile

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

const (
	siteTop   = "global\n    maxconn 100\n\ndefaults\n    mode http\n    timeout client 5s\n    timeout connect 5s\n    timeout server 5s\n\n"
	siteHead  = "frontend webin\n    bind 127.0.0.1:18080\n"
	siteAC    = siteHead + "    acl is_a.com hdr(host) -i a.com\n    acl is_c.com hdr(host) -i c.com\n    use_backend a.com_cluster if is_a.com\n    use_backend c.com_cluster if is_c.com\n"
	siteMysql = "\n# the database\ndefaults mysql\n    mode tcp\n    timeout client 1h\n    timeout connect 5s\n    timeout server 1h\n"
	siteDB    = "\nlisten db\n    bind 127.0.0.1:13306\n    server db1 127.0.0.1:13307\n"
	siteDebug = "backend debug\n    http-request return status 200\n"
)

func siteBackend(domain string) string {
	return "\nbackend " + domain + "_cluster\n    balance roundrobin\n    cookie SERVERID insert indirect nocache\n    server s1 10.0.0.1:80 cookie s1 check\n"
}

// openSite opens HAProxy's configuration in one file.
func openSite(t *testing.T, bin, text string, spares int) *Files {
	t.Helper()
	p := haproxytest.NewProc(t)
	p.Write(t, p.BaseFile, text)
	s := haproxy.Settings{BaseFile: p.BaseFile, ManagedFile: p.BaseFile, Frontends: []string{"webin"}, Binary: bin, CheckTimeout: 10 * time.Second, Spares: plainSpares}
	s.Spares.Count = spares
	files, err := OpenFiles(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func readSite(t *testing.T, files *Files) Reading {
	t.Helper()
	f, err := files.Read()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func writeSite(t *testing.T, files *Files, want haproxy.Config) error {
	t.Helper()
	return files.Write(t.Context(), haproxy.Edit{Want: want, Base: readSite(t, files).Digest}, func(context.Context, Reading) error { return nil })
}

// plusB adds a domain to a configuration.
func plusB(f Reading) haproxy.Config {
	_, one := readSpares(spareHead+ruleB+stickyB, "")
	b := one.Config.Backends[0]
	b.Given = f.Managed.Given
	b.Servers[0].MaxConn = b.Given.MaxConn
	return f.Managed.Config.With(haproxy.Config{Backends: []haproxy.Backend{b}, Rules: one.Config.Rules})
}

// minus removes a domain from a configuration.
func minus(f Reading, domain string) haproxy.Config {
	c := f.Managed.Config
	c.Backends = slices.DeleteFunc(slices.Clone(c.Backends), func(b haproxy.Backend) bool { return b.Name == haproxy.BackendName(domain) })
	c.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(r haproxy.Rule) bool { return r.Domain == domain })
	return c
}

// headers are the names of the sections and the .if lines between them, in their order.
func headers(text string) string {
	var found []string
	for l := range strings.Lines(text) {
		w := strings.Fields(l)
		switch {
		case len(w) > 1 && sectionKinds[w[0]]:
			found = append(found, strings.TrimSuffix(w[1], "_cluster"))
		case len(w) > 0 && (sectionKinds[w[0]] || strings.HasPrefix(w[0], ".")):
			found = append(found, w[0])
		}
	}
	return strings.Join(found, " ")
}
