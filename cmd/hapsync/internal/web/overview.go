package web

import (
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

const apiVersion = 1

// An Overview is the agent's status on one screen.
type Overview struct {
	Version   int          `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
	Name      string       `json:"name" doc:"name of the agent"`
	Hapsync   string       `json:"hapsync" doc:"version of hapsync"`
	Ready     bool         `json:"ready" doc:"'/readyz' answers 200"`
	Reasons   []string     `json:"reasons" doc:"why it is not ready, one line each"`
	Lag       float64      `json:"lag_seconds" doc:"for how long something has been waiting to be applied"`
	Seen      int64        `json:"revision_seen" doc:"the registry's revision that was last heard of"`
	Applied   int64        `json:"revision_applied" doc:"the one that HAProxy's process has"`
	Filed     int64        `json:"revision_filed" doc:"the one that the managed file has"`
	Domains   int          `json:"domains" doc:"good domains in the registry"`
	Hosts     int          `json:"hosts" doc:"good hosts in the registry"`
	Servers   ServerCount  `json:"servers" doc:"the servers of HAProxy's process"`
	Reloads   int          `json:"reloads" doc:"reloads of HAProxy since the agent started"`
	Today     *int         `json:"reloads_today" doc:"reloads of HAProxy since midnight, by the journal, before the agent started and by 'hapsync sync' too; null if that is not known"`
	HAProxy   HAProxyLook  `json:"haproxy" doc:"HAProxy"`
	Registry  RegistryLook `json:"registry" doc:"etcd"`
	Hold      *Hold        `json:"hold" doc:"what a safeguard holds back; null if nothing"`
	Shadow    *ShadowLook  `json:"shadow,omitempty" doc:"what 'agent --shadow' has found; absent for an agent that keeps HAProxy in line"`
	Attention []Attention  `json:"attention" doc:"what an operator should know of, the first 100"`
	More      int          `json:"attention_more" doc:"how many it does not name"`
}

// A ShadowLook counts what a shadow has found.
type ShadowLook struct {
	Agreed     int `json:"agreed" doc:"changes of the registry that the other tool made as hapsync would have made them"`
	Differed   int `json:"differed" doc:"changes that the other tool has not made as hapsync would have, and changes of its own"`
	Waiting    int `json:"waiting" doc:"changes that HAProxy does not have yet"`
	Unanswered int `json:"unanswered" doc:"those of which nothing shows that the other tool has seen them"`
	Different  int `json:"different" doc:"those that the other tool has not made, or otherwise"`
}

// A ServerCount counts all servers.
type ServerCount struct {
	Read bool `json:"read" doc:"they have been read: the numbers below hold"`
	Tally
}

// A HAProxyLook is HAProxy on one line.
type HAProxyLook struct {
	Up         bool   `json:"up" doc:"it answers"`
	Version    string `json:"version" doc:"its version; empty if it has not been read"`
	OldWorkers int    `json:"old_workers" doc:"processes that finish what they had before a reload"`
	Error      string `json:"error,omitempty" doc:"why it does not answer"`
}

// A RegistryLook is etcd on one line.
type RegistryLook struct {
	Up        bool     `json:"up" doc:"it is followed"`
	Endpoints []string `json:"endpoints" doc:"the URLs of '--endpoints'"`
	Prefix    string   `json:"prefix" doc:"the key below which the domains are"`
	Error     string   `json:"error,omitempty" doc:"why it is not followed"`
}

// A Hold is what a safeguard holds back.
type Hold struct {
	Reason  string    `json:"reason" doc:"why"`
	Since   time.Time `json:"since" doc:"since when"`
	Steps   int       `json:"steps" doc:"how many steps are held; '/api/v1/plan' lists them"`
	Command string    `json:"command" doc:"what confirms it, if it is meant so"`
}

func (st *state) overview() Overview {
	s := st.status
	out := Overview{
		Version: apiVersion, Name: st.subject.Name, Hapsync: st.subject.Hapsync, Ready: s.Ready(), Reasons: render.OneLineEach(s.Reasons),
		Lag: s.Lag().Seconds(), Seen: int64(s.Seen), Applied: int64(s.Applied), Filed: int64(s.Filed),
		Domains: s.Last.Domains, Hosts: s.Last.Hosts,
		HAProxy:  HAProxyLook{Up: s.HAProxyUp(), OldWorkers: s.Last.OldWorkers, Error: s.Down},
		Registry: RegistryLook{Up: s.RegistryUp(), Endpoints: st.subject.Endpoints, Prefix: st.snapshot.Prefix, Error: s.Lost},
		Today:    st.reloads,
		Servers:  ServerCount{Read: st.servers.unread() == nil},
	}
	if s.HAProxy != (haproxy.Version{}) {
		out.HAProxy.Version = s.HAProxy.String()
	}
	for _, n := range s.Counts.Reloads {
		out.Reloads += n
	}
	for _, d := range st.domains {
		out.Servers.merge(d.Tally)
	}
	if s.Held != "" {
		out.Hold = &Hold{registry.OneLine(s.Held), s.HeldSince, len(s.HeldPlan.Actions), st.subject.Confirm}
	}
	if sh := s.Shadow; sh != nil {
		out.Shadow = &ShadowLook{sh.Agreed, sh.Differed,
			sh.Count(sync.ShadowWaits), sh.Count(sync.ShadowUnanswered), sh.Count(sync.ShadowDiffers)}
	}
	list, total := st.attention()
	out.Attention, out.More = append([]Attention{}, list...), total-len(list)
	return out
}
