package mirror

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hapsync/hapsync/registry"
)

// TestTheMirrorSharesAliasesAsAWholeReadingDoes puts and deletes keys of few domains that ask for few names.
func TestTheMirrorSharesAliasesAsAWholeReadingDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		for range rapid.IntRange(2, 8).Draw(t, "updates") {
			var changes []Change
			for range rapid.IntRange(1, 3).Draw(t, "revisions") {
				m.revision++
				key := "/p/" + rapid.SampledFrom([]string{"a.com", "b.com", "c.com"}).Draw(t, "domain") + "/" + rapid.SampledFrom([]string{"aliases", "aliases", "s"}).Draw(t, "key")
				kv := registry.KeyValue{Key: key, Value: "10.0.0.1:80", Created: registry.CutCreated("/p", key, m.revision)}
				if kv.Created > 0 {
					kv.Value = rapid.SampledFrom([]string{"x.com", "x.com *.com", "*.com b.com", "b.com", "a.com c.com x.com", "x.com,"}).Draw(t, "value")
				}
				had, there := m.keys[key]
				switch {
				case there && rapid.Bool().Draw(t, "delete"):
					delete(m.keys, key)
					changes = append(changes, Change{KeyValue: registry.KeyValue{Key: key}, Revision: m.revision, Deleted: true})
					continue
				case there:
					kv.Created = had.Created
				}
				m.keys[key] = kv
				changes = append(changes, Change{KeyValue: kv, Revision: m.revision})
			}
			if rapid.IntRange(0, 3).Draw(t, "listing") == 0 {
				m.Become(m.listing(), nil, time.Time{})
			} else {
				m.Apply(changes, time.Time{})
			}
			m.Settle(forever)
			m.check(t, m.Update())
		}
	})
}

func TestAKeyThatWasDeletedAndPutAgainUnseenIsAYoungerOne(t *testing.T) {
	t.Parallel()
	m := newModel()
	listed := func(revision, a, b registry.Revision) []string {
		m.Become(Listing{Cluster: 1, Revision: int64(revision), Keys: []registry.KeyValue{
			{Key: "/p/a.com/aliases", Value: "x.com", Created: a}, {Key: "/p/b.com/aliases", Value: "x.com", Created: b},
		}}, nil, time.Time{})
		var owners []string
		for _, d := range m.Update().Snapshot.Domains {
			if d.Options.Aliases == "x.com" {
				owners = append(owners, d.Name)
			}
		}
		return owners
	}
	if have := listed(2, 1, 2); !slices.Equal(have, []string{"a.com"}) {
		t.Errorf("at first it has %q", have)
	}
	if have := listed(4, 4, 2); !slices.Equal(have, []string{"b.com"}) {
		t.Errorf("then it has %q", have)
	}
}
