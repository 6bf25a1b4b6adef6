package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// BenchmarkRegister keeps hosts registered, each by a process of its own, on an etcd in the process of the benchmark.
//
// "in" is from the start of the first process until the last host is in etcd; "rss" and "pss" are the mean of a process,
// which shares the program's text with the others; "cpu" is that of all at rest, in percent of one processor. Then all
// are killed and started again at once, with --replace: "again" is until the last one is in etcd, "put" and "at most" what
// a put of somebody else's takes meanwhile.
func BenchmarkRegister(b *testing.B) {
	h := newestHAProxy(b)
	var table strings.Builder
	fmt.Fprintf(&table, "\n%9s %8s %9s %9s %7s %8s %9s %9s\n", "processes", "in", "rss", "pss", "cpu", "again", "put", "at most")
	for _, n := range []int{100, 200, 400, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				c := &crowd{box: newBox(b, h), n: n}
				c.measureAll(b, &table)
				c.killAll(b)
			}
		})
	}
	fmt.Println(table.String())
}

func (c *crowd) measureAll(b *testing.B, table *strings.Builder) {
	const limit, rest = 10 * time.Minute, 20 * time.Second
	began := time.Now()
	c.startAll(b, "--ttl", "1m")
	first := c.comesIn(b, limit, nil)
	in := time.Since(began)

	before := c.cpuOfAll(b)
	over := time.After(rest)
	<-over
	cpu := c.cpuOfAll(b) - before
	rss, pss := c.memory(b)

	putting := c.putting(b)
	began = time.Now()
	c.killAll(b)
	c.startAll(b, "--ttl", "1m", "--replace")
	c.comesIn(b, limit, first)
	again := time.Since(began)
	median, worst := putting()
	fmt.Fprintf(table, "%9d %7.1fs %6.1f MB %6.1f MB %6.2f%% %7.1fs %9s %9s\n", c.n, in.Seconds(), rss, pss,
		100*cpu.Seconds()/rest.Seconds(), again.Seconds(), precise(median), precise(worst))
}

func (c *crowd) cpuOfAll(b *testing.B) (sum time.Duration) {
	b.Helper()
	for _, p := range c.processes {
		sum += p.cpu(b)
	}
	return sum
}

// memory is the mean of a process, in megabytes.
func (c *crowd) memory(b *testing.B) (rss, pss float64) {
	b.Helper()
	for _, p := range c.processes {
		text := read(b, fmt.Sprintf("/proc/%d/smaps_rollup", p.Cmd.Process.Pid))
		for name, sum := range map[string]*float64{"Rss:": &rss, "Pss:": &pss} {
			var kB float64
			_, after, _ := strings.Cut(text, "\n"+name)
			if _, err := fmt.Sscan(after, &kB); err != nil {
				b.Fatal(err)
			}
			*sum += kB / 1000 / float64(c.n)
		}
	}
	return rss, pss
}
