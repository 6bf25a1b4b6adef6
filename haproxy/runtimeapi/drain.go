package runtimeapi

import (
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// Drains are the servers that wait to be removed, or were left to finish their sessions, and since when.
type Drains struct {
	timeout time.Duration
	leaving map[haproxy.ServerKey]leaving
}

// A leaving server waits for others to be checked, and then finishes its sessions.
type leaving struct {
	since    time.Time
	draining bool
}

// NewDrains gives each server so long to finish its sessions.
func NewDrains(timeout time.Duration) Drains {
	return Drains{timeout: timeout, leaving: map[haproxy.ServerKey]leaving{}}
}

// Due are the changes that can be made without waiting: a removal whose server has sessions, and time left to finish
// them, is a mere drain, unless its host is dead; one beside a server that has not been checked yet is left for later, because that may be the
// one that is to take its place. A host that answers no check holds it up only as long as sessions do.
func (d *Drains) Due(changes []haproxy.Change, live View) []haproxy.Change {
	unready := unreadyBackends(live, changes)
	due := make([]haproxy.Change, 0, len(changes))
	for _, c := range changes {
		key := c.Key()
		remove, ok := c.(haproxy.RemoveServer)
		if !ok || remove.Dead {
			delete(d.leaving, key)
			due = append(due, c)
			continue
		}
		l, known := d.leaving[key]
		if !known {
			l.since = time.Now()
		}
		if !l.draining {
			if unready[key.Backend] && time.Since(l.since) < max(d.timeout, checkWait) {
				d.leaving[key] = l
				continue
			}
			l = leaving{since: time.Now(), draining: true}
		}
		s, there := live[key]
		if !there || s.Sessions == 0 || s.State == haproxy.Maint || time.Since(l.since) > d.timeout {
			delete(d.leaving, key)
			due = append(due, c)
			continue
		}
		d.leaving[key] = l
		if s.State != haproxy.Drain {
			drained := s.Server
			drained.State = haproxy.Drain
			due = append(due, haproxy.SetServer{Backend: remove.Backend, Have: s.Server, Want: drained})
		}
	}
	return due
}

// unreadyBackends are those with a server that takes no traffic yet, but may do so soon, and that stays.
func unreadyBackends(live View, changes []haproxy.Change) map[string]bool {
	unready, removed := map[string]bool{}, map[haproxy.ServerKey]bool{}
	for _, c := range changes {
		if c.Op() == haproxy.OpRemove {
			removed[c.Key()] = true
		}
		if awaitsCheck(c) {
			unready[c.Key().Backend] = true
		}
	}
	for key, s := range live {
		if s.Undecided && !removed[key] {
			unready[key.Backend] = true
		}
	}
	return unready
}
