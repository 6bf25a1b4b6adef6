package registry

import (
	"strings"
	"testing"
)

func TestAnAckNamesTheAgentsThatHaveNotDoneIt(t *testing.T) {
	good := AgentReport{Name: "a1", Applied: 7}
	with := func(change func(*AgentReport)) AgentReport {
		r := good
		r.Name = "a2"
		change(&r)
		return r
	}
	for _, tt := range []struct {
		name  string
		agent AgentReport
		want  string
	}{
		{"has applied it", with(func(r *AgentReport) { r.Applied = 8 }), ""},
		{"is behind", with(func(r *AgentReport) { r.Applied = 6 }), "a2: it has applied revision 6, the write is 7"},
		{"waits for another domain", with(func(r *AgentReport) {
			r.Applied, r.Reached, r.Waiting, r.Held = 6, 8, []string{"b.abc.com"}, "b.abc.com"
		}), ""},
		{"waits for the domain", with(func(r *AgentReport) { r.Applied, r.Reached, r.Waiting = 6, 8, []string{"a.abc.com"} }),
			"a2: it has applied revision 6, the write is 7"},
		{"waits for more than it can name", with(func(r *AgentReport) { r.Applied, r.Reached, r.WaitingMore = 6, 8, 3 }),
			"a2: it has applied revision 6, the write is 7"},
		{"holds", with(func(r *AgentReport) { r.Applied, r.Held = 6, "no key" }), "a2: it holds its changes back: no key"},
		{"is not ready", with(func(r *AgentReport) { r.Applied, r.Reason = 0, "haproxy: away" }), "a2: it is not ready: haproxy: away"},
		{"leaves the domain out", with(func(r *AgentReport) { r.LeftOut = []string{"a.abc.com"} }), "a2: it leaves the host out, hapsync status there says why"},
		{"leaves another host out", with(func(r *AgentReport) { r.LeftOut = []string{"a.abc.com/s2"} }), ""},
		{"leaves out more than it can name", with(func(r *AgentReport) { r.LeftOut, r.LeftOutMore = []string{"a.abc.com/s2"}, 7 }),
			"a2: it leaves out more than its report can name: 7 more"},
		{"has sessions", with(func(r *AgentReport) {
			r.Leaving = []Leaving{{Domain: "a.abc.com", Host: "s1", Sessions: 2}}
		}),
			"a2: 2 sessions left on host a.abc.com/s1"},
		{"has sessions of another", with(func(r *AgentReport) {
			r.Leaving = []Leaving{{Domain: "a.abc.com", Host: "s2", Sessions: 2}}
		}), ""},
		{"cannot count", with(func(r *AgentReport) { r.Unknown = "no answer" }), "a2: its sessions cannot be counted: no answer"},
		{"cannot tell of all", with(func(r *AgentReport) { r.More = 3 }), "a2: it has more servers with sessions than it can tell of: 3 more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Ack{Revision: 7, Domain: "a.abc.com", Host: "s1", Finished: true}
			if got := strings.Join(r.Missing([]AgentReport{good, tt.agent}), "\n"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	half := AgentReport{Name: "a2", Applied: 8, Pending: []string{"a.abc.com/s1: port is missing"}}
	other := AgentReport{Name: "a2", Applied: 8, Pending: []string{"a.abc.com/s11: port is missing"}}
	many := AgentReport{Name: "a2", Applied: 8, PendingMore: 7}
	for _, tt := range []struct {
		agent AgentReport
		want  string
	}{
		{half, "a2: the host is half written, so it gets no requests: port is missing (put the other key)"},
		{other, ""},
		{AgentReport{Name: "a2", Applied: 8, PendingMore: 7, Pending: []string{"a.abc.com.au/s0: port is missing"}}, ""},
		{AgentReport{Name: "a2", Applied: 8, PendingMore: 7, Pending: []string{"a.abc.com/s0: ip is missing"}}, "a2: it has more half-written hosts than its report can name: 7 more"},
		{many, "a2: it has more half-written hosts than its report can name: 7 more"},
	} {
		ack := Ack{Revision: 7, Domain: "a.abc.com", Host: "s1"}
		if got := strings.Join(ack.Missing([]AgentReport{tt.agent}), "\n"); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
		if ack.Finished = true; len(ack.Missing([]AgentReport{tt.agent})) > 0 {
			t.Errorf("a half-written host is not out of service: %+v", tt.agent)
		}
	}
	r := Ack{Revision: 7}
	r.Missing([]AgentReport{good, {Name: "a2"}})
	if got := r.Missing([]AgentReport{good}); len(got) != 1 || !strings.HasPrefix(got[0], "a2: it was there and is gone") {
		t.Errorf("of an agent that has died it says %q", got)
	}
	if got := r.Missing([]AgentReport{good, {Name: "a2", Applied: 9}}); len(got) != 0 {
		t.Errorf("of one that is back it says %q", got)
	}
}
