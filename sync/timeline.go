package sync

import (
	"cmp"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A managedObject is what a change is about: a server, the options of a backend, or a rule. It stays the same if the object changes or is
// removed.
type managedObject struct {
	kind     haproxy.Object
	key      haproxy.ServerKey
	frontend string // of a rule
}

func objectOf(c haproxy.Change) managedObject {
	o := managedObject{kind: c.Object(), key: c.Key()}
	switch ch := c.(type) {
	case haproxy.AddRule:
		o.frontend = ch.Rule.Frontend
	case haproxy.SetRule:
		o.frontend = ch.Want.Frontend
	case haproxy.RemoveRule:
		o.frontend = ch.Rule.Frontend
	}
	return o
}

// in returns the value of the object in a configuration; nil if it is not there.
func (o managedObject) in(c haproxy.Config) any {
	switch o.kind {
	case haproxy.ObjectRule:
		rule := haproxy.Rule{Frontend: o.frontend, Domain: o.key.Domain()}
		if i, ok := slices.BinarySearchFunc(c.Rules, rule, byRule); ok {
			return c.Rules[i]
		}
	case haproxy.ObjectBackend:
		if b, ok := haproxy.FindBackend(c.Backends, o.key.Backend); ok {
			return b.Options
		}
	case haproxy.ObjectServer:
		if s, ok := findServer(c, o.key); ok {
			return s
		}
	}
	return nil
}

func (o managedObject) compare(other managedObject) int {
	return cmp.Or(cmp.Compare(o.key.Domain(), other.key.Domain()), cmp.Compare(o.kind, other.kind),
		cmp.Compare(o.key.Name, other.key.Name), cmp.Compare(o.frontend, other.frontend))
}

// A timeline is what the registry asked for of one object, in order of time. It has at least one step; the last one is asked for now.
type timeline struct {
	steps []step
	// reached is the revision of the last step that HAProxy is known to have made, in each place; -1 for none.
	reached map[place]registry.Revision
}

// A place is where HAProxy has something.
type place string

const (
	inFile    place = "file"
	inProcess place = "process"
)

func newTimeline(value any) *timeline {
	return &timeline{steps: []step{{value: value, after: -1}}, reached: map[place]registry.Revision{inFile: -1, inProcess: -1}}
}

// A step is what the registry asks for from a revision on; 0 means before the first look.
type step struct {
	revision registry.Revision
	value    any
	at       time.Time // zero for revision 0
	after    int       // the number of looks before it
}

func (l *timeline) last() *step { return &l.steps[len(l.steps)-1] }

// advance records that HAProxy now has a value in a place. It returns the revision of the step with that value: the other tool has seen
// at least that. If several steps have the value, it is the first one after reached, or else the last. It is not known if the registry
// did not ask for the value.
func (l *timeline) advance(where place, value any) (read registry.Revision, known bool) {
	if l == nil {
		return 0, false
	}
	for _, s := range l.steps {
		if s.value != value {
			continue
		}
		if known && read > l.reached[where] {
			break
		}
		read, known = s.revision, true
	}
	l.reached[where] = max(l.reached[where], read)
	return read, known
}
