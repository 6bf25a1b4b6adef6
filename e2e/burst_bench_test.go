package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// BenchmarkBurst measures how long an agent with 10,000 domains takes for much at once, on each HAProxy, from the first put on:
//
//   - "1,000 hosts moved": in as many domains, until HAProxy has the last new address.
//   - "1,000 new domains": until each of them is served.
//   - "10,000 keys gone and back": the hosts of 2,500 domains are deleted, and put again at once, until HAProxy has them all again.
//
// "floor" is haproxy -c and one reload of the same configuration; "reloads" are those that HAProxy made; "fewest" is the smallest
// number of servers that HAProxy had in the meantime. The floor of a burst that takes no reload says what a template would take
// at least.
func BenchmarkBurst(b *testing.B) {
	var table strings.Builder
	for _, h := range allHAProxy(b) {
		fmt.Fprintf(&table, "\nHAProxy %s\n%8s %-26s %9s %9s %8s %8s %8s\n", h, "domains", "change", "agent", "floor", "x floor", "reloads", "fewest")
		b.Run(h.String(), func(b *testing.B) {
			for b.Loop() {
				measureBursts(b, h, &table)
			}
		})
	}
	figures(b, "burst", table.String())
}

func measureBursts(b *testing.B, h haproxy, table *strings.Builder) {
	const domains, hosts, many = 10_000, 20_000, 1_000
	x := startBox(b, h)
	x.env = append(x.env, "HAPSYNC_DYNAMIC_DOMAINS=auto")
	live := startHost(b, "live")
	fill(b, x, domains)
	a := x.startAgent(b, "--max-domains", "20000")
	a.ready(b)
	x.settles(b)
	row := func(what string, change func(), done func() error) {
		before, start, fewest := x.generation(b), time.Now(), hosts
		change()
		var took time.Duration
		eventually(b, what, func() error {
			n, err := x.servers(b, "")
			fewest = min(fewest, n)
			if err == nil {
				err = done()
			}
			took = time.Since(start)
			return err
		})
		x.settles(b)
		reloads := x.generation(b).reloads - before.reloads
		_, floor := x.floor(b)
		x.settles(b)
		fmt.Fprintf(table, "%8d %-26s %9s %9s %8s %8d %8d\n", domains, what, ms(took), ms(floor.wall), ratio(took, floor.wall), reloads, fewest)
	}
	row("1,000 hosts moved", func() {
		x.inBatches(b, many, func(i int) []clientv3.Op {
			return []clientv3.Op{clientv3.OpPut(fmt.Sprintf("%s/d%d.example.org/h0/ip", x.prefix, i*domains/many), fmt.Sprintf("127.9.%d.%d", i/250, 1+i%250))}
		})
	}, func() error { return x.hasServers(b, " 127.9.", many) })
	row("1,000 new domains", func() {
		x.inBatches(b, many, func(i int) []clientv3.Op {
			var ops []clientv3.Op
			for key, value := range addrOf(b, fmt.Sprintf("burst%d.example.com/server1", i), live.addr) {
				ops = append(ops, clientv3.OpPut(x.prefix+"/"+key, value))
			}
			return ops
		})
	}, func() error { return x.allServed(many) })
	row("10,000 keys gone and back", func() {
		for _, put := range []bool{false, true} {
			x.inBatches(b, domains/4, func(i int) []clientv3.Op { return hostsOf(x.prefix, i, put) })
		}
	}, func() error { return x.hasServers(b, "", hosts+many) })
	x.master.end(b)
}

// inBatches makes changes in transactions, as large as etcd takes them.
func (b *box) inBatches(t testing.TB, n int, change func(i int) []clientv3.Op) {
	t.Helper()
	const most = 128 // operations of a transaction
	var ops []clientv3.Op
	for i := range n {
		next := change(i)
		ops = append(ops, next...)
		if len(ops)+len(next) <= most && i < n-1 {
			continue
		}
		if _, err := world.etcd.client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
		ops = nil
	}
}

// hostsOf are the keys of the hosts of the i-th domain, as fill puts them, or their end.
func hostsOf(prefix string, i int, put bool) (ops []clientv3.Op) {
	for k := range 2 {
		host := fmt.Sprintf("%s/d%d.example.org/h%d/", prefix, i, k)
		if !put {
			ops = append(ops, clientv3.OpDelete(host, clientv3.WithPrefix()))
			continue
		}
		ops = append(ops, clientv3.OpPut(host+"ip", fmt.Sprintf("127.0.%d.%d", i/250%250, 1+i%250)), clientv3.OpPut(host+"port", fmt.Sprint(10000+k)))
	}
	return ops
}

// servers is how many servers the process has that are in service, of those whose line has the text.
func (b *box) servers(t testing.TB, text string) (n int, err error) {
	t.Helper()
	reply, err := b.runtime("show servers state")
	if err != nil {
		return 0, err
	}
	const adminState = 6
	for line := range strings.Lines(reply) {
		if w := strings.Fields(line); len(w) > adminState && strings.Contains(w[1], "_cluster") && w[adminState] == "0" && strings.Contains(line, text) {
			n++
		}
	}
	return n, nil
}

func (b *box) hasServers(t testing.TB, text string, want int) error {
	t.Helper()
	if n, err := b.servers(t, text); err != nil || n != want {
		return fmt.Errorf("%d servers of %d, %w", n, want, err)
	}
	return nil
}

// allServed asks each of the new domains of the burst.
func (b *box) allServed(many int) error {
	for i := range many {
		if a, err := get(b.web, fmt.Sprintf("burst%d.example.com", i), ""); err != nil || a.status != http.StatusOK {
			return fmt.Errorf("domain %d: got %s, %w", i, a, err)
		}
	}
	return nil
}
