package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const ownClock = "all that hapsync consists of is compiled for a clock of its own"

// A clock is the wall clock of a box.
type clock struct{ file string }

// clocked makes hapsync on a box go by a clock of the box's own, from the next start on.
func clocked(t *testing.T, b *box) clock {
	t.Helper()
	began := time.Now()
	path, err := world.shifted()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("hapsync with a wall clock of its own after %s", time.Since(began).Round(time.Millisecond))
	c := clock{filepath.Join(b.dir, "clock")}
	b.program, b.env = path, append(b.env, "WALL_CLOCK="+c.file)
	c.set(t, 0)
	return c
}

// set puts the clock so far from the right time, and returns when the processes go by it.
func (c clock) set(t *testing.T, off time.Duration, processes ...*process) {
	t.Helper()
	text := fmt.Sprint(int64(off / time.Second))
	write(t, c.file, text)
	for _, p := range processes {
		p.Eventually(t, "the process takes note of its clock", func() error {
			if told, err := os.ReadFile(fmt.Sprintf("%s.%d", c.file, p.Cmd.Process.Pid)); err != nil || string(told) != text {
				return fmt.Errorf("it goes by %q: %w", told, err)
			}
			return nil
		})
	}
}

// goesBy waits until the agent has applied something at the time of its clock.
func (a *agent) goesBy(t *testing.T, off time.Duration) {
	t.Helper()
	eventually(t, "the agent goes by its clock", func() error {
		at, err := a.metric("hapsync_applied_timestamp_seconds")
		if err != nil {
			return err
		}
		if wrong := at - float64(time.Now().Add(off).Unix()); math.Abs(wrong) > 60 {
			return fmt.Errorf("%.0f s off", wrong)
		}
		return nil
	})
}

// lapses counts the keys of the box that end with a lease, or are deleted, until it is asked.
func (b *box) lapses(t *testing.T) (ended func() []string) {
	t.Helper()
	root := strings.TrimSuffix(b.prefix, "services/web")
	ctx, cancel := context.WithCancel(t.Context())
	watch := world.etcd.client.Watch(clientv3.WithRequireLeader(ctx), root, clientv3.WithPrefix(), clientv3.WithFilterPut(), clientv3.WithCreatedNotify())
	<-watch
	var keys []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for told := range watch {
			for _, event := range told.Events {
				keys = append(keys, string(event.Kv.Key))
			}
		}
	}()
	end := func() []string {
		cancel()
		<-done
		return keys
	}
	t.Cleanup(func() { end() })
	return end
}

// silly is a duration of which nobody can make sense here: less than nothing, or an hour.
var silly = regexp.MustCompile(`-\d+(\.\d+)?(h|m|s|ms|µs)\b|\d+h\d+m|-\d+ session`)

// sensible fails the test where one of the pages that tell durations has a silly one.
func (b *box) sensible(t *testing.T, a *agent) {
	t.Helper()
	for _, args := range [][]string{{"agents"}, {"status", "--listen", a.listen}, {"explain", "a.abc.com"}} {
		if o := b.must(t, args...); silly.MatchString(o.stdout) {
			t.Errorf("%q: %s", silly.FindString(o.stdout), o)
		}
	}
	if lag, err := a.metric("hapsync_lag_seconds"); err != nil || lag < 0 || lag > 60 {
		t.Errorf("the lag is %f, %v", lag, err)
	}
}

func TestWallClockThatJumpsChangesNothing(t *testing.T) {
	onlyInFull(t, ownClock)
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		const ttl = 4 * time.Second
		b := startBox(t, h)
		c := clocked(t, b)
		one, two := startHost(t, "one"), startHost(t, "two")
		b.register(t, "b.abc.com/server1", two.addr)
		p := b.startRegister(t, "a.abc.com/server1", one.addr, "--ttl", ttl.String(), "--check", "tcp://"+one.addr, "--interval", "100ms")
		b.registered(t, "a.abc.com/server1", "ready")
		a := b.startAgent(t, "--resync", "300ms")
		b.comes(t, "a.abc.com", "server1", one)
		b.comes(t, "b.abc.com", "server1", two)
		b.reporting(t, 1)
		_, lease := keysOf(t, world.etcd.client, b, "a.abc.com/server1")
		l, before, lapses := startLoad(t, b, "a.abc.com"), b.generation(t), b.lapses(t)
		for i, off := range []time.Duration{time.Hour, 0, -time.Hour, 2 * time.Second, -20 * 365 * 24 * time.Hour} {
			c.set(t, off, p, a.process)
			lived := time.After(ttl + time.Second)
			a.goesBy(t, off)
			weight := fmt.Sprint(7 + i)
			b.must(t, "weight", "--domain", "a.abc.com", "--host", "server1", "--wait", weight)
			b.weighs(t, "a.abc.com_cluster/server1", weight+" ")
			<-lived // the file has followed, too, so that nothing but a resync is due
			if _, err := b.runtime("set server b.abc.com_cluster/server1 addr 127.0.0.1 port 1"); err != nil {
				t.Error(err)
			}
			b.comes(t, "b.abc.com", "server1", two) // at the next resync
			b.sensible(t, a)
			b.reporting(t, 1)
			a.ready(t)
		}
		l.endsWithoutFailure(t)
		b.notReloaded(t, before)
		if ended := lapses(); len(ended) > 0 {
			t.Errorf("keys have ended: %q", ended)
		}
		if _, now := keysOf(t, world.etcd.client, b, "a.abc.com/server1"); now != lease {
			t.Errorf("lease %x, and then %x", lease, now)
		}
	})
}

