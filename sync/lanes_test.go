package sync

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// withNew is a snapshot with a new domain c.abc.com.
func withNew(s registry.Snapshot) registry.Snapshot {
	return revised(s, s.Revision, domain("c.abc.com", host("server1", "10.0.0.3:1")))
}

// movesWithin reports how long a host of b.abc.com takes to move in the process, and in the file.
func movesWithin(i inn, limit time.Duration, s registry.Snapshot) (live, file time.Duration) {
	began := time.Now()
	i.registry.change(s, "b.abc.com")
	synctest.Wait()
	for time.Since(began) < limit && (live == 0 || file == 0) {
		now := i.haproxy.now()
		if took := time.Since(began) + time.Nanosecond; live == 0 && portOf(now.live) == 7 {
			live = took
		}
		if took := time.Since(began) + time.Nanosecond; file == 0 && portOf(now.file) == 7 {
			file = took
		}
		elapse(time.Millisecond)
	}
	return live, file
}

func TestAHostMovesAtOnceWhileAnotherDomainIsAdded(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.haproxy.change(func() { i.haproxy.slowWrite, i.haproxy.slowReload = 550*time.Millisecond, 600*time.Millisecond })
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.registry.change(withNew(revised(twoDomains(), 900)), "c.abc.com")
		for _, wait := range []time.Duration{10, 700} { // while the file is written, and while HAProxy is reloaded
			elapse(wait * time.Millisecond)
			s := withNew(moved(registry.Revision(901+wait), uint16(10+wait)))
			i.registry.change(s, "b.abc.com")
			synctest.Wait()
			if port := portOf(i.haproxy.now().live); port != uint16(10+wait) {
				t.Errorf("%d ms after a new domain the port is %d", wait, port)
			}
		}
		elapse(5 * time.Second)
		now := i.haproxy.now()
		if _, served := backendOf(now.live, "c.abc.com"); !served || portOf(now.live) != 710 || portOf(now.file) != 710 || i.Status().Applied != 1601 {
			t.Errorf("port %d in the process, %d in the file, new domain served: %t, applied %d", portOf(now.live), portOf(now.file), served, i.Status().Applied)
		}
	})
}

func TestAHostMovesAtOnceWhileHaproxyCHangsOverANewDomain(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() { i.haproxy.hang = time.Minute })
		i.registry.change(withNew(revised(twoDomains(), 900)), "c.abc.com")
		elapse(10 * time.Millisecond)
		if live, _ := movesWithin(i, time.Second, withNew(moved(901, 7))); live == 0 || live > time.Millisecond {
			t.Errorf("it moved after %s", live)
		}
		if applied := i.Status().Applied; applied >= 900 {
			t.Errorf("applied %d, while the new domain waits for the file", applied)
		}
		i.haproxy.change(func() { i.haproxy.hang = 0 })
		elapse(2 * time.Minute)
		if applied := i.Status().Applied; applied != 901 {
			t.Errorf("applied %d in the end", applied)
		}
	})
}

func TestARefusedReloadOfADomainKeepsNoOtherFromProcessAndFile(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() {
			i.haproxy.unloadable = func(c haproxy.Config) bool { _, there := backendOf(c, "c.abc.com"); return there }
		})
		i.registry.change(withNew(revised(twoDomains(), 900)), "c.abc.com")
		elapse(40 * time.Second)
		live, file := movesWithin(i, time.Minute, withNew(moved(901, 7)))
		if live == 0 || live > time.Millisecond || file == 0 || file > 2*fileDelay {
			t.Errorf("in the process after %s, in the file after %s (0: not within a minute)", live, file)
		}
		if s := i.Status(); s.Applied >= 900 || s.Failed == "" {
			t.Errorf("applied %d, %q", s.Applied, s.Failed)
		}
		s := withNew(moved(902, 7))
		s = revised(s, 902, domain("d.abc.com", host("server1", "10.0.0.4:1")))
		i.registry.change(s, "d.abc.com")
		elapse(5 * time.Second)
		if _, served := backendOf(i.haproxy.now().live, "d.abc.com"); !served {
			t.Error("another new domain is not served")
		}
		if file := i.haproxy.now().file; len(file.Backends) != 3 && len(file.Backends) != 4 {
			t.Errorf("%d domains in the file", len(file.Backends))
		}
		i.haproxy.change(func() { i.haproxy.unloadable = nil })
		elapse(maxRefusedRetry + time.Minute)
		if s := i.Status(); s.Applied != 902 || !s.Ready() {
			t.Errorf("in the end applied %d, %v", s.Applied, s.Reasons)
		}
	})
}

