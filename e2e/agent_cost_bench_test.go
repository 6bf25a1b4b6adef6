package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cost is what the agent takes of CPU and memory.
func (f *following) cost(b *testing.B, table *strings.Builder) {
	const rounds, most, window = 4, 50, 800 * time.Millisecond
	var changing, committing time.Duration
	changes := 0
	for range rounds {
		f.settles(b)
		before, start := f.agent.cpu(b), time.Now()
		for k := 0; k < most && time.Since(start) < window; k++ {
			f.byAgent(b, f.move(b))
			changes++
		}
		changed := f.agent.cpu(b)
		f.settles(b)
		changing += changed - before
		committing += f.agent.cpu(b) - changed
	}
	const idleFor, resyncFor = 10 * time.Second, 4 * time.Second
	idle := f.agent.cpuOver(b, idleFor)
	rss, _ := f.agent.memory(b) // at rest: what the last passes needed has been given back
	if err := f.agent.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		b.Fatal(err)
	}
	resync := f.agent.cpuOver(b, resyncFor)
	_, peak := f.agent.memory(b)
	fmt.Fprintf(table, "%8d %11s %9s %9s %6.2f%% %6.0f MB %6.0f MB\n", f.n, precise(changing/time.Duration(changes)), ms(committing/rounds), ms(resync),
		100*float64(idle)/float64(idleFor), float64(rss)/1e6, float64(peak)/1e6)
}

// cpuOver is what the agent uses within a time.
func (a *agent) cpuOver(t testing.TB, d time.Duration) time.Duration {
	t.Helper()
	before := a.cpu(t)
	select {
	case <-time.After(d):
	case <-a.Exited:
		t.Fatal(a.running())
	}
	return a.cpu(t) - before
}

// cpu is what the process has used so far, without its children.
func (p *process) cpu(t testing.TB) time.Duration {
	t.Helper()
	const tick = 10 * time.Millisecond
	stat := read(t, fmt.Sprintf("/proc/%d/stat", p.Cmd.Process.Pid))
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		t.Fatal(err)
	}
	system, err := strconv.Atoi(fields[12])
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * tick
}

// memory is the agent's resident one, now and at most.
func (a *agent) memory(t testing.TB) (rss, peak int64) {
	t.Helper()
	status := read(t, fmt.Sprintf("/proc/%d/status", a.Cmd.Process.Pid))
	kB := func(name string) (n int64) {
		_, after, _ := strings.Cut(status, name+":")
		if _, err := fmt.Sscan(after, &n); err != nil {
			t.Fatal(err)
		}
		return n << 10
	}
	return kB("VmRSS"), kB("VmHWM")
}
