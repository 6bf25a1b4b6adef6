package sync

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hapsync/hapsync/registry"
)

// sameRegistry returns a *HeldError if the registry may be another one than before: a new cluster, or one restored from a backup.
func sameRegistry(earlier, now registry.Snapshot) error {
	switch {
	case earlier.Revision == 0, earlier.Prefix != now.Prefix:
		return nil
	case earlier.ClusterID != now.ClusterID:
		return &HeldError{fmt.Sprintf("etcd is another cluster than before (id %x, was %x) and says something else", now.ClusterID, earlier.ClusterID)}
	case now.Revision < earlier.Revision:
		return &HeldError{fmt.Sprintf("etcd is back at revision %d, was at %d, and says something else", now.Revision, earlier.Revision)}
	}
	return nil
}

// checkRegistry finds out whether the registry is another one than the confirmed one. Revisions of another one say nothing about what
// HAProxy has.
func (a *Agent) checkRegistry(in inbox) {
	switched, now := in.switched.Revision > 0, in.snapshot
	if switched {
		now = in.switched // the snapshot may have grown past the confirmed revision
	}
	other := sameRegistry(a.memory.confirmed, now)
	known := a.memory.otherRegistry != nil && !switched
	if other != nil && !known {
		a.memory.otherRegistry, a.memory.otherCluster = other, now.ClusterID
		a.forgetEarlierConfirmation(now)
	}
	if switched || other != nil && !known {
		a.memory.forgetRevisions()
		a.mu.Lock()
		a.status.forgetRevisions()
		a.mu.Unlock()
	}
	switch {
	case a.memory.otherRegistry == nil:
	case a.memory.isBack(in.snapshot):
		a.memory.otherRegistry = nil
		a.alarms.whole = time.Now()
	default:
		a.readConfirmation(in.snapshot)
	}
}

// isBack reports whether etcd, after another cluster, is the confirmed one again: its endpoints were wrong for a while, for example.
func (m *memory) isBack(now registry.Snapshot) bool {
	return m.otherRegistry != nil && m.otherCluster != m.confirmed.ClusterID && sameRegistry(m.confirmed, now) == nil
}

// forgetEarlierConfirmation makes the agent ignore notes that a sync has written before the registry became another one. They name a
// registry that goes on from the confirmed one.
func (a *Agent) forgetEarlierConfirmation(now registry.Snapshot) {
	text, noted, err := a.notedRegistry()
	if err == nil && (sameRegistry(a.memory.confirmed, noted) == nil || !continues(noted, now)) {
		a.memory.notes = text
	}
}

// readConfirmation ends the hold of another registry if a sync by hand has confirmed that one in the notes. The registry may have changed
// since: the safeguards check that as any other change.
func (a *Agent) readConfirmation(now registry.Snapshot) {
	text, noted, err := a.notedRegistry()
	if err != nil || bytes.Equal(text, a.memory.notes) || !continues(noted, now) {
		return
	}
	a.memory.otherRegistry, a.memory.confirmed, a.memory.notes = nil, noted, text
	a.alarms.whole = time.Now()
	a.cfg.Logger.Info("hapsync sync has confirmed the registry", "cluster", fmt.Sprintf("%x", noted.ClusterID), "revision", noted.Revision)
}

// notedRegistry returns the notes, and the registry that they name; zero if they name none.
func (a *Agent) notedRegistry() (text []byte, noted registry.Snapshot, err error) {
	if text, err = a.cfg.File.Kept(); err != nil {
		return nil, registry.Snapshot{}, err
	}
	n, _ := readNotes(text) // notes that make no sense count as none
	return text, n.registry(), nil
}

// continues reports whether a registry goes on from the one that notes name.
func continues(noted, now registry.Snapshot) bool {
	return noted.Revision > 0 && noted.Prefix == now.Prefix && sameRegistry(noted, now) == nil
}

// confirm notes, for an agent that has left notes, that the registry of a sync by hand is the right one, if that was asked for or the
// agent knows another one.
func (p *pass) confirm() {
	text, err := p.cfg.File.Kept()
	if err != nil {
		return
	}
	n, err := readNotes(text)
	if err != nil || n.Version == 0 || !p.cfg.Policy.AllowMassRemoval && sameRegistry(n.registry(), p.snapshot) == nil {
		return
	}
	n.Prefix, n.ClusterID, n.Revision = p.snapshot.Prefix, p.snapshot.ClusterID, p.snapshot.Revision
	if text, err = json.Marshal(n); err == nil {
		err = p.cfg.File.Keep(text)
	}
	if err != nil {
		p.report.Warnings = append(p.report.Warnings, "the agent is not told that this is the right registry, and may hold its changes back; "+
			"run this command again when this is fixed: "+err.Error())
	}
}

// forgetRevisions forgets how far the registry is applied, because its revisions count from another start.
func (m *memory) forgetRevisions() {
	m.reached = position{}
	for _, d := range m.domains {
		for _, since := range []**position{&d.lacksSince, &d.mayLackSince} {
			if *since != nil {
				*since = &position{}
			}
		}
	}
}

// forgetRevisions does the same for the status. When HAProxy was last in sync stays true.
func (s *Status) forgetRevisions() {
	s.Applied, s.Filed, s.Has, s.reached, s.unapplied = 0, 0, 0, 0, nil
}