func TestALingeringServerStaysInWhatIsReported(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	m.lingers = func(haproxy.RemoveServer) bool { return true }
	inBubble(t, m, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		s := revised(twoDomains(), 900)
		s.Domains[0].Hosts = s.Domains[0].Hosts[:1] // server2 of a.abc.com leaves, and lingers
		i.registry.change(s, "a.abc.com")
		synctest.Wait()
		for n := range 3 {
			want := []haproxy.ServerKey{{Backend: "a.abc.com_cluster", Name: "server2"}}
			if st := i.Status(); !slices.Equal(st.leaving, want) || st.Last.Draining != 1 {
				t.Errorf("after %d changes of others: leaving %v, draining %d", n, st.leaving, st.Last.Draining)
			}
			s = revised(s, registry.Revision(901+n))
			s.Domains[1] = moved(0, uint16(7+n)).Domains[1]
			i.registry.change(s, "b.abc.com")
			synctest.Wait()
		}
	})
}

func TestARemovalThatIsDoneIsNotDraining(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		s := revised(twoDomains(), 900)
		s.Domains[0].Hosts = s.Domains[0].Hosts[:1]
		i.registry.change(s, "a.abc.com")
		synctest.Wait()
		st := i.Status()
		if b, _ := backendOf(i.haproxy.now().live, "a.abc.com"); len(b.Servers) != 1 || st.Last.Draining != 0 || len(st.leaving) != 0 {
			t.Errorf("HAProxy has %v, draining %d, leaving %v", b.Servers, st.Last.Draining, st.leaving)
		}
	})
}

// A busyServer has sessions on server2 of a.abc.com.
type busyServer struct{}

func (busyServer) Servers(context.Context, ...string) ([]haproxy.ServerStatus, error) {
	return []haproxy.ServerStatus{{Domain: "a.abc.com", Name: "server2", Sessions: 3}}, nil
}

func TestNoHostIsCalledFinishedWhileItHasSessions(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	m.lingers = func(haproxy.RemoveServer) bool { return true }
	inBubble(t, m, func(t *testing.T, i inn) {
		i.haproxy.change(func() { i.haproxy.viewer = busyServer{} })
		all := reportsFrom(t, i)
		first := twoDomains()
		first.Prefix, first.Changed = "/services/web", first.Revision
		i.registry.tell(first)
		elapse(2 * time.Second)
		s := revised(first, 900)
		s.Changed = 900
		s.Domains[0].Hosts = s.Domains[0].Hosts[:1]
		i.registry.change(s, "a.abc.com")
		elapse(6 * time.Second) // the looks at what is left have become rare
		receipt := registry.Ack{Revision: 900, Domain: "a.abc.com", Host: "server2", Finished: true}
		for n := range 2 {
			last := (*all)[len(*all)-1]
			last.Name = "lb1"
			if missing := receipt.Missing([]registry.AgentReport{last}); len(missing) != 1 {
				t.Errorf("after %d changes of others it is called finished: %+v", n, last)
			}
			s = revised(s, registry.Revision(901+n))
			s.Changed = s.Revision
			s.Domains[1] = moved(0, uint16(7+n)).Domains[1]
			i.registry.change(s, "b.abc.com")
			elapse(1500 * time.Millisecond)
		}
	})
}

