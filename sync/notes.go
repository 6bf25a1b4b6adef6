package sync

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// notes are the part of an agent's memory that outlives it: which registry it followed, for the safeguard against another one, and the
// overrides of operators.
type notes struct {
	Version   int
	Prefix    string
	ClusterID uint64
	Revision  registry.Revision
	Overrides []notedOverride
}

type notedOverride struct {
	Backend, Server string
	override
}

const notesVersion = 1

func (m *memory) newNotes() notes {
	n := notes{Version: notesVersion, Prefix: m.confirmed.Prefix, ClusterID: m.confirmed.ClusterID, Revision: m.confirmed.Revision}
	for name, set := range m.overrides {
		n.Overrides = append(n.Overrides, notedOverride{name.Backend, name.Name, set})
	}
	slices.SortFunc(n.Overrides, func(a, b notedOverride) int {
		return cmp.Or(cmp.Compare(a.Backend, b.Backend), cmp.Compare(a.Server, b.Server))
	})
	return n
}

// readNotes parses notes; those of another version count as none.
func readNotes(text []byte) (n notes, err error) {
	if len(text) == 0 {
		return notes{}, nil
	}
	if err = json.Unmarshal(text, &n); err != nil || n.Version != notesVersion {
		return notes{}, err
	}
	return n, nil
}

// registry is what the notes say of the registry.
func (n notes) registry() registry.Snapshot {
	return registry.Snapshot{Prefix: n.Prefix, ClusterID: n.ClusterID, Revision: n.Revision}
}

// notedOverrides are the overrides in notes; none if the notes cannot be read.
func notedOverrides(text []byte) overrides {
	o := overrides{}
	n, err := readNotes(text)
	if err != nil {
		return o
	}
	for _, k := range n.Overrides {
		o[haproxy.ServerKey{Backend: k.Backend, Name: k.Server}] = k.override
	}
	return o
}

// loadNotes takes over the notes of an earlier agent. Notes that cannot be read count as none.
func (a *Agent) loadNotes() {
	text, err := a.cfg.File.Kept()
	var n notes
	if err == nil {
		n, err = readNotes(text)
	}
	if err != nil {
		a.cfg.Logger.Warn("the notes of an earlier agent cannot be read", "error", err)
		return
	}
	if n.Version == 0 {
		return
	}
	a.memory.notes = text
	a.memory.confirmed = n.registry()
	a.memory.overrides = notedOverrides(text)
}

// notesDelay is how long the noted revision may lag behind, so that one write does for many changes.
const notesDelay = time.Second

// savedNotes are those that this agent has written last.
type savedNotes struct {
	notes
	at time.Time
}

// saveNotes writes the notes for the next agent if they have changed. If only the revision has, it may set an alarm for that.
func (a *Agent) saveNotes() {
	n, was := a.memory.newNotes(), a.memory.saved
	next := was.at.Add(notesDelay)
	if n.Prefix == was.Prefix && n.ClusterID == was.ClusterID && slices.Equal(n.Overrides, was.Overrides) && time.Now().Before(next) {
		a.alarms.notes = next
		return
	}
	a.writeNotes()
}

func (a *Agent) writeNotes() {
	a.alarms.notes = time.Time{}
	if a.memory.otherRegistry != nil {
		return // a sync by hand may confirm it in the notes
	}
	n := a.memory.newNotes()
	text, err := json.Marshal(n)
	if err == nil && bytes.Equal(text, a.memory.notes) {
		return
	}
	if err == nil {
		err = a.cfg.File.Keep(text)
	}
	if err != nil {
		a.cfg.Logger.Debug("the notes for the next agent are not written", "error", err) // a full disk has been logged
		return
	}
	a.memory.notes, a.memory.saved = text, savedNotes{n, time.Now()}
}
