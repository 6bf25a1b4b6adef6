package mirror

import (
	"math"
	"testing"
	"time"

	"github.com/hapsync/hapsync/registry"
)

func TestChangedStaysBeforeAMoveUntilItIsOver(t *testing.T) {
	t.Parallel()
	m := New("/s", time.Second, math.MaxInt, registry.Addresses{})
	now := time.Now()
	put := func(revision int64, key, value string) registry.Revision {
		m.Apply([]Change{{KeyValue: registry.KeyValue{Key: "/s/a.abc.com/" + key, Value: value}, Revision: revision}}, now)
		return m.Update().Snapshot.Changed
	}
	put(1, "s1/ip", "10.0.0.1")
	for _, step := range []struct {
		revision int64
		key      string
		value    string
		want     registry.Revision
	}{
		{2, "s1/port", "80", 2},
		{3, "s1/port", "80", 3}, // no change, and a change all the same
		{4, "s1/ip", "10.0.0.1", 4},
		{5, "s1/ip", "10.0.0.2", 4},
		{6, "s2/ip", "10.0.0.3", 4},
		{7, "s1/port", "81", 7},
		{8, "s1/port", "82", 7},
	} {
		if got := put(step.revision, step.key, step.value); got != step.want {
			t.Errorf("after revision %d, Changed is %d, want %d", step.revision, got, step.want)
		}
	}
	m.Settle(now.Add(2 * time.Second))
	if got := m.Update().Snapshot.Changed; got != 8 {
		t.Errorf("when the time is up Changed is %d, want 8", got)
	}
	m.Become(Listing{Revision: 99, Keys: []registry.KeyValue{
		{Key: "/s/a.abc.com/s1/ip", Value: "10.0.0.2"}, {Key: "/s/a.abc.com/s1/port", Value: "82"}, {Key: "/s/a.abc.com/s2/ip", Value: "10.0.0.3"},
	}}, nil, now)
	if got := m.Update().Snapshot; got.Changed != 8 || got.Revision != 99 {
		t.Errorf("after a listing that says the same Changed is %d at revision %d, want 8 at 99", got.Changed, got.Revision)
	}
	m.Become(Listing{Revision: 120, Keys: []registry.KeyValue{{Key: "/s/a.abc.com/s1/ip", Value: "10.0.0.2"}}}, nil, now)
	if got := m.Update().Snapshot.Changed; got != 119 { // the deletion of a port is a move, too
		t.Errorf("after a listing that says something else Changed is %d, want 119", got)
	}
}
