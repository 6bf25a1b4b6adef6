package haproxy

import (
	"fmt"
	"strings"
	"testing"
)

// Each line of the capability table is tried on the running process, and has to be right both ways.
func TestTheCapabilitiesAreWhatHAProxyCanDo(t *testing.T) {
	t.Parallel()
	eachHAProxy(t, func(t *testing.T, bin string) {
		one := startHost(t, "one")
		p := startHAProxy(t, bin, "", fmt.Sprintf(twoDomains, one.Addr, one.Addr))
		caps := capabilities(t, runtimeOf(p))
		if caps.Version != versionOf(t, bin) {
			t.Errorf("the process is %s, its binary %s", caps.Version, versionOf(t, bin))
		}
		add := "add server " + backendB + "/"
		for _, try := range []struct {
			name  string
			can   bool
			line  string
			taken string
		}{
			{"cookie", caps.CookieLive, add + "c 127.0.0.1:1 cookie c", "New server registered."},
			{"init-state", caps.InitState, add + "i 127.0.0.1:1 check init-state fully-down", "New server registered."},
			{"srv-removable", caps.WaitRemovable, add + "w 127.0.0.1:1;wait 1s srv-removable " + backendB + "/w", "Done."},
		} {
			if reply := p.must(t, try.line); strings.Contains(reply, try.taken) != try.can {
				t.Errorf("%s: can %t, reply %q", try.name, try.can, reply)
			}
		}
		reply, err := masterSocket(p.MasterSocket).ask(t.Context(), "reload")
		if err != nil || strings.Contains(reply, "Success=1") != caps.ReloadReports {
			t.Errorf("reload: can %t, reply %q, %v", caps.ReloadReports, reply, err)
		}
	})
}

func TestServersComeAndGoLiveWithTheDynamicAlgorithmsOnly(t *testing.T) {
	t.Parallel()
	algorithms := []string{"roundrobin", "leastconn", "first", "random", "random(3)", "source", "uri", "static-rr", "hdr(host)", "url_param a"}
	eachHAProxy(t, func(t *testing.T, bin string) {
		var managed strings.Builder
		for i, balance := range algorithms {
			fmt.Fprintf(&managed, "backend b%d\n    balance %s\n", i, balance)
		}
		p := startHAProxy(t, bin, "", managed.String())
		for i, balance := range algorithms {
			reply := p.must(t, fmt.Sprintf("add server b%d/s 127.0.0.1:1", i))
			if can := (BackendOptions{Balance: balance}).Dynamic(); strings.Contains(reply, "New server") != can {
				t.Errorf("%s: dynamic %t, reply %q", balance, can, reply)
			}
		}
	})
}

func TestBackendsAndRulesOfARunningProcessDoNotChange(t *testing.T) {
	t.Parallel()
	for _, c := range []Change{AddBackend{}, SetBackend{}, RemoveBackend{}, AddRule{}, RemoveRule{}} {
		if ok, why := CapabilitiesOf(Version{3, 4}).Live(c); ok || why == "" {
			t.Errorf("%T: %t, %q", c, ok, why)
		}
	}
}
