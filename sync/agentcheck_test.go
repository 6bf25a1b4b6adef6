package sync

import (
	"testing"

	"github.com/hapsync/hapsync/haproxy"
)

func TestOnlyAServerThatIsToTakeTrafficIsReloadedForTheWeightOfItsAgentCheck(t *testing.T) {
	t.Parallel()
	key := haproxy.ServerKey{Backend: "a_cluster", Name: "server1"}
	for name, c := range map[string]struct {
		weight, loaded int
		state          haproxy.ServerState
		reloads        bool
	}{
		"loaded with weight 0":                  {weight: 100, state: haproxy.Ready, reloads: true},
		"loaded with its weight":                {weight: 100, loaded: 100, state: haproxy.Ready},
		"wanted with weight 0":                  {state: haproxy.Ready},
		"loaded with weight 0, now maintenance": {weight: 100, state: haproxy.Maint},
		"loaded with weight 0, now drained":     {weight: 100, state: haproxy.Drain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := layout.withRules(haproxy.Config{Backends: []haproxy.Backend{
				{Name: key.Backend, Servers: []haproxy.Server{{Name: key.Name, Weight: c.weight, State: c.state}}},
			}})
			st := haproxy.State{File: want, Live: want, Agents: map[haproxy.ServerKey]int{key: c.loaded}}
			if plan := newPlan(wanted{file: want, process: want}, st); len(plan.Reload) > 0 != c.reloads {
				t.Errorf("reloads for %q", plan.Reload)
			}
		})
	}
}