func TestAReloadThatDoesNotHelpIsMadeSeldom(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() { i.haproxy.unlisted = true })
		i.registry.change(withNew(revised(twoDomains(), 900)), "c.abc.com")
		elapse(minUselessRetry - time.Second)
		if n := i.haproxy.now().reloads; n != 1 {
			t.Errorf("%d reloads in five minutes, want one", n)
		}
		elapse(time.Hour)
		if n := i.haproxy.now().reloads; n < 2 || n > 5 {
			t.Errorf("%d reloads in an hour, want some, and fewer and fewer", n)
		}
		if s := i.Status(); s.Ready() || s.Applied >= 900 || !strings.Contains(s.Failed, "started with the managed file") {
			t.Errorf("applied %d, %q", s.Applied, s.Reasons)
		}
		if live, file := movesWithin(i, time.Minute, withNew(moved(901, 7))); live == 0 || file == 0 {
			t.Errorf("another domain's host moved in the process after %s, in the file after %s", live, file)
		}
		reloads := i.haproxy.now().reloads
		i.haproxy.change(func() { // it is started with the file
			i.haproxy.unlisted = false
			i.haproxy.live = clone(i.haproxy.file)
			i.haproxy.reloads++
		})
		elapse(2 * pollInterval)
		if s := i.Status(); !s.Ready() || s.Applied != 901 || i.haproxy.now().reloads != reloads+1 {
			t.Errorf("applied %d, %q, %d reloads more", s.Applied, s.Reasons, i.haproxy.now().reloads-reloads-1)
		}
	})
}

func TestAHostThatGoesAndComesBackDuringAReloadIsLoadedByTheNextOne(t *testing.T) {
	t.Parallel()
	// HAProxy 2.6 takes no server with a cookie without a reload.
	inBubble(t, inLine(twoDomains(), haproxy.Version{Major: 2, Minor: 6}), func(t *testing.T, i inn) {
		servers := func() int {
			b, _ := backendOf(i.haproxy.now().live, "a.abc.com")
			return len(b.Servers)
		}
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() { i.haproxy.settles = 100 * time.Millisecond })
		all := revised(twoDomains(), 900)
		all.Domains[0].Hosts = append(all.Domains[0].Hosts, host("server3", "10.0.0.1:10002"))
		i.registry.change(all, "a.abc.com")
		synctest.Wait() // the new worker has server2, and the reload has not ended
		less := revised(all, 901)
		less.Domains[0].Hosts = []registry.Host{all.Domains[0].Hosts[0], all.Domains[0].Hosts[2]}
		i.registry.change(less, "a.abc.com")
		synctest.Wait()
		if reloads := i.haproxy.now().reloads; reloads != 1 || servers() != 2 {
			t.Fatalf("%d reloads, HAProxy has %d servers, want the new one and not the one that went", reloads, servers())
		}
		i.registry.change(revised(all, 902), "a.abc.com")
		elapse(time.Minute)
		if s := i.Status(); !s.Ready() || servers() != 3 {
			t.Errorf("%q, %d reloads, HAProxy has %d servers", s.Reasons, i.haproxy.now().reloads, servers())
		}
	})
}

func TestWhatHAProxyRefusesStaysAProblemWhileItIsTriedAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		const over = "no problem any more"
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() {
			i.haproxy.slowWrite = 300 * time.Millisecond
			i.haproxy.refuses = func(c haproxy.Config) []string {
				if b, _ := backendOf(c, "c.abc.com"); b.Name != "" {
					return []string{"c.abc.com"}
				}
				return nil
			}
		})
		i.registry.change(withNew(revised(twoDomains(), 900)), "c.abc.com")
		elapse(time.Second)
		tried := i.haproxy.now().edits
		for range 30 * defaultResync / time.Second {
			elapse(100 * time.Millisecond)
			if len(i.Status().Last.Problems) == 0 {
				t.Fatal("it is no problem while it is tried again")
			}
			elapse(900 * time.Millisecond)
		}
		if log := i.logged.String(); i.haproxy.now().edits == tried || strings.Contains(log, over) {
			t.Errorf("tried %d times more, and told:\n%s", i.haproxy.now().edits-tried, log)
		}
		i.haproxy.change(func() { i.haproxy.refuses = nil })
		elapse(2 * defaultResync)
		if problems := i.Status().Last.Problems; len(problems) > 0 || !strings.Contains(i.logged.String(), over) {
			t.Errorf("HAProxy takes it now, and there is %v:\n%s", problems, i.logged)
		}
	})
}

func TestAFailureEndsWithWhatItWasFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ fails, works func(i inn) }{
		"haproxy -c hangs": {
			func(i inn) { i.haproxy.hang = 10 * time.Second },
			func(i inn) { i.haproxy.hang = 0 },
		},
		"the reload is refused": {
			func(i inn) { i.haproxy.failReload = 100 },
			func(i inn) { i.haproxy.failReload = 0 },
		},
		"another hapsync does it": {
			func(i inn) { i.haproxy.locked = true },
			func(i inn) { i.haproxy.locked = false },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
				i.registry.tell(twoDomains())
				synctest.Wait()
				i.haproxy.change(func() { c.fails(i) })
				more := withNew(revised(twoDomains(), 900))
				i.registry.change(more, "c.abc.com")
				elapse(10100 * time.Millisecond)
				if i.Status().Ready() {
					t.Fatal("it does not fail")
				}
				if !i.haproxy.locked {
					i.registry.change(revised(twoDomains(), 901), "c.abc.com")
					elapse(time.Second)
				}
				i.haproxy.change(func() {
					if i.haproxy.locked {
						want, _ := layout.Desired(more, haproxy.State{})
						i.haproxy.file = clone(want)
						i.haproxy.version++
						_ = i.haproxy.fake.Reload(t.Context())
					}
					c.works(i)
				})
				elapse(30 * time.Second) // less than a resync
				if s := i.Status(); !s.Ready() {
					t.Errorf("all is in line: %q", s.Reasons)
				}
			})
		})
	}
}

func TestTheFileGetsADomainThatARestartHasBroughtDuringARefusedReload(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		has := func(c haproxy.Config) bool { b, _ := backendOf(c, "c.abc.com"); return b.Name != "" }
		i.registry.tell(twoDomains())
		synctest.Wait()
		refuses := true
		i.haproxy.change(func() {
			i.haproxy.slowReload = 300 * time.Millisecond
			i.haproxy.unloadable = func(c haproxy.Config) bool { return refuses && has(c) }
		})
		i.registry.change(withNew(revised(twoDomains(), 900)), "c.abc.com")
		elapse(100 * time.Millisecond)
		i.haproxy.change(i.haproxy.restart) // with the file that has the domain, which is taken back 200 ms later
		i.registry.change(withNew(moved(901, 7)), "b.abc.com")
		elapse(time.Second)
		i.haproxy.change(func() { refuses = false })
		elapse(10 * time.Second) // long before the next resync
		if now := i.haproxy.now(); !has(now.live) || !has(now.file) {
			t.Errorf("the process has the domain: %t, the file: %t", has(now.live), has(now.file))
		}
	})
}

func TestAnEditOfTheFileJustAfterAReloadIsLoadedByTheNextOne(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.haproxy.change(func() {
			i.haproxy.edited = func(file *haproxy.Config) {
				for _, b := range file.Backends {
					b.Servers[0].Params = "inter 5s"
				}
			}
		})
		i.registry.change(withNew(revised(twoDomains(), 900)), "c.abc.com")
		elapse(time.Minute)
		if s, n := i.Status(), i.haproxy.now().reloads; !s.Ready() || n != 2 {
			t.Errorf("%q, %d reloads, want two", s.Reasons, n)
		}
	})
}

