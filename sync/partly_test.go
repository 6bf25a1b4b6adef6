package sync

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// movedAndAdded is twoDomains with a host of a.com that has moved, and a new domain.
func movedAndAdded() registry.Snapshot {
	snapshot := twoDomains()
	snapshot.Domains = append(slices.Clone(snapshot.Domains), &registry.Domain{Name: "z.com", Hosts: []registry.Host{host("s", "10.9.0.1:80")}})
	snapshot.Domains[0].Hosts = slices.Clone(snapshot.Domains[0].Hosts)
	snapshot.Domains[0].Hosts[0].Addr = host("s", "10.9.0.2:80").Addr
	return snapshot
}

func TestAConfigurationThatHAProxyRefusesAsItStandsIsNoDomainsFault(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]bool{"running": false, "down": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := inLine(twoDomains(), v32)
			tries := 0
			m.down, m.refuses = down, func(haproxy.Config) []string { tries++; return []string{""} }
			report, err := newSyncer(t, source{snapshot: movedAndAdded()}, m, Policy{}).Sync(t.Context())
			if _, invalid := errors.AsType[*haproxy.InvalidConfigError](err); !invalid {
				t.Fatal(err)
			}
			if len(report.Problems) > 0 || report.Applied || !report.Plan.EditsFile() {
				t.Errorf("applied %t, problems %v, plan %v", report.Applied, report.Problems, report.Plan)
			}
			if tries != 5 {
				t.Errorf("haproxy -c was asked %d times, want once about the changes, once about the file as it stands, and thrice about parts", tries)
			}
			want := "runtime=1 reload=0"
			if down {
				want = "reload=0"
			}
			if got := report.Done().Summary(); got != want {
				t.Errorf("done: %s, want %s", got, want)
			}
			if got := report.Left.Summary(); !strings.HasPrefix(got, "transaction=4 ") {
				t.Errorf("left: %s", got)
			}
		})
	}
}

func TestAChangeThatRepairsTheFileComesThroughBesideOneThatIsRefused(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	moved := movedAndAdded().Domains[0]
	m.refuses = func(c haproxy.Config) []string {
		z, there := backendOf(c, "z.com")
		a, _ := backendOf(c, moved.Name)
		if !there || len(z.Servers) == 0 || a.Servers[0].Addr == moved.Hosts[0].Addr {
			return []string{""}
		}
		return nil
	}
	report, err := newSyncer(t, source{snapshot: movedAndAdded()}, m, Policy{}).Sync(t.Context())
	if err != nil || len(report.Problems) != 1 || report.Problems[0].Domain != moved.Name {
		t.Fatalf("%v, problems %v", err, report.Problems)
	}
	if _, there := backendOf(m.file, "z.com"); !there {
		t.Errorf("the file has no z.com, which repairs it: %v", m.file)
	}
}

func TestWhatAFailedPassHasDoneIsNotToBeDone(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	m.noReload = errors.New("no way")
	report, err := newSyncer(t, source{snapshot: movedAndAdded()}, m, Policy{}).Sync(t.Context())
	if !errors.Is(err, m.noReload) {
		t.Fatal(err)
	}
	if done, left := report.Done().Summary(), report.Left.Summary(); done != "runtime=1 transaction=4 reload=0" || left != "reload=1" {
		t.Errorf("done: %s, left: %s", done, left)
	}
}

func TestTheReloadThatARefusedStepBringsIsCounted(t *testing.T) {
	t.Parallel()
	m := inLine(twoDomains(), v32)
	m.stubborn = func(haproxy.Change) bool { return true }
	snapshot := movedAndAdded()
	snapshot.Domains = snapshot.Domains[:len(snapshot.Domains)-1]
	report, err := newSyncer(t, source{snapshot: snapshot}, m, Policy{}).Sync(t.Context())
	if err != nil || m.reloads != 1 {
		t.Fatal(m.reloads, err)
	}
	if got := report.Plan.Summary(); got != "runtime=1 transaction=1 reload=1" || !strings.Contains(report.Plan.Reload[0], report.Plan.Actions[0].Change.String()) {
		t.Errorf("%s: %q", got, report.Plan.Reload)
	}
}
