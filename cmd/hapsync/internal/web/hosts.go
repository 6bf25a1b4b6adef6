package web

import (
	"cmp"
	"slices"
	"time"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// A DomainDetail is a domain with its hosts.
type DomainDetail struct {
	Version int `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
	Domain
	HAProxy  string             `json:"haproxy_error,omitempty" doc:"why HAProxy's servers could not be read; absent if they were"`
	List     []Host             `json:"host_list" doc:"the hosts that the registry or HAProxy has, by name"`
	Problems []registry.Problem `json:"problem_list" doc:"keys of it that cannot be used, or are left alone"`
}

// A Host is a host with its server.
type Host struct {
	Name    string `json:"host" doc:"name of the host"`
	Level   Level  `json:"level" doc:"'ok', 'notice' or 'trouble'"`
	Verdict string `json:"verdict" doc:"'in rotation', 'not in rotation' or 'unknown'"`
	Why     string `json:"why" doc:"the answer in a sentence"`
	// The next fields are the registry's.
	Registered bool   `json:"registered" doc:"the keys make a good host"`
	Address    string `json:"address,omitempty" doc:"address and port in the registry, or, without a good host there, in HAProxy"`
	State      string `json:"state,omitempty" doc:"'ready', 'drain' or 'maint' in the registry; absent without a good host there"`
	Missing    string `json:"missing,omitempty" doc:"the key that is not there yet"`
	Override   string `json:"override,omitempty" doc:"what an operator set on HAProxy's socket; absent if nothing"`
	Lease      Lease  `json:"lease" doc:"what its keys' lives depend on, 5 seconds old at most"`
	// The rest is HAProxy's.
	Running  bool    `json:"running" doc:"HAProxy has a server of it: the fields below hold"`
	Server   string  `json:"server_address,omitempty" doc:"address and port in HAProxy, if they are others than in the registry"`
	Status   string  `json:"status,omitempty" doc:"as HAProxy says it: 'UP', 'DOWN', 'DRAIN', 'MAINT', ..."`
	Seconds  float64 `json:"status_seconds" doc:"for how long the status has been so"`
	Weight   int     `json:"weight" doc:"weight"`
	Backup   bool    `json:"backup,omitempty" doc:"used only when all others are down"`
	Sessions int     `json:"sessions" doc:"sessions right now"`
	Last     string  `json:"last_check,omitempty" doc:"result of the last health check"`
	// Left is in how many seconds the sessions of a removed server are ended; 0 for other servers.
	Left float64 `json:"forced_seconds,omitempty" doc:"in how many seconds the sessions of a removed server are ended; absent for others"`
}

// A Lease is the lease of a host's keys.
type Lease struct {
	Read bool    `json:"read" doc:"it has been read: the fields below hold"`
	Name string  `json:"name,omitempty" doc:"name of the lease that ends first, as etcdctl has it; absent for keys without one, which stay until someone deletes them"`
	Left float64 `json:"seconds" doc:"in how many seconds it ends unless it is kept alive"`
}

// leased sets the lease, if it is known.
func (h *Host) leased(leases map[string]registry.Key) {
	if k, there := leases[h.Name]; there {
		h.Lease = Lease{Read: true, Name: k.Lease, Left: k.Left.Seconds()}
	}
}

// detail is one domain; ok is false if neither the registry nor HAProxy has it.
func (st *state) detail(name string) (detail DomainDetail, ok bool) {
	i, there := slices.BinarySearchFunc(st.domains, name, func(d Domain, name string) int { return cmp.Compare(d.Name, name) })
	detail = DomainDetail{
		Version: apiVersion, Domain: Domain{Name: name, Level: LevelTrouble, Why: "not in the registry"},
		List: []Host{}, Problems: []registry.Problem{},
	}
	if there {
		detail.Domain = st.domains[i]
	}
	for _, p := range st.status.Last.Problems {
		if p.Domain == name {
			detail.Problems = append(detail.Problems, p)
		}
	}
	found, _ := st.servers.of(name)
	e := st.subject.Explain(name, found, st.servers.unread())
	if e.HAProxy != nil {
		detail.HAProxy = e.HAProxy.Error()
	}
	for _, h := range e.Hosts {
		detail.List = append(detail.List, st.host(h))
	}
	return detail, there || len(detail.List)+len(detail.Problems) > 0
}

// host is a host for the page.
func (st *state) host(h sync.ExplainedHost) Host {
	out := Host{Name: h.Host, Verdict: h.Verdict, Why: h.Why, Missing: h.Missing, Level: LevelTrouble}
	if r := h.Registered; r != nil {
		out.Registered, out.Address, out.State, out.Weight, out.Backup = true, r.Addr.String(), string(r.State), r.Weight, r.Backup
	}
	if o := h.Override; o != nil {
		out.Override = o.Live
	}
	if s := h.Server; s != nil {
		out.Running, out.Status, out.Seconds, out.Weight, out.Backup = true, s.Status, s.Since.Seconds(), s.Weight, s.Backup
		out.Sessions, out.Last = s.Sessions, s.LastCheck()
		if out.Address = cmp.Or(out.Address, s.Addr); out.Address != s.Addr {
			out.Server = s.Addr
		}
		if !out.Registered && len(h.Problems) == 0 && h.Missing == "" {
			out.Left = max(0, st.subject.DrainTimeout-s.Since).Round(time.Second).Seconds()
		}
	}
	wanted := out.State == string(registry.Drain) || out.State == string(registry.Maint)
	switch {
	case h.Verdict == sync.InRotation && out.Override == "" && out.Server == "" && out.Registered:
		out.Level = LevelOK
	case h.Verdict != sync.NotInRotation, wanted, h.Missing != "", out.Left > 0, out.Override != "":
		out.Level = LevelNotice
	}
	return out
}
