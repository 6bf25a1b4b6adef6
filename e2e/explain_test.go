package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// explains waits until hapsync explain ends with a code, and its first line has the words.
func (b *box) explains(t *testing.T, code int, words ...string) outcome {
	t.Helper()
	var o outcome
	eventually(t, fmt.Sprintf("it is explained with %q", words), func() error {
		o = b.hapsync(t, "explain", "a.abc.com", "server1")
		first, _, _ := strings.Cut(o.stdout, "\n")
		if o.code != code || !containsAll(first, words) {
			return errors.New(o.String())
		}
		return nil
	})
	return o
}

func TestExplainFollowsAHostToHAProxy(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		b.explains(t, 7, "not in rotation: a.abc.com/server1: it is not registered")
		one := startHost(t, "one")
		b.register(t, "a.abc.com/server2", one.addr)
		ip, port := splitAddr(t, one.addr)
		b.put(t, "a.abc.com/server1/ip", ip)
		b.explains(t, 7, "half written: port is missing")
		b.put(t, "a.abc.com/server1/port", port)
		says(t, b.explains(t, 7, "registered, and not in HAProxy yet").stdout, "plan", "+ server a.abc.com_cluster/server1")
		a := b.startAgent(t, "--resync", "200ms")
		o := b.explains(t, 0, "in rotation: a.abc.com/server1: UP, weight 1, at "+one.addr)
		says(t, o.stdout, "cookie server1")
		says(t, o.stdout, "check", "L4OK")
		b.put(t, "a.abc.com/server1/port", "99999")
		b.explains(t, 0, "last good values", "99999")
		b.put(t, "a.abc.com/server1/port", port)
		b.put(t, "a.abc.com/server1/state", "drain")
		b.explains(t, 7, "only clients with its cookie", "state is drain in the registry")
		b.put(t, "a.abc.com/server1/state", "maint")
		b.explains(t, 7, "in maintenance", "state is maint in the registry")
		b.put(t, "a.abc.com/server1/state", "ready")
		b.explains(t, 0, "in rotation")
		b.settles(t)
		eventually(t, "the agent takes it for an override", func() error { // what is set during a pass is undone by it
			if _, err := b.runtime("set server a.abc.com_cluster/server1 state maint"); err != nil {
				return err
			}
			if o := b.hapsync(t, "explain", "a.abc.com", "server1"); !hasLine(o.stdout, []string{"kept ", "maint"}) {
				return errors.New(o.String())
			}
			return nil
		})
		o = b.explains(t, 7, "maint was set on its socket, the registry says ready")
		says(t, o.stdout, "kept ", "maint was set on HAProxy's socket, the registry says ready")
		eventually(t, "the file is in line, too", func() error { // a write that was under way may still have an earlier state
			if o := b.hapsync(t, "explain", "a.abc.com", "server1"); !hasLine(o.stdout, []string{"plan ", "nothing to do"}) {
				return errors.New(o.String())
			}
			return nil
		})
		if _, err := b.runtime("set server a.abc.com_cluster/server1 state ready"); err != nil {
			t.Fatal(err)
		}
		p := b.startRegister(t, "a.abc.com/server3", one.addr)
		b.registered(t, "a.abc.com/server3", "ready")
		says(t, b.hapsync(t, "explain", "a.abc.com").stdout, "server3/ip", "lease", "left")
		p.end(t)
		one.end(t)
		b.explains(t, 7, "its check fails: L4CON", "DOWN")
		a.terminate(t)

		env := b.env
		b.env = append(b.env, "HAPSYNC_ENDPOINTS=http://127.0.0.1:1", "HAPSYNC_DIAL_TIMEOUT=300ms")
		says(t, b.explains(t, 3, "its check fails").stdout, "registry", "not reachable")
		b.env = append(b.env, "HAPSYNC_USER=hapsync:secret")
		b.explains(t, 3, "its check fails")
		b.env = env
		b.master.end(t)
		b.explains(t, 4, "unknown: a.abc.com/server1: the registry has it as ready")
	})
}

// TestExplainShowsWhatPlanKeeps has an override that an agent has noted: explain shows it for as long as plan keeps it.
func TestExplainShowsWhatPlanKeeps(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		b.register(t, "a.abc.com/server1", startHost(t, "one").addr)
		a := b.startAgent(t, "--resync", "200ms")
		b.settles(t)
		eventually(t, "the agent keeps it", func() error {
			if _, err := b.runtime("set server a.abc.com_cluster/server1 state maint"); err != nil {
				return err
			}
			if o := b.hapsync(t, "plan"); !hasLine(o.stdout, []string{"kept ", "maint"}) {
				return errors.New(o.String())
			}
			return nil
		})
		a.terminate(t)
		for _, command := range [][]string{{"plan"}, {"explain", "a.abc.com/server1"}} {
			says(t, b.hapsync(t, command...).stdout, "kept ", "maint was set on HAProxy's socket, the registry says ready")
		}
		b.put(t, "a.abc.com/server1/weight", "7") // something new
		for _, command := range [][]string{{"plan"}, {"explain", "a.abc.com/server1"}} {
			o := b.hapsync(t, command...)
			says(t, o.stdout, "runtime ", "maint ", "-> ", "weight 7")
			if strings.Contains(o.stdout, "kept") || strings.Contains(o.stdout, "override") {
				t.Errorf("it says that it keeps what it takes back: %s", o)
			}
		}
		b.must(t, "sync")
		b.explains(t, 0, "in rotation", "weight 7")
	})
}
