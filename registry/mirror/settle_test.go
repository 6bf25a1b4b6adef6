package mirror

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/registrytest"
)

// TestAHostSettles plays steps to a mirror that settles in 100 ms. A step is a time and the changes of one revision: a value
// for a key, or "-" if it is deleted ("-!" with its lease). After "=>" comes the result: the address of each host, "pending" or
// "held", then the problems, and the expired hosts with a "+".
func TestAHostSettles(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"a host that is new is pending until it is complete": `
			0   s/ip=10.0.0.1   => s pending
			1   s/port=80       => s 10.0.0.1:80`,
		"an address that changes at once is shown at once": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			1   s/ip=10.0.0.2 s/port=81 => s 10.0.0.2:81`,
		"a new ip waits for the new port": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=10.0.0.2   => s 10.0.0.1:80
			109                 => s 10.0.0.1:80
			109 s/port=81       => s 10.0.0.2:81`,
		"a new port waits for the new ip": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/port=81       => s 10.0.0.1:80
			60  s/ip=10.0.0.2   => s 10.0.0.2:81`,
		"a new ip alone is shown when the time is up": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=10.0.0.2   => s 10.0.0.1:80
			110                 => s 10.0.0.2:80`,
		"a port that is written as it was ends the wait": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=10.0.0.2   => s 10.0.0.1:80
			20  s/port=80       => s 10.0.0.2:80`,
		"a port that is written as it was in the same revision ends it, too": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=10.0.0.2 s/port=80 => s 10.0.0.2:80`,
		"an ip that changes again and again does not wait longer": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=10.0.0.2   => s 10.0.0.1:80
			90  s/ip=10.0.0.3   => s 10.0.0.1:80
			110                 => s 10.0.0.3:80`,
		"an address of which only one key has another value is shown with the second put": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=10.0.0.1   => s 10.0.0.1:80
			60  s/port=81       => s 10.0.0.1:81
			70  s/port=82       => s 10.0.0.1:81
			71  s/ip=10.0.0.1   => s 10.0.0.1:82`,
		"a key that has been put alone before goes at once": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/port=81       => s 10.0.0.1:80
			110                 => s 10.0.0.1:81
			120 s/port=82       => s 10.0.0.1:82
			130 s/port=83       => s 10.0.0.1:83
			500 s/port=84       => s 10.0.0.1:84`,
		"the other key waits": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/port=81       => s 10.0.0.1:80
			110                 => s 10.0.0.1:81
			500 s/ip=10.0.0.2   => s 10.0.0.1:81
			600                 => s 10.0.0.2:81`,
		"a put of both does away with what one key was ahead": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/port=81       => s 10.0.0.1:80
			110                 => s 10.0.0.1:81
			500 s/ip=10.0.0.2   => s 10.0.0.1:81
			510 s/port=82       => s 10.0.0.2:82
			520 s/port=83       => s 10.0.0.2:82
			530 s/ip=10.0.0.3   => s 10.0.0.3:83`,
		"a second key that comes late takes back what the first was ahead": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=10.0.0.2   => s 10.0.0.1:80
			110                 => s 10.0.0.2:80
			150 s/port=81       => s 10.0.0.2:80
			250                 => s 10.0.0.2:81
			500 s/ip=10.0.0.3   => s 10.0.0.2:81
			510 s/port=82       => s 10.0.0.3:82`,
		"a key that goes is waited for, however often it was put alone": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/port=81       => s 10.0.0.1:80
			110                 => s 10.0.0.1:81
			500 s/port=-        => s 10.0.0.1:81
			510 s/port=82       => s 10.0.0.1:81
			600                 => s 10.0.0.1:82`,
		"a key that went and came back is not ahead": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/port=81       => s 10.0.0.1:80
			110                 => s 10.0.0.1:81
			500 s/port=-        => s 10.0.0.1:81
			600                 => s pending
			610 s/port=82       => s 10.0.0.1:82
			620 s/port=83       => s 10.0.0.1:82
			630 s/ip=10.0.0.2   => s 10.0.0.2:83`,
		"a host that goes key by key and comes back key by key": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/port=-        => s 10.0.0.1:80
			11  s/port=81       => s 10.0.0.1:80
			12  s/ip=10.0.0.2   => s 10.0.0.2:81`,
		"what is put again and again as it was is not ahead": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			100 s/ip=10.0.0.1   => s 10.0.0.1:80
			200                 => s 10.0.0.1:80
			300 s/ip=10.0.0.1   => s 10.0.0.1:80
			400                 => s 10.0.0.1:80
			500 s/ip=10.0.0.2   => s 10.0.0.1:80
			510 s/port=81       => s 10.0.0.2:81`,
		"two that cross are shown when both are there": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=10.0.0.2   => s 10.0.0.1:80
			80  s/ip=10.0.0.3   => s 10.0.0.1:80
			90  s/port=82       => s 10.0.0.1:80
			170 s/port=83       => s 10.0.0.3:83`,
		"two that cross, one of them with both keys at once, are shown as they are there": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=10.0.0.2   => s 10.0.0.1:80
			20  s/ip=10.0.0.3 s/port=83 => s 10.0.0.3:83
			30  s/port=82       => s 10.0.0.3:82`,
		"an ip that goes back is waited for as any other": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=10.0.0.2   => s 10.0.0.1:80
			20  s/ip=10.0.0.1   => s 10.0.0.1:80
			30  s/port=81       => s 10.0.0.1:80
			119                 => s 10.0.0.1:80
			120                 => s 10.0.0.1:81`,
		"an ip that is written as it was does not wait": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=10.0.0.1 s/weight=x => s held ! s/weight`,
		"a host that is one key never waits": `
			0   s=10.0.0.1:80   => s 10.0.0.1:80
			1   s=10.0.0.2:81   => s 10.0.0.2:81
			2   s=x             =>
			3   s=10.0.0.2:81   => s 10.0.0.2:81
			4   s=-!            => +a.com/s`,
		"a host that goes from one key to two is there all the time": `
			0   s=10.0.0.1:80   => s 10.0.0.1:80
			1   s/ip=10.0.0.1   => s 10.0.0.1:80
			2   s/port=80       => s 10.0.0.1:80
			3   s=-             => s 10.0.0.1:80
			4   s/ip=10.0.0.2 s/port=81 => s 10.0.0.2:81`,
		"a host without one of its keys is pending when the time is up": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=-          => s 10.0.0.1:80
			109                 => s 10.0.0.1:80
			110                 => s pending`,
		"a host without both of its keys is gone at once": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=-          => s 10.0.0.1:80
			11  s/port=-        =>`,
		"a host that is deleted in one revision is gone at once": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=- s/port=- =>`,
		"a bad ip holds when the time is up": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=x          => s 10.0.0.1:80
			110                 => s held ! s/ip`,
		"a bad ip that is mended is shown at once": `
			0   s/ip=x s/port=80 => s held ! s/ip
			10  s/ip=10.0.0.2   => s 10.0.0.2:80`,
		"what else is of the host does not wait": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=10.0.0.2   => s 10.0.0.1:80
			20  s/weight=x      => s held ! s/weight
			30  s/weight=5      => s 10.0.0.1:80`,
		"each host waits for itself": `
			0   r/ip=10.0.0.1 r/port=80 s/ip=10.0.0.1 s/port=80 => r 10.0.0.1:80 s 10.0.0.1:80
			10  r/ip=10.0.0.2   => r 10.0.0.1:80 s 10.0.0.1:80
			60  s/port=81       => r 10.0.0.1:80 s 10.0.0.1:80
			61  s/ip=10.0.0.3   => r 10.0.0.1:80 s 10.0.0.3:81
			110                 => r 10.0.0.2:80 s 10.0.0.3:81`,
		"a host that goes with its lease has expired": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=-! s/port=-!       => +a.com/s`,
		"a host that is deleted has not expired": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=- s/port=-         =>`,
		"a host whose one key had a lease has expired when the time is up": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=-!                 => s 10.0.0.1:80
			110                         => s pending +a.com/s`,
		"a host that comes back within the time has not expired": `
			0   s/ip=10.0.0.1 s/port=80 => s 10.0.0.1:80
			10  s/ip=-!                 => s 10.0.0.1:80
			20  s/ip=10.0.0.1           => s 10.0.0.1:80
			30  s/ip=- s/port=-         =>`,
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			playSteps(t, steps)
		})
	}
}

