package runtimeapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// The running process must do what the capability table says, and must refuse what the table says it cannot do.
func TestTheCapabilitiesAreWhatHAProxyCanDo(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one := haproxytest.StartHost(t, "one")
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, one.Addr, one.Addr))
		caps := capabilities(t, runtimeOf(p))
		if caps.Version != haproxytest.VersionOf(t, bin) {
			t.Errorf("the process is %s, its binary %s", caps.Version, haproxytest.VersionOf(t, bin))
		}
		add := "add server " + haproxytest.BackendB + "/"
		for _, try := range []struct {
			name  string
			can   bool
			line  string
			taken string
		}{
			{"cookie", caps.CookieLive, add + "c 127.0.0.1:1 cookie c", "New server registered."},
			{"init-state", caps.InitState, add + "i 127.0.0.1:1 check init-state fully-down", "New server registered."},
			{"srv-removable", caps.WaitRemovable, add + "w 127.0.0.1:1;wait 1s srv-removable " + haproxytest.BackendB + "/w", "Done."},
		} {
			if reply := p.Must(t, try.line); strings.Contains(reply, try.taken) != try.can {
				t.Errorf("%s: can %t, reply %q", try.name, try.can, reply)
			}
		}
		reply, err := Master(p.MasterSocket).ask(t.Context(), "reload")
		if err != nil || strings.Contains(reply, "Success=1") != caps.ReloadReports {
			t.Errorf("reload: can %t, reply %q, %v", caps.ReloadReports, reply, err)
		}
	})
}

func TestServersComeAndGoLiveWithTheDynamicAlgorithmsOnly(t *testing.T) {
	t.Parallel()
	algorithms := []string{"roundrobin", "leastconn", "first", "random", "random(3)", "source", "uri", "static-rr", "hdr(host)", "url_param a"}
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		var managed strings.Builder
		for i, balance := range algorithms {
			fmt.Fprintf(&managed, "backend b%d\n    balance %s\n", i, balance)
		}
		p := haproxytest.StartHAProxy(t, bin, "", managed.String())
		for i, balance := range algorithms {
			reply := p.Must(t, fmt.Sprintf("add server b%d/s 127.0.0.1:1", i))
			if can := (haproxy.BackendOptions{Balance: balance}).Dynamic(); strings.Contains(reply, "New server") != can {
				t.Errorf("%s: dynamic %t, reply %q", balance, can, reply)
			}
		}
	})
}

func TestBackendsAndRulesOfARunningProcessDoNotChange(t *testing.T) {
	t.Parallel()
	for _, c := range []haproxy.Change{haproxy.AddBackend{}, haproxy.SetBackend{}, haproxy.RemoveBackend{}, haproxy.AddRule{}, haproxy.RemoveRule{}} {
		if ok, why := haproxy.CapabilitiesOf(haproxy.Version{Major: 3, Minor: 4}).Live(c); ok || why == "" {
			t.Errorf("%T: %t, %q", c, ok, why)
		}
	}
}
