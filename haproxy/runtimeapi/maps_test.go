package runtimeapi

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// startWithMap starts a HAProxy with a map rule at the end of its frontend, an empty map, and a backend "spare" with one host.
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
		if err := r.ChangeMap(t.Context(), MapChange{File: file, Set: map[string]string{"a.abc.com": "spare", "b.abc.com": "spare"}}); err != nil {
			t.Fatal(err)
		}
		has(map[string]string{"a.abc.com": "spare", "b.abc.com": "spare"})
		for _, host := range []string{"a.abc.com", "A.ABC.com:8080"} {
			if got := status(host); got != 200 {
				t.Errorf("%s: status %d, want 200", host, got)
			}
		}
		have := map[string]string{"a.abc.com": "spare", "b.abc.com": "spare"}
		change := MapChange{File: file, Have: have, Gone: []string{"a.abc.com", "c.abc.com"}, Set: map[string]string{"b.abc.com": "fallback"}}
		if err := r.ChangeMap(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		has(map[string]string{"b.abc.com": "fallback"})
		some, err := r.MapEntries(t.Context(), file, []string{"a.abc.com", "b.abc.com"})
		if err != nil || !cmp.Equal(some, map[string]string{"b.abc.com": "fallback"}) {
			t.Errorf("of two keys: %v, %v", some, err)
		}
		if got := status("a.abc.com"); got != 404 {
			t.Errorf("a host that was taken out of the map: status %d, want 404", got)
		}
	})
}

// TestManyEntriesOfAMapChangeAtOnce changes most entries of a map, which replaces it, and a few.
func TestManyEntriesOfAMapChangeAtOnce(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p, file := startWithMap(t, bin)
		r := runtimeOf(p)
		have, want := map[string]string{}, map[string]string{}
		change := func(c MapChange) {
			t.Helper()
			c.File, c.Have = file, have
			if err := r.ChangeMap(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			got, _, err := r.Map(t.Context(), file)
			if err != nil || !cmp.Equal(got, want) {
				t.Fatalf("%d entries, want %d: %v", len(got), len(want), err)
			}
			have = got
		}
		for i := range 2000 { // more than a line of commands
			want[fmt.Sprintf("d%d.abc.com", i)] = "spare"
		}
		change(MapChange{Set: maps.Clone(want)})
		var gone []string
		set := map[string]string{"d0.abc.com": "fallback", "other.abc.com": "fallback"}
		for i := 1; i < 1500; i++ {
			gone = append(gone, fmt.Sprintf("d%d.abc.com", i))
			delete(want, fmt.Sprintf("d%d.abc.com", i))
		}
		maps.Copy(want, set)
		change(MapChange{Gone: gone, Set: set})
		for i := 1500; i < 1650; i++ {
			want[fmt.Sprintf("d%d.abc.com", i)] = "fallback"
		}
		few := maps.Clone(want)
		maps.DeleteFunc(few, func(key, value string) bool { return have[key] == value })
		change(MapChange{Set: few})
		if code, _, err := p.Fetch(t.Context(), "d1999.abc.com"); err != nil || code != 200 {
			t.Errorf("status %d, %v", code, err)
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
			"key":      r.ChangeMap(t.Context(), MapChange{File: "/x.map", Set: map[string]string{bad: "b"}}),
			"value":    r.ChangeMap(t.Context(), MapChange{File: "/x.map", Set: map[string]string{"a": bad}}),
			"gone key": r.ChangeMap(t.Context(), MapChange{File: "/x.map", Gone: []string{bad}}),
			"file":     r.ChangeMap(t.Context(), MapChange{File: bad, Gone: []string{"a"}}),
		} {
			if err == nil || strings.Contains(err.Error(), "/nowhere") && what != "file" {
				t.Errorf("%s %q: %v, want it refused before it is sent", what, bad, err)
			}
		}
	}
}
