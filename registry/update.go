package registry

import "time"

// An Update is what Follow tells: the registry as it is now, and what to look at again.
type Update struct {
	// Snapshot is whole. It is not written to any more: it may be kept, and shared. A Snapshot of
	// another cluster, or of a lower revision than the one before, comes from an etcd that was
	// re-created or restored: whether to follow it is for the caller to decide.
	Snapshot Snapshot
	// Changed names the domains that differ from the update before, sorted; nil with All. It may be
	// empty: then only Revision, Keys or Problems differ.
	Changed []string
	// Heard is when etcd told of the first of the changes of each domain of Changed: a host that waits for its other key may have
	// waited since then. The zero time stands for a change that a listing found.
	Heard map[string]time.Time
	// All says that everything is to be looked at: at the start, after Relist, and when etcd is back.
	All bool
	// Expired has "domain/host" of the hosts that are no more because their lease ended: they died, and
	// need no drain. A caller that takes out a host that lives must delete its keys before its lease, and
	// leave some time between the two.
	Expired []string
}
