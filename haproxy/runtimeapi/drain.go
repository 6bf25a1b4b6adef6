package runtimeapi

import (
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// Drains are the servers that were left to finish their sessions, and until when.
type Drains struct {
	timeout   time.Duration
	deadlines map[haproxy.ServerKey]time.Time
}

// NewDrains gives each server so long to finish its sessions.
func NewDrains(timeout time.Duration) Drains { return Drains{timeout: timeout} }

// Due are the changes that can be made without waiting: a removal whose server has sessions, and time left to finish
// them, is a mere drain, unless its host is dead; one beside a server that has not been checked yet is left for later, because that may be the
// one that is to take its place.
func (d *Drains) Due(changes []haproxy.Change, live View) []haproxy.Change {
	if d.deadlines == nil {
		d.deadlines = map[haproxy.ServerKey]time.Time{}
	}
	unready := unreadyBackends(live, changes)
	due := make([]haproxy.Change, 0, len(changes))
	for _, c := range changes {
		key := c.Key()
		remove, ok := c.(haproxy.RemoveServer)
		if !ok {
			delete(d.deadlines, key)
			due = append(due, c)
			continue
		}
		if remove.Dead {
			delete(d.deadlines, key)
			due = append(due, c)
			continue
		}
		if unready[key.Backend] {
			continue
		}
		deadline, known := d.deadlines[key]
		if !known {
			deadline = time.Now().Add(d.timeout)
			d.deadlines[key] = deadline
		}
		s, there := live[key]
		if !there || s.Sessions == 0 || s.State == haproxy.Maint || time.Now().After(deadline) {
			delete(d.deadlines, key)
			due = append(due, c)
			continue
		}
		if s.State != haproxy.Drain {
			drained := s.Server
			drained.State = haproxy.Drain
			due = append(due, haproxy.SetServer{Backend: remove.Backend, Have: s.Server, Want: drained})
		}
	}
	return due
}

// unreadyBackends are those with a server that takes no traffic yet, but may do so soon.
func unreadyBackends(live View, changes []haproxy.Change) map[string]bool {
	unready := map[string]bool{}
	for key, s := range live {
		unready[key.Backend] = unready[key.Backend] || s.Undecided
	}
	for _, c := range changes {
		if awaitsCheck(c) {
			unready[c.Key().Backend] = true
		}
	}
	return unready
}
