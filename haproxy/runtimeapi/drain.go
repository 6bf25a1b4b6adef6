package runtimeapi

import (
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// Drains are the servers that wait to be removed, or that finish their sessions, with the start of each.
type Drains struct {
	timeout time.Duration
	leaving map[haproxy.ServerKey]leaving
}

// A leaving server first waits for checks of other servers, and then finishes its sessions.
type leaving struct {
	since    time.Time
	draining bool
}

// NewDrains gives each server the timeout to finish its sessions.
func NewDrains(timeout time.Duration) Drains {
	return Drains{timeout: timeout, leaving: map[haproxy.ServerKey]leaving{}}
}

// Due are the changes that can be made without waiting. The removal of a server that still has sessions and time becomes a drain, unless
// its host is dead. If another server of the backend has not been checked yet, the removal has to wait: that one may be its replacement.
// But a host that answers no check delays the removal only as long as sessions do. current says whether live is as HAProxy is now: if
// not, the sessions are not known.
func (d *Drains) Due(changes []haproxy.Change, live View, current bool) []haproxy.Change {
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
		if !there || current && s.Sessions == 0 || s.State == haproxy.Maint || time.Since(l.since) > d.timeout {
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

// NeedCurrent reports whether Due needs the current state of HAProxy for some changes: one of the servers is draining already, or a server
// that may be its replacement was not checked when live was read.
func (d *Drains) NeedCurrent(changes []haproxy.Change, live View) bool {
	unready := unreadyBackends(live, changes)
	return slices.ContainsFunc(changes, func(c haproxy.Change) bool {
		_, known := d.leaving[c.Key()]
		return c.Op() == haproxy.OpRemove && (known || unready[c.Key().Backend])
	})
}

// unreadyBackends are the backends with a server that stays, and gets no traffic yet, but may soon.
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
