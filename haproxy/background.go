package haproxy

import "time"

// due are the changes that can be made without waiting: a removal whose server has sessions, and time left to finish
// them, is a mere drain, unless its host is dead; one beside a server that has not been checked yet is left for later, because that may be the
// one that is to take its place.
func (h *Instance) due(changes []Change, live view) []Change {
	if h.draining == nil {
		h.draining = map[serverKey]time.Time{}
	}
	unready := unreadyBackends(live, changes)
	due := make([]Change, 0, len(changes))
	for _, c := range changes {
		key := keyOf(c)
		remove, ok := c.(RemoveServer)
		if !ok {
			delete(h.draining, key)
			due = append(due, c)
			continue
		}
		if remove.Dead {
			delete(h.draining, key)
			due = append(due, c)
			continue
		}
		if unready[key.backend] {
			continue
		}
		deadline, known := h.draining[key]
		if !known {
			deadline = time.Now().Add(h.settings.DrainTimeout)
			h.draining[key] = deadline
		}
		s, there := live[key]
		if !there || s.Sessions == 0 || s.State == Maint || time.Now().After(deadline) {
			delete(h.draining, key)
			due = append(due, c)
			continue
		}
		if s.State != Drain {
			drained := s.Server
			drained.State = Drain
			due = append(due, SetServer{Backend: remove.Backend, Have: s.Server, Want: drained})
		}
	}
	return due
}

// unreadyBackends are those with a server that takes no traffic yet, but may do so soon.
func unreadyBackends(live view, changes []Change) map[string]bool {
	unready := map[string]bool{}
	for key, s := range live {
		unready[key.backend] = unready[key.backend] || s.Undecided
	}
	for _, c := range changes {
		if add, ok := c.(AddServer); ok && add.Server.Check && add.Server.State == Ready {
			unready[add.Backend] = true
		}
	}
	return unready
}
