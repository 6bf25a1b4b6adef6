package main

import (
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// The shape of explain -o json. Fields are only ever added while the version stays.
type (
	explanationJSON struct {
		Version  int               `json:"version"`
		Domain   string            `json:"domain"`
		Registry registryJSON      `json:"registry"`
		HAProxy  haproxyJSON       `json:"haproxy"`
		Held     string            `json:"held,omitempty"`
		Ruled    bool              `json:"ruled"` // the process leads requests for the domain to its backend
		Hosts    []explainHostJSON `json:"hosts"`
	}
	explainHostJSON struct {
		Host       string         `json:"host"`
		Verdict    string         `json:"verdict"` // in rotation, not in rotation, unknown
		Why        string         `json:"why"`
		Keys       []registry.Key `json:"keys"`
		Registered *hostJSON      `json:"registered"` // null where the keys make no good host
		Missing    string         `json:"missing,omitempty"`
		Problems   []problemJSON  `json:"problems"`
		Plan       []string       `json:"plan"`
		Server     *serverJSON    `json:"server"` // null where HAProxy has none, or was not read
		Override   *overrideJSON  `json:"override"`
	}
	serverJSON struct {
		Status    string  `json:"status"`
		Address   string  `json:"address"`
		Weight    int     `json:"weight"`
		Cookie    string  `json:"cookie"`
		Sessions  int     `json:"sessions"`
		Backup    bool    `json:"backup,omitempty"`
		LastCheck string  `json:"last_check"`
		Seconds   float64 `json:"status_seconds"` // for how long it has been so
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
