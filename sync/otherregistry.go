package sync

import (
	"fmt"

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
		a.memory.otherRegistry = other
	}
	if switched || other != nil && !known {
		a.memory.forgetRevisions()
		a.mu.Lock()
		a.status.forgetRevisions()
		a.mu.Unlock()
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
func (s *Status) forgetRevisions() { s.Applied, s.Filed, s.Has, s.reached = 0, 0, 0, 0 }
