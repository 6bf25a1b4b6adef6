package containers

import "time"

// Signals remembers which signals were sent to containers, and when. docker stop sends one, and the engine does not
// show otherwise that a container is about to end. The zero value is empty; it is for one goroutine.
type Signals struct {
	last map[sent]time.Time
}

type sent struct{ container, signal string }

// Note takes note of an event.
func (s *Signals) Note(e Event) {
	if e.Signal == "" {
		return
	}
	if s.last == nil {
		s.last = map[sent]time.Time{}
	}
	s.last[sent{e.Container, e.Signal}] = e.Time
}

// Stopping reports whether the container was told to end since it was started.
func (s *Signals) Stopping(c Container) bool {
	for _, signal := range []string{c.StopSignal, "9"} {
		if at, ok := s.last[sent{c.ID, signal}]; ok && at.After(c.Started) {
			return true
		}
	}
	return false
}

// Forget drops what is known of containers that do not run.
func (s *Signals) Forget(running []Container) {
	ids := map[string]bool{}
	for _, c := range running {
		ids[c.ID] = true
	}
	for key := range s.last {
		if !ids[key.container] {
			delete(s.last, key)
		}
	}
}
