package e2e

import (
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// what is what the process has for a server: its weight, its limit of connections and whether it is a backup.
func (b *box) what(domain, server string) (string, error) {
	reply, err := b.runtime("show stat " + domain + "_cluster 4 -1")
	if err != nil {
		return "", err
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(strings.TrimSpace(reply), "# "))).ReadAll()
	if err != nil {
		return "", err
	}
	for _, row := range rows[1:] {
		at := map[string]string{}
		for i, column := range rows[0] {
			at[column] = row[i]
		}
		if at["svname"] == server {
			return fmt.Sprintf("weight=%s maxconn=%s backup=%s", at["weight"], at["slim"], at["bck"]), nil
		}
	}
	return "", errors.New("there is no such server:\n" + reply)
}

// gives waits until the process has it so for a server.
func (b *box) gives(t *testing.T, domain, server, want string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s/%s is %s", domain, server, want), func() error {
		got, err := b.what(domain, server)
		if err == nil && got != want {
			err = errors.New(got)
		}
		return err
	})
}

// line is the line of a server in the managed file.
func (b *box) line(t *testing.T, server string) string {
	t.Helper()
	for l := range strings.Lines(read(t, b.managedFile)) {
		if w := strings.Fields(l); len(w) > 2 && w[0] == "server" && w[1] == server {
			return strings.Join(w[5:], " ")
		}
	}
	return ""
}

func TestDefaultServerDecidesWhatTheRegistryDoesNotSay(t *testing.T) {
	t.Parallel()
	const words = "default-server maxconn 2 weight 100 inter 5s\n"
	for name, place := range someOf(map[string]struct{ base, from, backend string }{
		"of the backend":       {backend: "    " + words},
		"of the last defaults": {base: "    " + words},
		"of two lines":         {base: "    default-server weight 7 maxconn 2\n    default-server weight 100\n"},
		"of a branch": {base: "    .if version_atleast(99.0)\n    default-server weight 1 maxconn 9\n    .elif !version_atleast(2.5)\n    default-server weight 3\n    .else\n" +
			"    .if version_atleast(2.5)\n    default-server weight 100\n    .else\n    default-server weight 5\n    .endif\n    default-server maxconn 2\n    .endif\n"},
		"of both":           {base: "    default-server maxconn 9 weight 5\n", backend: "    " + words},
		"of named defaults": {base: "defaults shop\n    mode http\n    timeout connect 1s\n    timeout client 9s\n    timeout server 9s\n    " + words + "defaults last\n    mode http\n    timeout connect 1s\n    timeout client 9s\n    timeout server 9s\n", from: " from shop"},
	}) {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				one, two := startHost(t, "one"), startHost(t, "two")
				b.write(t, b.baseFile, read(t, b.baseFile)+place.base)
				text := b.frontendLines("a.abc.com") + domainLines("a.abc.com", serverLine("server1", one.addr))
				text = strings.Replace(text, "frontend webin", "frontend webin"+place.from, 1)
				text = strings.Replace(text, "_cluster\n    balance", "_cluster"+place.from+"\n"+place.backend+"    balance", 1)
				b.write(t, b.managedFile, text)
				b.register(t, "a.abc.com/server1", one.addr)
				b.startWith(t, b.baseFile, b.managedFile)
				const given = "weight=100 maxconn=2 backup=0"
				b.gives(t, "a.abc.com", "server1", given)
				w := startWatch(t, b)
				b.must(t, "sync")
				b.inLine(t)
				w.untouched(t, "a sync")

				b.register(t, "a.abc.com/server2", two.addr)
				b.must(t, "sync")
				b.inLine(t)
				b.gives(t, "a.abc.com", "server2", given)
				b.put(t, "a.abc.com/server2/weight", "1")
				b.put(t, "a.abc.com/server2/maxconn", "0")
				b.must(t, "sync")
				b.inLine(t)
				b.gives(t, "a.abc.com", "server2", "weight=1 maxconn= backup=0")
				b.gives(t, "a.abc.com", "server1", given)
				if got := b.line(t, "server2"); got != "check weight 1 maxconn 0" {
					t.Errorf("the file says %q", got)
				}
				b.reload(t)
				b.inLine(t)
				b.gives(t, "a.abc.com", "server2", "weight=1 maxconn= backup=0")

				b.delete(t, "a.abc.com/server2/weight")
				b.delete(t, "a.abc.com/server2/maxconn")
				b.must(t, "sync")
				b.inLine(t)
				b.gives(t, "a.abc.com", "server2", given)
				if got := b.line(t, "server2"); got != "check" {
					t.Errorf("the file says %q", got)
				}
				b.reload(t)
				b.inLine(t)
				b.gives(t, "a.abc.com", "server2", given)

				if place.backend != "" {
					return
				}
				b.register(t, "b.abc.com/server9", one.addr)
				a := b.startAgent(t)
				a.ready(t)
				b.comes(t, "b.abc.com", "server9", one)
				b.gives(t, "b.abc.com", "server9", given)
				if got := b.line(t, "server9"); got != "check" {
					t.Errorf("the file says %q", got)
				}
				b.settles(t)
			})
		})
	}
}

