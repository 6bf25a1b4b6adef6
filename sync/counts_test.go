package sync

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/hapsync/hapsync/registry"
)

func TestATallyThatFollowsSaysWhatAWholeOneDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		was, is := drawSnapshot(t), drawSnapshot(t)
		for _, s := range []registry.Snapshot{was, is} {
			for i := range s.Domains {
				if rapid.Bool().Draw(t, "pending") {
					s.Domains[i].Pending = []registry.Pending{{Host: "s9", Missing: rapid.SampledFrom([]string{"ip", "port"}).Draw(t, "missing")}}
				}
			}
		}
		describe := func(t snapshotCounts) []any {
			return []any{t.domains, t.hosts, t.pending, slices.SortedFunc(slices.Values(t.drained), byServerKey)}
		}
		before := countSnapshot(was)
		kept := describe(before)
		exported := cmp.Options{cmpopts.EquateEmpty()}
		if diff := cmp.Diff(describe(countSnapshot(is)), describe(before.update(is, domains)), exported); diff != "" {
			t.Fatalf("-whole +followed:\n%s", diff)
		}
		if diff := cmp.Diff(kept, describe(before), exported); diff != "" {
			t.Fatalf("the one before was changed:\n%s", diff)
		}
	})
}