func playSteps(t *testing.T, steps string) {
	t.Helper()
	m := New("/p", 100*time.Millisecond, math.MaxInt, registry.Addresses{})
	start := time.Unix(1000, 0)
	for i, line := range strings.Split(strings.TrimSpace(steps), "\n") {
		did, want, _ := strings.Cut(line, "=>")
		words := strings.Fields(did)
		ms, err := time.ParseDuration(words[0] + "ms")
		if err != nil {
			t.Fatal(err)
		}
		now := start.Add(ms)
		m.Settle(now)
		var changes []Change
		for _, word := range words[1:] {
			changes = append(changes, parseChange(word, int64(i+1)))
		}
		m.Apply(changes, now)
		if have := registrytest.Shown(m.Update()); have != strings.TrimSpace(want) {
			t.Fatalf("after %q: have %q", strings.TrimSpace(line), have)
		}
		if next := m.NextSettle(); !next.IsZero() && (!next.After(now) || next.Sub(now) > m.settle) {
			t.Errorf("after %q: the next settles in %s", strings.TrimSpace(line), next.Sub(now))
		}
	}
}

func parseChange(word string, revision int64) Change {
	key, value, _ := strings.Cut(word, "=")
	c := Change{KeyValue: registry.KeyValue{Key: "/p/A.com/" + key, Value: value}, Revision: revision}
	if strings.HasPrefix(value, "-") {
		c.Value, c.Deleted, c.Expired = "", true, value == "-!"
	}
	return c
}

