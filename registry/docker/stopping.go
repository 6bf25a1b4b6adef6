package docker

import "time"

// Signals remembers the signals that were sent to containers. docker stop sends one, and the engine shows in no other way that
// a container is being stopped. The zero value is empty. It is not safe for concurrent use.
type Signals struct {
	last map[sent]moment
}

type sent struct{ container, signal string }

// A moment is when a signal was sent. As long as the stream of events is unbroken, the container has not started since: its
// start would be an event. After a gap only the engine's clock tells which came first, and that clock may have jumped.
type moment struct {
	time   time.Time
	before bool // before a gap in the stream
}

// Note notes an event.
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

// Gap notes that events may have been missed.
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

// Stopping reports whether the container got a signal to stop since it was started.
func (s *Signals) Stopping(c Container) bool {
	for _, signal := range []string{c.StopSignal, "9"} {
		if at, ok := s.last[sent{c.ID, signal}]; ok && (!at.before || at.time.After(c.Started)) {
			return true
		}
	}
	return false
}

// Forget drops the signals of containers that do not run.
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
