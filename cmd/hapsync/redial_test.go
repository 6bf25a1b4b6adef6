package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/registry"
)

func TestRedialWaitsLongerAndLongerAndTellsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var told []string
		var tries []time.Time
		r := newRedial(func(context.Context) (source, error) {
			tries = append(tries, time.Now())
			switch n := len(tries); {
			case n < 20:
				return nil, errors.New("away")
			case n < 25:
				return nil, errors.New("wrong password")
			}
			return benchSource{oneHost()}, nil
		}, nil, errors.New("away"))
		r.Relist() // does nothing yet
		update := func(registry.Update) { cancel() }
		err := r.Follow(ctx, update, func(err error) { told = append(told, fmt.Sprint(err)) })
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if want := []string{"away", "wrong password", "<nil>"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
		if last := tries[24].Sub(tries[23]); last < 10*time.Second || last > time.Minute {
			t.Errorf("the last wait was %s", last)
		}
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
}

func TestRedialEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r := newRedial(func(context.Context) (source, error) { return nil, errors.New("away") }, nil, errors.New("away"))
		if err := r.Follow(ctx, nil, func(error) {}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
}