func TestAnAgentThatCannotWriteTheFileSaysSoBeforeItHasTo(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		const reason = "hapsync.cfg cannot be replaced"
		warned := func() bool {
			return slices.ContainsFunc(i.Status().Last.Warnings, func(w string) bool { return strings.Contains(w, reason) })
		}
		i.haproxy.change(func() { i.haproxy.noWrite = errors.New(reason) })
		i.registry.tell(twoDomains())
		synctest.Wait()
		if !warned() || !i.Status().Ready() {
			t.Errorf("nothing is to be written: %q, %q", i.Status().Last.Warnings, i.Status().Reasons)
		}
		i.haproxy.change(func() { i.haproxy.noWrite = nil })
		elapse(defaultResync + time.Second)
		if warned() {
			t.Error("it can be written again, and the warning stays")
		}
	})
}

func TestAWarningIsKnownSinceItCameWhateverElseIsDone(t *testing.T) {
	t.Parallel()
	start := inLine(twoDomains(), v32)
	start.warnings = []string{"mend it"}
	inBubble(t, start, func(t *testing.T, i inn) {
		i.registry.tell(twoDomains())
		synctest.Wait()
		first := i.Status().WarningSince("mend it")
		elapse(10 * time.Minute)
		i.registry.change(withNew(revised(twoDomains(), 900)), "c.abc.com") // in the file, and by a reload
		for range 5 {
			elapse(time.Second)
			if s := i.Status(); first.IsZero() || !slices.Equal(s.Last.Warnings, start.warnings) || !s.WarningSince("mend it").Equal(first) {
				t.Fatalf("warnings %q since %s, not %s", s.Last.Warnings, s.WarningSince("mend it"), first)
			}
		}
	})
}

func TestADomainThatWaitsKeepsNoOtherFromBeingAcknowledged(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		all := reportsFrom(t, i)
		told := func(s registry.Snapshot) registry.Snapshot {
			s.Prefix, s.Changed = "/services/web", s.Revision
			return s
		}
		i.registry.tell(told(twoDomains()))
		synctest.Wait()
		i.haproxy.change(func() { i.haproxy.failReload = 1 << 20 })
		i.registry.change(told(withNew(revised(twoDomains(), 900))), "c.abc.com")
		elapse(3 * time.Second)
		i.registry.change(told(withNew(moved(901, 7))), "b.abc.com")
		elapse(3 * time.Second)
		last := (*all)[len(*all)-1]
		last.Name = "lb1"
		for domain, done := range map[string]bool{"b.abc.com": true, "c.abc.com": false} {
			ack := registry.Ack{Revision: map[string]registry.Revision{"b.abc.com": 901, "c.abc.com": 900}[domain], Domain: domain, Host: "server1"}
			if missing := ack.Missing([]registry.AgentReport{last}); (len(missing) == 0) != done {
				t.Errorf("%s: %v of %+v", domain, missing, last)
			}
		}
	})
}

func TestAFileThatIsWrittenAppliesNothingInAProcessThatIsGone(t *testing.T) {
	t.Parallel()
	inBubble(t, inLine(twoDomains(), v32), func(t *testing.T, i inn) {
		i.haproxy.change(func() { i.haproxy.slowWrite = 550 * time.Millisecond })
		i.registry.tell(twoDomains())
		synctest.Wait()
		i.registry.change(moved(900, 5), "b.abc.com")
		elapse(fileDelay + 100*time.Millisecond) // the file is being written
		if applied := i.Status().Applied; applied != 900 {
			t.Errorf("applied %d", applied)
		}
		i.haproxy.change(func() { i.haproxy.down = true })
		i.registry.change(moved(901, 6), "b.abc.com")
		for range 100 {
			elapse(100 * time.Millisecond)
			if s := i.Status(); s.Applied != 900 || s.Down == "" || s.Behind.IsZero() {
				t.Fatalf("applied %d of a process that is gone (%q)", s.Applied, s.Down)
			}
		}
		i.haproxy.change(func() { i.haproxy.down = false })
		elapse(5 * time.Second)
		if s := i.Status(); s.Applied != 901 || portOf(i.haproxy.now().live) != 6 {
			t.Errorf("applied %d in the end", s.Applied)
		}
	})
}