func TestWaitEndsInItsTimeThoughTheClockJumps(t *testing.T) {
	onlyInFull(t, ownClock)
	t.Parallel()
	b := startBox(t, firstHAProxy(t))
	c := clocked(t, b)
	b.register(t, "a.abc.com/server1", startHost(t, "one").addr)
	a := b.startAgent(t)
	b.reporting(t, 1)
	a.signal(t, syscall.SIGSTOP)
	for weight, off := range []time.Duration{time.Hour, -time.Hour} {
		const timeout = 3 * time.Second
		began := time.Now()
		p := b.startServer(t, fmt.Sprintf("weight%d.log", weight), "weight", "--domain", "a.abc.com", "--host", "server1",
			"--wait", "--wait-timeout", timeout.String(), fmt.Sprint(7+weight))
		p.said(t, "weight of a.abc.com/server1")
		c.set(t, off, p)
		if code := p.code(t); code != 7 {
			t.Errorf("%s: ended with %d", off, code)
		}
		if took := time.Since(began); took < timeout {
			t.Errorf("%s: ended after %s", off, took)
		}
		says(t, p.printed(), "not in effect after 3s")
	}
}

func TestClocksOfMachinesNeedNotAgree(t *testing.T) {
	onlyInFull(t, ownClock)
	t.Parallel()
	ahead := startBox(t, firstHAProxy(t))
	behind := ahead.neighbour(t)
	boxes := []*box{ahead, behind}
	clocked(t, ahead).set(t, time.Hour)
	clocked(t, behind).set(t, -time.Hour)
	ahead.register(t, "a.abc.com/web1", startHost(t, "one").addr)
	ahead.startAgent(t, "--name", "ahead").goesBy(t, time.Hour)
	behind.startAgent(t, "--name", "behind").goesBy(t, -time.Hour)
	behind.reporting(t, 2)
	ahead.must(t, "weight", "--domain", "a.abc.com", "--host", "web1", "--wait", "7")
	behind.weighs(t, "a.abc.com_cluster/web1", "7 ")

	behind.master.end(t) // now its agent cannot do what it hears of
	began := time.Now()
	ahead.must(t, "weight", "--domain", "a.abc.com", "--host", "web1", "8")
	for _, b := range boxes {
		eventually(t, "the lag is told", func() error {
			var list struct {
				Agents []struct {
					Name  string
					Lag   float64 `json:"lag_seconds"`
					Heard float64 `json:"heard_seconds"`
				}
			}
			o := b.must(t, "agents", "-o", "json")
			if err := json.Unmarshal([]byte(o.stdout), &list); err != nil {
				t.Fatal(err)
			}
			late := false
			for _, a := range list.Agents {
				if a.Heard < 0 || a.Heard > 15 || a.Lag < 0 || a.Lag > time.Since(began).Seconds() || a.Name == "ahead" && a.Lag > 5 {
					t.Fatalf("after %s: %s", time.Since(began), o)
				}
				late = late || a.Name == "behind" && a.Lag >= 5
			}
			if !late {
				return errors.New(o.stdout)
			}
			return nil
		})
		if o := b.must(t, "agents"); silly.MatchString(o.stdout) {
			t.Errorf("%s", o)
		}
	}
	behind.start(t)
	ahead.reporting(t, 2)
}

func TestAgentThatWasStoppedForLongerThanItsLeaseReportsAgain(t *testing.T) {
	t.Parallel()
	b, a := startFollowed(t, firstHAProxy(t))
	b.reporting(t, 1)
	a.signal(t, syscall.SIGSTOP)
	b.reporting(t, 0)
	b.put(t, "a.abc.com/server1/weight", "7")
	a.signal(t, syscall.SIGCONT)
	b.reporting(t, 1)
	b.weighs(t, "a.abc.com_cluster/server1", "7 ")
	a.ready(t)
}
