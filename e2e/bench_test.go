package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A cost is what one run of hapsync took.
type cost struct {
	wall time.Duration
	// cpu is hapsync's own, check that of the haproxy -c that it ran.
	cpu, check time.Duration
	// peak is hapsync's own resident memory at most, in bytes.
	peak int64
}

// measure runs hapsync once.
func (b *box) measure(t testing.TB, args ...string) cost {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), world.hapsync, args...)
	cmd.Env = append(cleanEnv(), b.env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	peak := watchPeak(cmd.Process.Pid, ended)
	err := cmd.Wait()
	c := cost{wall: time.Since(start), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	close(ended)
	if c.peak = <-peak; err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, &stderr)
	}
	return c
}

// watchPeak follows the highest resident memory of a process until it has ended. What wait4 tells would be that of the
// largest child, haproxy -c.
func watchPeak(pid int, ended <-chan struct{}) <-chan int64 {
	found := make(chan int64, 1)
	go func() {
		var peak int64
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
				var kB int64
				if _, err := fmt.Sscan(after, &kB); err == nil {
					peak = max(peak, kB<<10)
				}
			}
			select {
			case <-ended:
				found <- peak
				return
			case <-tick.C:
			}
		}
	}()
	return found
}

// BenchmarkSync compares a one-shot sync with what no tool can do without: haproxy -c and one reload of the same
// configuration. It prints a table; every figure is of one run on one machine, so believe the ratios.
//
// "-c cpu" is that of a haproxy -c of the same file, which is taken out of cpu; "over floor" is wall time against the
// floor of the same size.
func BenchmarkSync(b *testing.B) {
	h := newestHAProxy(b)
	var table strings.Builder
	fmt.Fprintf(&table, "\nHAProxy %s\n%8s %-22s %9s %9s %9s %11s %9s\n", h, "domains", "what", "wall", "cpu", "-c cpu", "peak", "over floor")
	for _, n := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				benchmarkSize(b, h, n, &table)
			}
		})
	}
	figures(b, "sync", table.String())
}

func benchmarkSize(b *testing.B, h haproxy, n int, table *strings.Builder) {
	x := startBox(b, h)
	fill(b, x, n)
	first := x.measure(b, "sync")
	check, floor := x.floor(b)
	row := func(what string, c cost, over string) {
		fmt.Fprintf(table, "%8d %-22s %9s %9s %9s %8.0f MB %9s\n", n, what, ms(c.wall), ms(c.cpu), ms(c.check), float64(c.peak)/1e6, over)
	}
	row("floor: -c and reload", floor, "1.00")
	row("from nothing", withCheck(first, check), ratio(first.wall, floor.wall))
	row("nothing to do", x.measure(b, "sync"), "")
	put(b, x, "d0.example.org/h1/port", "20001")
	row("one host moved", withCheck(x.measure(b, "sync"), check), "")
	put(b, x, "new.example.org/h1/ip", "127.0.0.1")
	put(b, x, "new.example.org/h1/port", "20002")
	added := x.measure(b, "sync")
	row("one domain added", withCheck(added, check), ratio(added.wall, floor.wall))
	b.ReportMetric(float64(first.wall)/float64(floor.wall), "x-floor")
	x.master.end(b)
}

// withCheck takes the CPU time of haproxy -c out of a run's, where it is known from another one of the same file.
func withCheck(c cost, check time.Duration) cost {
	c.check = check
	c.cpu -= min(check, c.cpu)
	return c
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/1e6) }

func ratio(a, b time.Duration) string { return fmt.Sprintf("%.2f", float64(a)/float64(b)) }

// floor is haproxy -c and one reload, with nothing around them, and the CPU time of the former.
func (b *box) floor(t testing.TB) (check time.Duration, c cost) {
	t.Helper()
	start := time.Now()
	cmd := exec.CommandContext(t.Context(), b.haproxy.path, "-c", "-f", b.baseFile, "-f", b.managedFile)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	check = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	before, err := b.pid()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", b.masterSocket)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(conn, "reload")
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, "the new worker answers", func() error {
		if now, err := b.pid(); err != nil || now == before {
			return fmt.Errorf("worker %d, %w", now, err)
		}
		return nil
	})
	return check, cost{wall: time.Since(start), check: check}
}

// newestHAProxy is the last of HAPROXY_BINARIES that takes servers with cookies live, or the last.
func newestHAProxy(b *testing.B) haproxy {
	b.Helper()
	all := allHAProxy(b)
	best := all[0]
	for _, h := range all[1:] {
		if h.can.CookieLive && h.version < 303 {
			best = h
		}
	}
	return best
}

// fill registers n domains of two hosts without checks: each checked server would take a descriptor.
func fill(t testing.TB, b *box, n int) {
	t.Helper()
	fillWith(t, b, n, checkOff)
}

func checkOff(int) map[string]string { return map[string]string{"check": "off"} }

// fillWith is fill with other keys, by the number of the domain.
func fillWith(t testing.TB, b *box, n int, keys func(j int) map[string]string) {
	t.Helper()
	const batch = 30 // domains; etcd takes 128 operations in a transaction
	for i := 0; i < n; i += batch {
		var ops []clientv3.Op
		for j := i; j < min(n, i+batch); j++ {
			d := fmt.Sprintf("%s/d%d.example.org/", b.prefix, j)
			for key, value := range keys(j) {
				ops = append(ops, clientv3.OpPut(d+key, value))
			}
			for k := range 2 {
				ops = append(ops,
					clientv3.OpPut(fmt.Sprintf("%sh%d/ip", d, k), fmt.Sprintf("127.0.%d.%d", j/250%250, 1+j%250)),
					clientv3.OpPut(fmt.Sprintf("%sh%d/port", d, k), fmt.Sprint(10000+k)))
			}
		}
		for len(ops) > 0 {
			m := min(len(ops), 100)
			if _, err := world.etcd.client.Txn(t.Context()).Then(ops[:m]...).Commit(); err != nil {
				t.Fatal(err)
			}
			ops = ops[m:]
		}
	}
}

func put(t testing.TB, b *box, key, value string) {
	t.Helper()
	if _, err := world.etcd.client.Put(t.Context(), b.prefix+"/"+key, value); err != nil {
		t.Fatal(err)
	}
}
