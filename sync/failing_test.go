package sync

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/hapsync/hapsync/haproxy"
)

// A failing is a fake of which any call may fail: before it has had an effect, or after it, as where the answer is lost.
type failing struct {
	*fake
	fails func() failure
}

type failure int

const (
	none failure = iota
	before
	after
)

var errLost = errors.New("the connection is lost")

// try makes a call fail or not.
func (f failing) try(call func() error) error {
	switch f.fails() {
	case before:
		return errLost
	case after:
		return errors.Join(call(), errLost)
	}
	return call()
}

func (f failing) State(ctx context.Context, scope haproxy.Scope) (st haproxy.State, err error) {
	err = f.try(func() (err error) {
		st, err = f.fake.State(ctx, scope)
		return err
	})
	return st, err
}

func (f failing) Write(ctx context.Context, e haproxy.Edit) error {
	return f.try(func() error { return f.fake.Write(ctx, e) })
}

func (f failing) Reload(ctx context.Context) error {
	return f.try(func() error { return f.fake.Reload(ctx) })
}

// Run may lose the connection between any two commands, too.
func (f failing) Run(ctx context.Context, changes []haproxy.Change) (out haproxy.Outcome, err error) {
	for _, c := range changes {
		err := f.try(func() error {
			one, err := f.fake.Run(ctx, []haproxy.Change{c})
			out.Refused, out.Draining = append(out.Refused, one.Refused...), append(out.Draining, one.Draining...)
			out.Staying = append(out.Staying, one.Staying...)
			return err
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// TestWhateverCallFailsThePassSaysSoAndTheNextOneCompletesTheWork also has the process refuse changes.
func TestWhateverCallFailsThePassSaysSoAndTheNextOneCompletesTheWork(t *testing.T) {
	t.Parallel()
	failed := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		m := drawMemory(t, layout)
		m.stubborn = func(c haproxy.Change) bool {
			_, removal := c.(haproxy.RemoveServer) // one that stays is no fault: it drains
			return !removal && rapid.IntRange(0, 5).Draw(t, "refused") == 0
		}
		faults := 0
		f := failing{m, func() failure {
			kind := rapid.SampledFrom([]failure{none, none, none, before, after}).Draw(t, "fails")
			if kind != none {
				faults++
			}
			return kind
		}}
		snapshot := drawSnapshot(t)
		syncer, err := New(Config{Source: source{snapshot: snapshot}, Process: f, File: f, Layout: layout, Policy: Policy{AllowMassRemoval: true}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = syncer.Sync(t.Context())
		failed[fmt.Sprintf("faults %t, error %t", faults > 0, err != nil)]++

		m.stubborn = nil
		plain := newSyncer(t, source{snapshot: snapshot}, m, Policy{AllowMassRemoval: true})
		left, planErr := plain.Plan(t.Context())
		if planErr != nil {
			t.Fatal(planErr)
		}
		if err == nil && !left.Plan.Empty() {
			t.Fatalf("after a pass without an error there is to do %v, reload for %q", left.Plan.Actions, left.Plan.Reload)
		}
		reloads := m.reloads
		if _, err := plain.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m.reloads > reloads+1 {
			t.Fatalf("%d reloads to complete the work", m.reloads-reloads)
		}
		if again, err := plain.Plan(t.Context()); err != nil || !again.Plan.Empty() {
			t.Fatalf("not in line: %v, %v", again.Plan, err)
		}
	})
	t.Logf("%v", failed)
	if failed["faults true, error true"] == 0 || failed["faults false, error false"] == 0 {
		t.Errorf("the faults are not seen: %v", failed)
	}
}
