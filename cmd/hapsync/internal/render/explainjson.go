package render

import (
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// The shape of explain -o json. Fields are only ever added while the version stays.
type (
	explanationJSON struct {
		Version  int               `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
		Domain   string            `json:"domain" doc:"the domain that was asked for"`
		Registry registryJSON      `json:"registry" doc:"whether etcd could be read"`
		HAProxy  haproxyJSON       `json:"haproxy" doc:"whether HAProxy could be read"`
		Held     string            `json:"held,omitempty" doc:"what a safeguard would hold back"`
		Ruled    bool              `json:"ruled" doc:"HAProxy's process leads requests for the domain to its backend"`
		Hosts    []explainHostJSON `json:"hosts" doc:"the hosts of the domain, or the one that was asked for"`
	}
	explainHostJSON struct {
		Host       string         `json:"host" doc:"name of the host"`
		Verdict    string         `json:"verdict" doc:"'in rotation', 'not in rotation' or 'unknown'"`
		Why        string         `json:"why" doc:"the answer in a sentence"`
		Keys       []registry.Key `json:"keys" doc:"its keys in etcd"`
		Registered *hostJSON      `json:"registered" doc:"what the keys say; null if they make no good host"`
		Missing    string         `json:"missing,omitempty" doc:"the key that is not there yet"`
		Problems   []problemJSON  `json:"problems" doc:"keys that cannot be used"`
		Plan       []string       `json:"plan" doc:"what 'hapsync sync' would do, a line each"`
		Server     *serverJSON    `json:"server" doc:"the server in the running process; null if there is none, or it was not read"`
		Override   *overrideJSON  `json:"override" doc:"what an operator set on HAProxy's socket; null if nothing"`
	}
	serverJSON struct {
		Status    string  `json:"status" doc:"as HAProxy says it: 'UP', 'DOWN', 'DRAIN', 'MAINT', ..."`
		Address   string  `json:"address" doc:"address and port"`
		Weight    int     `json:"weight" doc:"weight"`
		Cookie    string  `json:"cookie" doc:"value of its cookie"`
		Sessions  int     `json:"sessions" doc:"sessions right now"`
		Backup    bool    `json:"backup,omitempty" doc:"used only when all others are down"`
		LastCheck string  `json:"last_check" doc:"result of the last health check"`
		Seconds   float64 `json:"status_seconds" doc:"for how long the status has been so"`
	}
)

func explanationToJSON(e sync.Explanation) explanationJSON {
	out := explanationJSON{Version: 1, Domain: e.Domain, Held: e.Held, Ruled: e.Ruled, Hosts: []explainHostJSON{}}
	out.Registry = registryJSON{Up: e.Registry == nil, Revision: e.Revision}
	if e.Registry != nil {
		out.Registry.Error = e.Registry.Error()
	}
	out.HAProxy.Up = e.HAProxy == nil
	if e.HAProxy != nil {
		out.HAProxy.Error = e.HAProxy.Error()
	}
	for _, h := range e.Hosts {
		out.Hosts = append(out.Hosts, explainHostToJSON(h))
	}
	return out
}

func explainHostToJSON(h sync.ExplainedHost) explainHostJSON {
	out := explainHostJSON{Host: h.Host, Verdict: h.Verdict, Why: h.Why, Keys: h.Keys, Missing: h.Missing, Problems: []problemJSON{}, Plan: h.Plan}
	if h.Registered != nil {
		r := hostToJSON(*h.Registered)
		out.Registered = &r
	}
	for _, p := range h.Problems {
		out.Problems = append(out.Problems, problemJSON(p))
	}
	if s := h.Server; s != nil {
		out.Server = &serverJSON{s.Status, s.Addr, s.Weight, s.Cookie, s.Sessions, s.Backup, s.LastCheck(), s.Since.Seconds()}
	}
	if h.Override != nil {
		o := overrideJSON(*h.Override)
		out.Override = &o
	}
	return out
}
