package sync

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// An Asker is the reason for a pass.
type Asker string

// The askers.
const (
	ByWatch  Asker = "watch"  // the registry has changed
	ByResync Asker = "resync" // everything is compared: at the start, from time to time, and after a failure
	ByDrift  Asker = "drift"  // HAProxy is not as it was left
	ByHand   Asker = "hand"   // an operator: hapsync sync, or SIGHUP
)

// An Entry is the record of a pass that did something, was held or failed. The process and the file have separate entries.
type Entry struct {
	At       time.Time         `json:"at" doc:"when it ended"`
	Seconds  float64           `json:"seconds" doc:"how long it took"`
	Revision registry.Revision `json:"revision" doc:"the registry's revision that it was about"`
	By       Asker             `json:"by" doc:"who asked: 'watch', 'resync', 'drift' or 'hand'"`
	Done     bool              `json:"done" doc:"the changes were made; if not, they were to be made, and 'held' or 'error' says why they were not"`
	Changes  []EntryChange     `json:"changes" doc:"the changes, in order"`
	More     int               `json:"more,omitempty" doc:"how many changes there are beyond these"`
	Rewrite  string            `json:"rewrite,omitempty" doc:"why the managed file was written as a whole"`
	Reload   []string          `json:"reload" doc:"reasons of the reload; empty if there was none"`
	Cause    ReloadCause       `json:"cause,omitempty" doc:"cause of the reload, if HAProxy was reloaded: 'domain', 'options', 'server' or 'refused'"`
	Held     string            `json:"held,omitempty" doc:"what a safeguard holds back: everything, or some removals if 'done' is true"`
	Error    string            `json:"error,omitempty" doc:"why it failed"`
	// Shadow is set by a Shadow, which makes no change.
	Shadow ShadowVerdict `json:"shadow,omitempty" doc:"in the memory of 'agent --shadow': 'would' (hapsync would make the changes), 'same' (the other tool has made them), 'unanswered', 'different' or 'settled'; absent otherwise"`
	// Counts are of all changes, by way.
	Counts map[Via]int `json:"counts" doc:"how many changes went by which way"`
}

// An EntryChange is a change of an entry.
type EntryChange struct {
	Via    Via            `json:"via" doc:"'runtime', 'transaction' or 'rewrite'"`
	Op     haproxy.Op     `json:"op" doc:"'add', 'set' or 'remove'"`
	Object haproxy.Object `json:"object" doc:"'backend', 'server' or 'rule'"`
	Domain string         `json:"domain" doc:"the domain that it is about"`
	Name   string         `json:"name,omitempty" doc:"the host of a server, the frontend of a rule"`
	Have   string         `json:"have,omitempty" doc:"what was there, as far as it differs"`
	Want   string         `json:"want,omitempty" doc:"what is there now, as far as it differs; 'draining' if a removed server has sessions yet"`
}

const (
	// maxChanges of an entry are kept. loggedChanges are logged, and shown with the last passes of a status.
	maxChanges    = 10_000
	loggedChanges = 50
)

// Entry is the record of the report. err is the error of the pass; leaving are the removed servers that are still there, sorted.
func (r Report) Entry(err error, took time.Duration, leaving ...haproxy.ServerKey) Entry {
	e := Entry{
		At: time.Now(), Seconds: took.Seconds(), Revision: r.Revision, By: r.By, Done: err == nil, Rewrite: r.Plan.Rewrite,
		Reload: append([]string{}, r.Plan.Reload...), Held: r.Held, Counts: map[Via]int{}, Changes: []EntryChange{},
	}
	if held, ok := errors.AsType[*HeldError](err); ok {
		e.Held = held.Reason
	} else {
		e.Error = text(err)
	}
	if r.Reloaded {
		e.Cause = r.cause()
		if len(e.Reload) == 0 {
			e.Reload = slices.Clone(r.Refused)
		}
	}
	for i, a := range r.Plan.Actions {
		e.Counts[a.Via]++
		if i >= maxChanges {
			e.More++
			continue
		}
		e.Changes = append(e.Changes, entryChange(a, leaving))
	}
	return e
}

func entryChange(a Action, leaving []haproxy.ServerKey) EntryChange {
	c := EntryChange{Via: a.Via, Op: a.Change.Op(), Object: a.Change.Object(), Domain: a.Change.Domain(), Name: a.Change.Key().Name}
	switch ch := a.Change.(type) {
	case haproxy.AddBackend:
		c.Want = ch.Options.String()
	case haproxy.SetBackend:
		c.Have, c.Want = ch.Have.String(), ch.Want.String()
	case haproxy.AddServer:
		c.Want = ch.Server.String()
	case haproxy.SetServer:
		c.Have, c.Want = ch.Difference()
	case haproxy.RemoveServer:
		c.Have = ch.Server.String()
		if _, stays := slices.BinarySearchFunc(leaving, ch.Key(), byServerKey); stays && a.Via == ViaRuntime {
			c.Want = "draining"
		}
	case haproxy.AddRule:
		c.Name = ch.Rule.Frontend
	case haproxy.SetRule:
		c.Name, c.Have, c.Want = ch.Want.Frontend, ch.Have.Hosts(), ch.Want.Hosts()
	case haproxy.RemoveRule:
		c.Name = ch.Rule.Frontend
	}
	return c
}

// Path names the object of the change as on the command line: domain/host, or the domain.
func (c EntryChange) Path() string {
	if c.Object == haproxy.ObjectServer {
		return c.Domain + "/" + c.Name
	}
	return c.Domain
}

// String is the change for people, without its way.
func (c EntryChange) String() string {
	sign := map[haproxy.Op]string{haproxy.OpAdd: "+", haproxy.OpSet: "~", haproxy.OpRemove: "-"}[c.Op]
	words := []string{sign, string(c.Object), c.Path()}
	switch {
	case c.Object == haproxy.ObjectRule:
		words = append(words, "in", c.Name)
	case c.Op == haproxy.OpSet:
		words = append(words, c.Have, "->", c.Want)
	case c.Want != "":
		words = append(words, c.Want)
	}
	return strings.Join(words, " ")
}

// Of is the entry with only the changes of one domain; not ok if there are none.
func (e Entry) Of(domain string) (part Entry, ok bool) {
	part = e
	part.Changes, part.More, part.Counts = []EntryChange{}, 0, map[Via]int{}
	for _, c := range e.Changes {
		if c.Domain == domain {
			part.Changes = append(part.Changes, c)
			part.Counts[c.Via]++
		}
	}
	return part, len(part.Changes) > 0
}

// First is the entry with at most n changes.
func (e Entry) First(n int) Entry {
	if left := len(e.Changes) - n; left > 0 {
		e.Changes, e.More = slices.Clone(e.Changes[:n]), e.More+left
	}
	return e
}

// Empty reports whether the entry says nothing.
func (e Entry) Empty() bool {
	return len(e.Counts) == 0 && e.Rewrite == "" && len(e.Reload) == 0 && e.Cause == "" && e.Held == "" && e.Error == ""
}

// Summary counts the changes by way.
func (e Entry) Summary() string {
	if e.Shadow != "" && e.Shadow != WouldMake {
		return string(e.Shadow)
	}
	return summary(e.Counts, e.Rewrite != "", len(e.Reload) > 0 || e.Cause != "")
}
