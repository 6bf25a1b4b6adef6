package configfile

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// TestWhatHostNamesOfBindLinesLeadToIsHAProxysOwn uses names of addresses that this machine does not have, and names without addresses.
func TestWhatHostNamesOfBindLinesLeadToIsHAProxysOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base, managed := filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "hapsync.cfg")
	text := "global\n    stats socket ipv4@stats.abc.com:1999 level admin\ndefaults\n    mode http\npeers all\n    peer there there.abc.com:1027\n"
	for file, text := range map[string]string{base: text, managed: "frontend webin\n    bind vip.abc.com:80-81,nowhere.abc.com:82\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := OpenFiles(haproxy.Settings{BaseFile: base, ManagedFile: managed, Frontends: []string{"webin"}, Binary: haproxytest.FirstHAProxy(t)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string][]netip.Addr{
		"vip.abc.com":   {netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("fd00::1")},
		"stats.abc.com": {netip.MustParseAddr("::ffff:198.51.100.2")},
		"there.abc.com": {netip.MustParseAddr("198.51.100.3")},
	}
	asked := 0
	var mu sync.Mutex // names are looked up at the same time
	files.resolver = func(ctx context.Context, _, host string) ([]netip.Addr, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("the look-up has no end")
		}
		if ips := names[host]; ips != nil {
			return ips, nil
		}
		return nil, errors.New("no such host")
	}
	read := func() Reading {
		t.Helper()
		f, err := files.Read()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	refused := func(f Reading, want map[string]string) {
		t.Helper()
		for addr, place := range want {
			if got := f.Base.Binds.At(netip.MustParseAddrPort(addr)); !strings.HasPrefix(got, place) || place == "" && got != "" {
				t.Errorf("%s: %q, want %q", addr, got, place)
			}
		}
	}
	f := read()
	refused(f, map[string]string{
		"198.51.100.1:80": "frontend webin (", "198.51.100.1:81": "frontend webin (", "[fd00::1]:80": "frontend webin (", "198.51.100.1:82": "",
		"198.51.100.2:1999": "the socket ", "198.51.100.3:1027": "peers all (", "198.51.100.3:80": "", "198.51.100.9:80": "",
		"127.0.0.1:80": "frontend webin (", "127.0.0.1:82": "frontend webin (", // as any address of this machine
	})
	if u := f.Base.Unresolved; len(u) != 1 || !strings.HasPrefix(u[0], "frontend webin (") || !strings.HasSuffix(u[0], "no such host") {
		t.Errorf("not resolved: %q", f.Base.Unresolved)
	}

	names["vip.abc.com"] = names["there.abc.com"]
	before := asked
	if err := os.WriteFile(managed, []byte(f.Text+"# changed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(read(), map[string]string{"198.51.100.1:80": "frontend webin (", "198.51.100.3:80": ""})
	if asked != before {
		t.Errorf("asked %d times, %d times before", asked, before)
	}
	if !files.ForgetAnswers() { // another process of HAProxy's looks names up again
		t.Error("the names are not read again")
	}
	refused(read(), map[string]string{"198.51.100.1:80": "", "198.51.100.3:80": "frontend webin ("})

	delete(names, "vip.abc.com") // the resolver fails: HAProxy may have the address still
	files.ForgetAnswers()
	f = read()
	refused(f, map[string]string{"198.51.100.3:80": "frontend webin ("})
	if len(f.Base.Unresolved) != 2 {
		t.Errorf("not resolved: %q", f.Base.Unresolved)
	}
}

// TestAHostNameThatHangsKeepsNoOtherFromBeingLookedUp uses two names whose lookups hang until the timeout.
func TestAHostNameThatHangsKeepsNoOtherFromBeingLookedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c Files
		c.resolver = func(ctx context.Context, _, host string) ([]netip.Addr, error) {
			if host == "good.abc.com" && ctx.Err() == nil {
				return []netip.Addr{netip.MustParseAddr("198.51.100.1")}, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		b := Base{Binds: haproxy.Binds{Listeners: map[netip.AddrPort]string{}}, named: []namedBind{{name: "one.abc.com", low: 80, high: 80}, {name: "two.abc.com", low: 80, high: 80}, {name: "good.abc.com", low: 80, high: 80, place: "frontend webin"}}}
		began := time.Now()
		c.resolveBinds(&b)
		if took := time.Since(began); took != lookupTime {
			t.Errorf("it took %s", took)
		}
		if len(b.Unresolved) != 2 || b.Binds.At(netip.MustParseAddrPort("198.51.100.1:80")) != "frontend webin" {
			t.Errorf("not resolved: %q", b.Unresolved)
		}
	})
}
