package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// BenchmarkFleet runs the agents of a fleet, without HAProxy. They follow a registry of 1,000 domains of two hosts each, and
// report. etcd is a process of its own, and so is the grpc-proxy between it and the agents, if there is one.
//
// Results: "rss" is etcd's resident memory. "rest" is its CPU while nothing changes, in percent of one processor. "resync" is
// its CPU when each agent reads everything once, and "change" when one host moves and every agent reports that. "told" is the
// time from the put until the last agent knows, on this machine, which also runs all agents. "proxy" is the CPU of the proxy
// for a change.
func BenchmarkFleet(b *testing.B) {
	var table strings.Builder
	fmt.Fprintf(&table, "\n%7s %-10s %8s %8s %10s %10s %10s %10s\n", "agents", "through", "rss", "rest", "resync", "change", "told", "proxy")
	for _, n := range []int{1, 10, 100, 1000} {
		for _, proxied := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/proxy=%t", n, proxied), func(b *testing.B) {
				for b.Loop() {
					startBenchFleet(b, n, proxied).measure(b, &table)
				}
			})
		}
	}
	fmt.Println(table.String())
}

// A benchFleet is so many agents and their etcd.
type benchFleet struct {
	etcd, proxy *etcdProcess // proxy is nil where there is none
	writer      *clientv3.Client
	agents      []*benchAgent
}

// A benchAgent follows the registry, and reports.
type benchAgent struct {
	client  *Client
	seen    atomic.Int64 // the revision
	reports chan registry.AgentReport
}

const benchDomains = 1000

func startBenchFleet(b *testing.B, n int, proxied bool) *benchFleet {
	b.Helper()
	dir := b.TempDir()
	f := &benchFleet{etcd: startProcess(b, func(addr string) string {
		const peer = "http://127.0.0.1:0"
		return fmt.Sprintf("--data-dir %s --log-level fatal --listen-client-urls http://%s --advertise-client-urls http://%s --listen-peer-urls %s",
			filepath.Join(dir, "etcd"), addr, addr, peer)
	})}
	at := f.etcd.url
	var err error
	if f.writer, err = clientv3.New(clientv3.Config{Endpoints: []string{at}, DialTimeout: 30 * time.Second}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.writer.Close() })
	for i := range benchDomains {
		f.put(b, i, 10_000)
	}
	if proxied {
		f.proxy = startProxy(b, at)
		at = f.proxy.url
	}
	f.start(b, n, at)
	return f
}

// put moves both hosts of a domain to a port, and returns the revision.
func (f *benchFleet) put(b *testing.B, domain, port int) int64 {
	b.Helper()
	var ops []clientv3.Op
	for _, host := range []string{"server1", "server2"} {
		key := fmt.Sprintf("%s/d%d.abc.com/%s/", registry.DefaultPrefix, domain, host)
		ops = append(ops, clientv3.OpPut(key+"ip", "10.0.0.1"), clientv3.OpPut(key+"port", strconv.Itoa(port)))
	}
	done, err := f.writer.Txn(b.Context()).Then(ops...).Commit()
	if err != nil {
		b.Fatal(err)
	}
	return done.Header.Revision
}

// start starts agents, and waits until each knows the registry.
func (f *benchFleet) start(b *testing.B, n int, at string) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		running.Wait()
	})
	for i := range n {
		client, err := New(Config{Endpoints: []string{at}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = client.Close() })
		a := &benchAgent{client: client, reports: make(chan registry.AgentReport, 1)}
		f.agents = append(f.agents, a)
		running.Go(func() { _ = client.Follow(ctx, a.update, func(error) {}) })
		running.Go(func() {
			client.Announce(ctx, AnnounceConfig{Prefix: registry.DefaultReportPrefix, Name: fmt.Sprintf("lb%d", i), Logger: slog.New(slog.DiscardHandler)}, a.reports)
		})
		if i%50 == 49 {
			f.know(b, 1) // a fleet does not start at once
		}
	}
	f.know(b, 1)
}

// update reports a change, unless another report is waiting.
func (a *benchAgent) update(u registry.Update) {
	a.seen.Store(int64(u.Snapshot.Revision))
	report := registry.AgentReport{Prefix: registry.DefaultPrefix, Applied: u.Snapshot.Revision, Hapsync: "v1.0.0", HAProxy: "3.2.0"}
	select {
	case a.reports <- report:
	default:
	}
}

// know waits until every agent knows a revision.
func (f *benchFleet) know(b *testing.B, revision int64) {
	b.Helper()
	deadline, poll := time.After(5*time.Minute), time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for slices.ContainsFunc(f.agents, func(a *benchAgent) bool { return a.seen.Load() < revision }) {
		select {
		case <-deadline:
			b.Fatalf("an agent does not know revision %d", revision)
		case <-poll.C:
		}
	}
}

// rests waits until etcd is idle, or five seconds for its lease renewals, and returns its CPU.
func (f *benchFleet) rests(b *testing.B) time.Duration {
	b.Helper()
	began := f.etcd.cpu(b)
	for deadline := time.Now().Add(time.Minute); ; {
		over := time.After(2 * time.Second)
		<-over
		now := f.etcd.cpu(b)
		if now-began < 200*time.Millisecond || time.Now().After(deadline) {
			return now
		}
		began = now
	}
}

func (f *benchFleet) measure(b *testing.B, table *strings.Builder) {
	const rest, changes = 20 * time.Second, 20
	n := len(f.agents)
	f.rests(b)
	began := f.etcd.cpu(b)
	over := time.After(rest)
	<-over
	idle := f.etcd.cpu(b) - began

	began = f.etcd.cpu(b)
	for _, a := range f.agents {
		a.seen.Store(0)
		a.client.Relist()
	}
	f.know(b, 1)
	resync := f.rests(b) - began

	began = f.etcd.cpu(b)
	proxy := f.proxy.cpu(b)
	var told []time.Duration
	for i := range changes {
		put := time.Now()
		f.know(b, f.put(b, i, 20_000+i))
		told = append(told, time.Since(put))
		next := time.After(time.Until(put.Add(1100 * time.Millisecond))) // reports are a second apart
		<-next
	}
	change := (f.rests(b) - began) / changes
	proxy = (f.proxy.cpu(b) - proxy) / changes
	slices.Sort(told)
	through := "-"
	if f.proxy != nil {
		through = "grpc-proxy"
	}
	fmt.Fprintf(table, "%7d %-10s %5d MB %7.2f%% %7d ms %7d ms %7d ms %7d ms\n", n, through, f.etcd.megabytes(b),
		100*idle.Seconds()/rest.Seconds(), resync.Milliseconds(), change.Milliseconds(), told[len(told)/2].Milliseconds(), proxy.Milliseconds())
}
