package sync

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
)

func TestASyncThatHasToReloadInTheEndSaysSo(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v34)
	m.grows, m.added = true, map[string]bool{"b.abc.com_cluster": true}
	m.stubborn = func(c haproxy.Change) bool { return c.Op() == haproxy.OpRemove && c.Object() == haproxy.ObjectRule }
	m.lingers = func(haproxy.RemoveServer) bool { return true }
	one := twoDomains()
	one.Domains = one.Domains[:1]
	report, err := newSyncer(t, source{snapshot: one}, m, Policy{AllowMassRemoval: true}).Sync(t.Context())
	if err != nil || !report.Reloaded || m.reloads != 1 {
		t.Fatalf("error %v, reloaded %t, %d reloads", err, report.Reloaded, m.reloads)
	}
	want := []string{"haproxy: the running process has not taken all of it: runtime - use_backend rule of b.abc.com in webin"}
	if fmt.Sprint(report.Plan.Reload) != fmt.Sprint(want) || !strings.HasSuffix(report.Plan.Summary(), "reload=1") {
		t.Errorf("reasons %q, %s", report.Plan.Reload, report.Plan.Summary())
	}
}

func TestServersThatLingerAreCountedOnce(t *testing.T) {
	t.Parallel()
	for n, words := range []string{"", "1 removed server still has connections, or is held by other rules", "2 removed servers still have connections, or are held by other rules"} {
		m := inLine(twoDomains(), v32)
		m.lingers = func(haproxy.RemoveServer) bool { return true }
		less := twoDomains()
		less.Domains[0].Hosts = less.Domains[0].Hosts[:len(less.Domains[0].Hosts)-n]
		report, err := newSyncer(t, source{snapshot: less}, m, Policy{AllowMassRemoval: true}).Sync(t.Context())
		if warnings := strings.Join(report.Warnings, "; "); err != nil || report.Draining != n || !strings.HasPrefix(warnings, words) || words == "" && warnings != "" {
			t.Errorf("%d linger: error %v, draining %d, warnings %q", n, err, report.Draining, warnings)
		}
	}
}