func TestADefaultServerLineBelowAServerLeavesItAlone(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		one, two := startHost(t, "one"), startHost(t, "two")
		text := b.frontendLines("a.abc.com") + domainLines("a.abc.com", serverLine("server1", one.addr)) + "    default-server weight 20 maxconn 50 disabled\n"
		b.write(t, b.managedFile, text)
		b.register(t, "a.abc.com/server1", one.addr)
		b.startWith(t, b.baseFile, b.managedFile)
		w := startWatch(t, b)
		b.must(t, "sync")
		b.inLine(t)
		w.untouched(t, "a sync")
		b.gives(t, "a.abc.com", "server1", "weight=1 maxconn= backup=0")
		b.register(t, "a.abc.com/server0", two.addr)
		b.put(t, "a.abc.com/server0/state", "ready")
		b.must(t, "sync")
		b.inLine(t)
		for range 2 {
			b.gives(t, "a.abc.com", "server0", "weight=20 maxconn=50 backup=0")
			b.gives(t, "a.abc.com", "server1", "weight=1 maxconn= backup=0")
			b.comes(t, "a.abc.com", "server0", two)
			b.comes(t, "a.abc.com", "server1", one)
			b.reload(t)
			b.inLine(t)
		}
	})
}

func TestABackupByDefaultServerIsOneUntilTheRegistrySaysOtherwise(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		one, two := startHost(t, "one"), startHost(t, "two")
		b.write(t, b.baseFile, read(t, b.baseFile)+"    default-server backup\n")
		b.write(t, b.managedFile, b.frontendLines("a.abc.com")+domainLines("a.abc.com", serverLine("server1", one.addr)))
		b.register(t, "a.abc.com/server1", one.addr)
		b.startWith(t, b.baseFile, b.managedFile)
		b.must(t, "sync")
		b.inLine(t)
		b.gives(t, "a.abc.com", "server1", "weight=1 maxconn= backup=1")
		b.register(t, "a.abc.com/server2", two.addr)
		b.put(t, "a.abc.com/server2/backup", "false")
		b.must(t, "sync")
		b.inLine(t)
		b.gives(t, "a.abc.com", "server2", "weight=1 maxconn= backup=0")
		if got := b.line(t, "server2"); got != "check no-backup" {
			t.Errorf("the file says %q", got)
		}
		b.reload(t)
		b.inLine(t)
		b.gives(t, "a.abc.com", "server2", "weight=1 maxconn= backup=0")
		b.delete(t, "a.abc.com/server2/backup")
		b.must(t, "sync")
		b.inLine(t)
		b.gives(t, "a.abc.com", "server2", "weight=1 maxconn= backup=1")
	})
}

func TestAnOperatorsWordsOnTheCookieLineStay(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		one, two := startHost(t, "one"), startHost(t, "two")
		text := b.frontendLines("a.abc.com") + domainLines("a.abc.com", serverLine("server1", one.addr))
		b.write(t, b.managedFile, strings.Replace(text, "nocache\n", "nocache httponly secure\n", 1))
		b.startWith(t, b.baseFile, b.managedFile)
		b.register(t, "a.abc.com/server1", one.addr)
		b.register(t, "a.abc.com/server2", two.addr)
		b.put(t, "a.abc.com/balance", "leastconn")
		b.must(t, "sync")
		b.inLine(t)
		if text := read(t, b.managedFile); strings.Count(text, " httponly secure\n") != 1 || !strings.Contains(text, "server2") {
			t.Errorf("the file says\n%s", text)
		}
		resp, err := http.DefaultClient.Do(&http.Request{URL: &url.URL{Scheme: "http", Host: b.web}, Host: "a.abc.com"})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if c := resp.Cookies(); len(c) != 1 || c[0].Name != "SERVERID" || !c[0].HttpOnly || !c[0].Secure {
			t.Errorf("cookies %v", c)
		}
	})
}

