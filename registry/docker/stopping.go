package docker

import "time"

// Signals remembers which signals were sent to containers. docker stop sends one, and the engine does not show otherwise
// that a container is about to end. The zero value is empty; it is for one goroutine.
type Signals struct {
	last map[sent]moment
}

type sent struct{ container, signal string }

// A moment is when a signal was sent. While the stream of events goes on, the container has not started since: its start
// would have been told. After a gap only the engine's clock tells which came first, and that may have jumped.
type moment struct {
	time   time.Time
	before bool // a gap
}

// Note takes note of an event.
func (s *Signals) Note(e Event) {
	if e.Start {
		s.drop(e.Container)
	}
	if e.Signal == "" {
		return
	}
	if s.last == nil {
		s.last = map[sent]moment{}
	}
	s.last[sent{e.Container, e.Signal}] = moment{time: e.Time}
}

// Gap takes note that events may have been missed.
func (s *Signals) Gap() {
	for key, at := range s.last {
		at.before = true
		s.last[key] = at
	}
}

func (s *Signals) drop(container string) {
	for key := range s.last {
		if key.container == container {
			delete(s.last, key)
		}
	}
}

// Stopping reports whether the container was told to end since it was started.
func (s *Signals) Stopping(c Container) bool {
	for _, signal := range []string{c.StopSignal, "9"} {
		if at, ok := s.last[sent{c.ID, signal}]; ok && (!at.before || at.time.After(c.Started)) {
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
