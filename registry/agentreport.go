package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// DefaultReportPrefix is the prefix of the agents' reports.
const DefaultReportPrefix = "/hapsync/agents"

// reportVersion is raised when a field of an AgentReport changes its meaning or is removed.
const reportVersion = 1

// An AgentReport is an agent's report about itself, as JSON in one key.
type AgentReport struct {
	// Name is the last part of the key.
	Name    string `json:"-"`
	Lease   int64  `json:"-"` // of the key; 0 for none
	Version int    `json:"version" doc:"1"`
	// Time is when the report was made, by the clock of the agent's machine. Other clocks may differ. As long as the key
	// exists, the report is current.
	Time time.Time `json:"time" doc:"when the report was made, by the clock of the agent's machine"`
	// Prefix of the registry that the agent follows.
	Prefix string `json:"prefix" doc:"the prefix that the agent follows"`
	// Heard is the last change below the prefix that the agent knows; Applied is the last one that its HAProxy has.
	Heard   Revision `json:"heard" doc:"the last change that it has heard of"`
	Applied Revision `json:"applied" doc:"the last change that its HAProxy has"`
	// Reached is the last change that is applied to all domains except those in Waiting, if it is later than Applied. Those
	// domains keep Applied back. WaitingMore counts the ones that Waiting does not name.
	Reached     Revision `json:"reached,omitempty" doc:"the last change that is dealt with, but for the domains that 'waiting' names, if that is later than 'applied'"`
	Waiting     []string `json:"waiting,omitempty" doc:"domains that keep 'applied' back: they wait for the file or a reload, or are held"`
	WaitingMore int      `json:"waiting_more,omitempty" doc:"how many it does not name"`
	// AppliedAt is when Applied was reached, by the same clock as Time; zero if nothing is applied yet.
	AppliedAt time.Time `json:"applied_at,omitzero" doc:"when it did, by the same clock"`
	// BehindSeconds is for how long a known change had not been applied when the report was made; 0 if all were. It is
	// measured, and stays right if a clock jumps.
	BehindSeconds float64 `json:"behind_seconds,omitempty" doc:"for how long something had not been applied when the report was made"`
	// Held is what a safeguard holds back, Reason the first reason why the agent is not ready; empty if there is none.
	Held   string `json:"held,omitempty" doc:"what a safeguard holds back"`
	Reason string `json:"reason,omitempty" doc:"the first reason why the agent is not ready"`
	// Problems counts the keys and domains that are left out. LeftOut names some of them, as "domain" or "domain/host";
	// LeftOutMore counts the rest.
	Problems    int      `json:"problems" doc:"how many keys and domains are left out"`
	LeftOut     []string `json:"left_out,omitempty" doc:"some of them, as 'domain' or 'domain/host'"`
	LeftOutMore int      `json:"left_out_more,omitempty" doc:"how many it does not name"`
	// Pending are some of the half-written hosts, as "domain/host: what is missing"; PendingMore counts the rest.
	Pending     []string `json:"pending,omitempty" doc:"some of the half-written hosts, as 'domain/host: what is missing'"`
	PendingMore int      `json:"pending_more,omitempty" doc:"how many it does not name"`
	// Leaving are the servers in drain or maint, and removed servers, that still have sessions. More counts those that are not
	// listed. Unknown says why the sessions could not be counted; empty if they were.
	Leaving []Leaving `json:"leaving,omitempty" doc:"servers in drain or maint, and removed ones, that still have sessions"`
	More    int       `json:"more,omitempty" doc:"how many of those it does not list"`
	Unknown string    `json:"unknown,omitempty" doc:"why the sessions could not be counted"`
	// HAProxy and Hapsync are versions.
	HAProxy string `json:"haproxy" doc:"version of HAProxy"`
	Hapsync string `json:"hapsync" doc:"version of hapsync"`
}

// A Leaving server gets no new clients, but still has sessions.
type Leaving struct {
	Domain   string `json:"domain" doc:"the domain"`
	Host     string `json:"host" doc:"the host"`
	Sessions int    `json:"sessions" doc:"sessions as of the report's time"`
}

// Same reports whether two reports are equal, apart from times and numbers of sessions.
func (r AgentReport) Same(other AgentReport) bool {
	sameHost := func(a, b Leaving) bool { return a.Domain == b.Domain && a.Host == b.Host }
	return r.Prefix == other.Prefix && r.HAProxy == other.HAProxy && r.Hapsync == other.Hapsync &&
		r.Heard == other.Heard && r.Applied == other.Applied && r.Reached == other.Reached &&
		r.Held == other.Held && r.Reason == other.Reason && r.Problems == other.Problems &&
		slices.Equal(r.LeftOut, other.LeftOut) && r.LeftOutMore == other.LeftOutMore &&
		slices.Equal(r.Pending, other.Pending) && r.PendingMore == other.PendingMore &&
		slices.Equal(r.Waiting, other.Waiting) && r.WaitingMore == other.WaitingMore &&
		slices.EqualFunc(r.Leaving, other.Leaving, sameHost) && r.More == other.More && r.Unknown == other.Unknown
}

const (
	maxReport = 256 << 10 // bytes
	maxBehind = 1e9       // seconds; a time.Duration can hold it
)

// Encode returns the value of the report's key.
func (r AgentReport) Encode() (string, error) {
	r.Version = reportVersion
	text, err := json.Marshal(r)
	return string(text), err
}

// DecodeReport reads the report of the agent with that name. Anybody may have written it, so unprintable bytes in it are
// escaped.
func DecodeReport(name string, value []byte) (AgentReport, error) {
	if err := CheckHost(name); err != nil {
		return AgentReport{}, errors.New("the name of an agent has letters, digits, \"_\", \".\" and \"-\", 64 at most")
	}
	if len(value) > maxReport {
		return AgentReport{}, fmt.Errorf("it has %d bytes: no report has more than %d", len(value), maxReport)
	}
	var r AgentReport
	if err := json.Unmarshal(value, &r); err != nil {
		return AgentReport{}, fmt.Errorf("it is no report of an agent's: %s", OneLine(err.Error()))
	}
	if r.Version != reportVersion {
		return AgentReport{}, fmt.Errorf("it is a report of version %d, and this hapsync reads version %d: use the same hapsync everywhere",
			r.Version, reportVersion)
	}
	r.Name = name
	r.BehindSeconds = min(max(r.BehindSeconds, 0), maxBehind)
	for _, text := range []*string{&r.Prefix, &r.Held, &r.Reason, &r.Unknown, &r.HAProxy, &r.Hapsync} {
		*text = OneLine(*text)
	}
	for _, list := range [][]string{r.LeftOut, r.Pending, r.Waiting} {
		for i := range list {
			list[i] = OneLine(list[i])
		}
	}
	for i := range r.Leaving {
		r.Leaving[i].Domain, r.Leaving[i].Host = OneLine(r.Leaving[i].Domain), OneLine(r.Leaving[i].Host)
	}
	return r, nil
}

// A Roster is the agents that are alive: the key of each agent ends with its lease.
type Roster struct {
	// Agents follow the client's prefix; they are sorted by name. Others counts the agents that follow another prefix.
	Agents []AgentReport
	Others int
	// Problems are keys that are not a report.
	Problems []Problem
	// Unreadable has a line for each living agent whose report cannot be read. What such an agent has applied is not known.
	Unreadable []string
}
