package sync

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// flap changes an option of a.abc.com to and fro, every half second.
func flap(i inn, last registry.Snapshot, times int, change func(d *registry.Domain, odd bool)) registry.Snapshot {
	for n := range times {
		last = revised(last, last.Revision+1)
		change(last.Domains[0], n%2 == 0)
		i.registry.change(last, "a.abc.com")
		elapse(500 * time.Millisecond)
	}
	return last
}

func balances(d *registry.Domain, odd bool) {
	d.Options.Balance = "roundrobin"
	if odd {
		d.Options.Balance = "leastconn"
	}
}

func checks(d *registry.Domain, odd bool) {
	d.Options.Check = ""
	if odd {
		d.Options.Check = "off"
	}
}

func TestOptionsThatChangeAgainAndAgainAskForFewReloads(t *testing.T) {
	t.Parallel()
	for key, change := range map[string]func(*registry.Domain, bool){"balance": balances, "check": checks} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
				i.registry.tell(twoDomains())
				synctest.Wait()
				last := flap(i, twoDomains(), 1, change)
				if n := i.haproxy.now().reloads; n != 1 {
					t.Fatalf("%d reloads for the first change", n)
				}
				last = flap(i, last, 1198, change) // ten minutes of it
				if n := i.haproxy.now().reloads; n > 9 {
					t.Errorf("%d reloads", n)
				}
				problems := i.Status().Last.Problems
				if len(problems) != 1 || problems[0].Key != "/services/web/a.abc.com/"+key || !strings.Contains(problems[0].Reason, "the next reload for it is made at 00:") {
					t.Errorf("problems: %v", problems)
				}
				if s := i.Status(); s.Applied >= last.Revision {
					t.Errorf("applied %d of %d", s.Applied, last.Revision)
				}

				before := i.haproxy.now().reloads
				last = withNew(revised(last, last.Revision+1))
				i.registry.change(last, "c.abc.com")
				elapse(3 * time.Second)
				if _, served := backendOf(i.haproxy.now().live, "c.abc.com"); !served || i.haproxy.now().reloads != before+1 {
					t.Error("another domain waits")
				}

				last = flap(i, last, 1, change)
				elapse(maxCooldown)
				want, _ := layout.Desired(last, haproxy.State{})
				if now := i.haproxy.now(); len(Diff(now.live, want)) > 0 || len(Diff(now.file, want)) > 0 {
					t.Errorf("in the end the process has %v", Diff(now.live, want))
				}
				if s := i.Status(); s.Applied != last.Revision || len(s.Last.Problems) > 0 {
					t.Errorf("in the end applied %d of %d, problems: %v", s.Applied, last.Revision, s.Last.Problems)
				}

				elapse(2 * maxCooldown)
				before = i.haproxy.now().reloads
				flap(i, last, 2, change)
				if n := i.haproxy.now().reloads - before; n != 1 {
					t.Errorf("%d reloads at once after a quiet time", n)
				}
			})
		})
	}
}

func TestTheKeyOfAnOptionThatRestsIsNamed(t *testing.T) {
	t.Parallel()
	was := registry.Domain{Name: "a.abc.com", Hosts: []registry.Host{host("server1", "10.0.0.1:80")}}
	for key, change := range map[string]func(*registry.DomainOptions){
		"/balance":        func(o *registry.DomainOptions) { o.Balance = "leastconn" },
		"/cookie":         func(o *registry.DomainOptions) { o.Cookie = "off" },
		"/aliases":        func(o *registry.DomainOptions) { o.Aliases = "www.abc.com" },
		"/check":          func(o *registry.DomainOptions) { o.Check = "/health inter=5s" },
		"/timeout-server": func(o *registry.DomainOptions) { o.TimeoutServer = "30s" },
		"/maintenance":    func(o *registry.DomainOptions) { o.Maintenance = true },
		"/redirect-https": func(o *registry.DomainOptions) { o.RedirectHTTPS = true },
		"/tls":            func(o *registry.DomainOptions) { o.TLS = "noverify" },
	} {
		is := was
		change(&is.Options)
		options := func(d registry.Domain) haproxy.BackendOptions {
			want, _ := layout.Desired(registry.Snapshot{Domains: []*registry.Domain{&d}}, haproxy.State{})
			return want.Backends[0].Options
		}
		for _, pair := range [][2]haproxy.BackendOptions{{options(is), options(was)}, {options(was), options(is)}} {
			if got := changedOption(pair[0], pair[1]); got != key {
				t.Errorf("got %q, want %q", got, key)
			}
		}
	}
}
