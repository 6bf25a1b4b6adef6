package runtimeapi

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// startWithMap starts a HAProxy whose frontend ends with a map rule, with an empty map and a backend "spare" that has one host.
func startWithMap(t *testing.T, bin string) (p *haproxytest.Proc, mapFile string) {
	t.Helper()
	p = haproxytest.NewProc(t)
	mapFile = filepath.Join(p.Dir, "hapsync.domains.map")
	backend := "req.hdr(host),host_only,lower,map(" + mapFile + ")"
	host := haproxytest.StartHost(t, "server1")
	p.Write(t, p.BaseFile, "")
	p.Write(t, mapFile, "")
	p.Write(t, p.ManagedFile, "frontend webin\n    bind @ADDR@\n    use_backend %["+backend+"] if { "+backend+" -m found }"+
		"\n    default_backend fallback\n\nbackend spare\n    server server1 "+host.Addr.String()+
		"\n\nbackend fallback\n    http-request return status 404\n")
	p.Start(t, bin)
	return p, mapFile
}

func TestAMapLeadsHostsToBackendsWhileHAProxyRuns(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p, file := startWithMap(t, bin)
		r := runtimeOf(p)
		status := func(host string) int {
			code, _, err := p.Fetch(t.Context(), host)
			if err != nil {
				t.Fatal(err)
			}
			return code
		}
		has := func(want map[string]string) {
			t.Helper()
			got, ok, err := r.Map(t.Context(), file)
			if err != nil || !ok || !cmp.Equal(got, want) {
				t.Errorf("the map has %v, %t, %v, want %v", got, ok, err, want)
			}
		}
		has(map[string]string{})
		if got := status("a.abc.com"); got != 404 {
			t.Errorf("a host that the map does not have: status %d, want the default backend's 404", got)
		}
		if err := r.ChangeMap(t.Context(), file, nil, map[string]string{"a.abc.com": "spare", "b.abc.com": "spare"}); err != nil {
			t.Fatal(err)
		}
		has(map[string]string{"a.abc.com": "spare", "b.abc.com": "spare"})
		for _, host := range []string{"a.abc.com", "A.ABC.com:8080"} {
			if got := status(host); got != 200 {
				t.Errorf("%s: status %d, want 200", host, got)
			}
		}
		if err := r.ChangeMap(t.Context(), file, []string{"a.abc.com", "b.abc.com", "c.abc.com"}, map[string]string{"b.abc.com": "fallback"}); err != nil {
			t.Fatal(err)
		}
		has(map[string]string{"b.abc.com": "fallback"})
		if got := status("a.abc.com"); got != 404 {
			t.Errorf("a host that was taken out of the map: status %d, want 404", got)
		}
	})
}

func TestAMapThatTheProcessDoesNotHaveIsNoEmptyOne(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p, file := startWithMap(t, bin)
		other := filepath.Join(filepath.Dir(file), "other"+filepath.Base(file))
		if entries, ok, err := runtimeOf(p).Map(t.Context(), other); ok || err != nil {
			t.Errorf("got %v, %t, %v", entries, ok, err)
		}
	})
}

func TestNothingUncheckedGoesIntoAMap(t *testing.T) {
	t.Parallel()
	r := Client{Socket: "/nowhere"}
	for _, bad := range []string{"", "a b", "a;show info", "a\nb", "a#b", strings.Repeat("a", 301)} {
		for what, err := range map[string]error{
			"key":      r.ChangeMap(t.Context(), "/x.map", nil, map[string]string{bad: "b"}),
			"value":    r.ChangeMap(t.Context(), "/x.map", nil, map[string]string{"a": bad}),
			"gone key": r.ChangeMap(t.Context(), "/x.map", []string{bad}, nil),
			"file":     r.ChangeMap(t.Context(), bad, []string{"a"}, nil),
		} {
			if err == nil || strings.Contains(err.Error(), "/nowhere") && what != "file" {
				t.Errorf("%s %q: %v, want it refused before it is sent", what, bad, err)
			}
		}
	}
}