// TestWhatOperatorsTypeBehindServersHoldsUntilAKeySaysOtherwise has words of operators on the lines of hapsync's servers.
func TestWhatOperatorsTypeBehindServersHoldsUntilAKeySaysOtherwise(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		one := startHost(t, "one")
		var servers []string
		for i, words := range []string{"weight 5 maxconn 9", "weight 7", "backup", "disabled"} {
			name := fmt.Sprintf("server%d", i+1)
			b.register(t, "a.abc.com/"+name, one.addr)
			servers = append(servers, serverLine(name, one.addr)+" "+words)
		}
		b.put(t, "a.abc.com/server2/weight", "7") // confd wrote that word because of this key
		b.write(t, b.managedFile, b.frontendLines("a.abc.com")+domainLines("a.abc.com", servers...))
		b.startWith(t, b.baseFile, b.managedFile)
		b.inLine(t)
		w := startWatch(t, b)
		b.must(t, "sync")
		w.untouched(t, "a sync")

		has := func(server, line, process string) {
			t.Helper()
			b.inLine(t)
			if got := b.line(t, server); got != "check"+line {
				t.Errorf("the file says %q of %s, and not %q", got, server, "check"+line)
			}
			b.gives(t, "a.abc.com", server, process)
		}
		for key, value := range map[string]string{"server1/weight": "50", "server1/maxconn": "3", "server3/backup": "false", "server4/state": "ready"} {
			b.put(t, "a.abc.com/"+key, value)
		}
		b.must(t, "sync")
		has("server1", " weight 50 maxconn 3", "weight=50 maxconn=3 backup=0")
		has("server2", " weight 7", "weight=7 maxconn= backup=0")
		has("server3", "", "weight=1 maxconn= backup=0")
		has("server4", "", "weight=1 maxconn= backup=0")
		b.put(t, "a.abc.com/server1/state", "drain")
		b.must(t, "sync")
		has("server1", " weight 0 maxconn 3", "weight=0 maxconn=3 backup=0")

		a := b.startAgent(t)
		a.ready(t)
		for _, key := range []string{"server1/weight", "server1/maxconn", "server1/state", "server2/weight", "server3/backup", "server4/state"} {
			b.delete(t, "a.abc.com/"+key)
		}
		b.gives(t, "a.abc.com", "server1", "weight=5 maxconn=9 backup=0")
		b.gives(t, "a.abc.com", "server2", "weight=1 maxconn= backup=0")
		b.settles(t)
		has("server1", " weight 5 maxconn 9", "weight=5 maxconn=9 backup=0")
		has("server2", "", "weight=1 maxconn= backup=0")
		has("server3", " backup", "weight=1 maxconn= backup=1")
		has("server4", " disabled", "weight=1 maxconn= backup=0")
		b.write(t, b.managedFile, strings.Replace(read(t, b.managedFile), " weight 5 ", " weight 6 ", 1))
		b.must(t, "sync")
		has("server1", " weight 6 maxconn 9", "weight=6 maxconn=9 backup=0")
	})
}

// checked fails the test unless HAProxy checks a server, or does not.
func (b *box) checked(t *testing.T, domain, server string, want bool) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s/%s is checked: %t", domain, server, want), func() error {
		status, there := b.stat(domain+"_cluster", server, "check_status")
		if !there || (status != "") != want {
			return fmt.Errorf("there %t, check_status %q", there, status)
		}
		return nil
	})
}

// TestTheKeyCheckHoldsBesideACheckOfDefaultServer has all servers checked by the operator's words, and a domain's key that says no.
func TestTheKeyCheckHoldsBesideACheckOfDefaultServer(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		one, two := startHost(t, "one"), startHost(t, "two")
		b.write(t, b.baseFile, read(t, b.baseFile)+"    default-server check inter 1s\n")
		b.write(t, b.managedFile, b.frontendLines("a.abc.com", "b.abc.com")+domainLines("a.abc.com", "    server server1 "+one.addr+" cookie server1\n")+
			domainLines("b.abc.com", "    server server1 "+one.addr+" cookie server1\n"))
		b.register(t, "a.abc.com/server1", one.addr)
		b.register(t, "b.abc.com/server1", one.addr)
		b.startWith(t, b.baseFile, b.managedFile)
		b.inLine(t) // each of them is checked, though its line does not say so

		b.put(t, "a.abc.com/check", "off")
		b.must(t, "sync")
		b.inLine(t)
		b.register(t, "a.abc.com/server2", two.addr)
		b.register(t, "b.abc.com/server2", two.addr)
		b.must(t, "sync")
		b.inLine(t)
		all := func() {
			t.Helper()
			for _, server := range []string{"server1", "server2"} {
				b.checked(t, "a.abc.com", server, false)
				b.checked(t, "b.abc.com", server, true)
			}
		}
		all()
		b.reload(t)
		b.inLine(t)
		all()
		b.delete(t, "a.abc.com/check")
		b.must(t, "sync")
		b.inLine(t)
		b.checked(t, "a.abc.com", "server1", true)
		b.checked(t, "a.abc.com", "server2", true)
	})
}