func TestAHostThatChangedWhileEtcdWasAwaySettles(t *testing.T) {
	t.Parallel()
	m := New("/p", 100*time.Millisecond, math.MaxInt, registry.Addresses{})
	now := time.Unix(1000, 0)
	list := func(revision int64, ip, port string) string {
		m.Become(Listing{Cluster: 1, Revision: revision, Keys: []registry.KeyValue{{Key: "/p/a.com/s/ip", Value: ip}, {Key: "/p/a.com/s/port", Value: port}}}, nil, now)
		return registrytest.Shown(m.Update())
	}
	want := func(have, want string) {
		t.Helper()
		if have != want {
			t.Errorf("have %q, want %q", have, want)
		}
	}
	want(list(1, "10.0.0.1", "80"), "s 10.0.0.1:80")
	want(list(2, "10.0.0.2", "81"), "s 10.0.0.2:81")
	want(list(3, "10.0.0.3", "81"), "s 10.0.0.2:81")
	now = now.Add(50 * time.Millisecond)
	want(list(4, "10.0.0.3", "81"), "s 10.0.0.2:81") // another listing does not end it
	m.Settle(now.Add(50 * time.Millisecond))
	want(registrytest.Shown(m.Update()), "s 10.0.0.3:81")
}

func TestAChangeCountsFromWhenItWasHeardOf(t *testing.T) {
	t.Parallel()
	began := time.Unix(1000, 0)
	m := New("/p", 100*time.Millisecond, math.MaxInt, registry.Addresses{})
	put := func(at time.Duration, revision int64, word string) registry.Update {
		c := parseChange(word, revision)
		c.Heard = began.Add(at)
		m.Apply([]Change{c}, c.Heard)
		return m.Update()
	}
	want := func(u registry.Update, heard ...time.Duration) {
		t.Helper()
		var got []time.Duration
		for _, at := range u.Heard {
			got = append(got, at.Sub(began))
		}
		if !slices.Equal(got, heard) || len(u.Changed) != len(heard) {
			t.Errorf("%q are heard of at %v, want %v", u.Changed, got, heard)
		}
	}
	want(put(0, 1, "s/ip=10.0.0.1"), 0)
	want(put(5*time.Millisecond, 2, "s/port=80"), 5*time.Millisecond)
	want(put(10*time.Millisecond, 3, "s/ip=10.0.0.2"))
	want(put(40*time.Millisecond, 4, "s/port=81"), 10*time.Millisecond) // the first of the two keys
	want(put(50*time.Millisecond, 5, "s/port=82"))
	m.Settle(began.Add(150 * time.Millisecond))
	want(m.Update(), 50*time.Millisecond)
	want(put(time.Second, 6, "s/port=83"), time.Second) // it was put alone before
	m.Settle(began.Add(2 * time.Second))
	want(put(time.Hour, 7, "t/ip=10.0.0.1"), time.Hour)
}
