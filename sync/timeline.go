package sync

import (
	"cmp"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// A managedObject is what changes are about: a server, the options of a backend, or a rule. The value stays the same if the object changes
// or goes.
type managedObject struct {
	kind     haproxy.Object
	key      haproxy.ServerKey
	frontend string // of a rule
}

func objectOf(c haproxy.Change) managedObject {
	t := managedObject{kind: c.Object(), key: c.Key()}
	switch ch := c.(type) {
	case haproxy.AddRule:
		t.frontend = ch.Rule.Frontend
	case haproxy.SetRule:
		t.frontend = ch.Want.Frontend
	case haproxy.RemoveRule:
		t.frontend = ch.Rule.Frontend
	}
	return t
}

// in is what a configuration has in the object; nil if it has none.
func (t managedObject) in(c haproxy.Config) any {
	if t.kind == haproxy.ObjectRule {
		rule := haproxy.Rule{Frontend: t.frontend, Domain: t.key.Domain()}
		if i, ok := slices.BinarySearchFunc(c.Rules, rule, byRule); ok {
			return c.Rules[i]
		}
		return nil
	}
	b, ok := haproxy.FindBackend(c.Backends, t.key.Backend)
	switch {
	case !ok:
		return nil
	case t.kind == haproxy.ObjectBackend:
		return b.Options
	}
	if s, ok := haproxy.FindServer(b, t.key.Name); ok {
		return s
	}
	return nil
}

func (t managedObject) compare(other managedObject) int {
	return cmp.Or(cmp.Compare(t.key.Domain(), other.key.Domain()), cmp.Compare(t.kind, other.kind),
		cmp.Compare(t.key.Name, other.key.Name), cmp.Compare(t.frontend, other.frontend))
}

// A timeline is what was asked for of an object, one after the other; the last is asked for now. There is at least one step.
type timeline struct {
	steps []step
	// reached are the revisions of the steps that HAProxy's file and its process are known to have come to; -1 for none.
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

// A step is what is asked for from a revision on; 0 stands for before the first look.
type step struct {
	revision registry.Revision
	value    any
	at       time.Time // zero for revision 0
	after    int       // the number of looks that came before
}

func (l *timeline) last() *step { return &l.steps[len(l.steps)-1] }

// advance records that HAProxy has come to have a value, and returns the revision that the other tool has seen at least; not known if the
// value was not asked for. Of several steps with the value it is the first one after that which HAProxy had.
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
