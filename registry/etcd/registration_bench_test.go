package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// BenchmarkRegistrations keeps 1000 hosts registered, in one process together with etcd: from the start, idle, and after all
// leases were lost at once.
func BenchmarkRegistrations(b *testing.B) {
	const hosts, rest = 1000, 10 * time.Second
	at, err := etcds.plain()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		prefix := etcds.prefix()
		client, err := New(Config{Endpoints: []string{at}, Prefix: prefix})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		var running sync.WaitGroup
		heap, goroutines := memory()
		began, cpu := time.Now(), cpuTime(b)
		for i := range hosts {
			conf := RegistrationConfig{Domain: fmt.Sprintf("d%d.abc.com", i/2), Logger: slog.New(slog.DiscardHandler),
				Host: registry.Host{Name: fmt.Sprintf("server%d", i), Addr: netip.MustParseAddrPort("10.0.0.1:10000"), Weight: 1}}
			r, err := client.NewRegistration(conf)
			if err != nil {
				b.Fatal(err)
			}
			running.Go(func() { _ = r.Run(ctx) })
		}
		leases := waitForLeases(b, client, hosts, nil)
		b.ReportMetric(time.Since(began).Seconds(), "s-registered")
		b.ReportMetric((cpuTime(b) - cpu).Seconds(), "cpu-s-registered")
		after, more := memory()
		b.ReportMetric(float64(after-heap)/hosts/1024, "kB/host")
		b.ReportMetric(float64(more-goroutines)/hosts, "goroutines/host")

		cpu = cpuTime(b)
		<-time.After(rest)
		b.ReportMetric(100*(cpuTime(b)-cpu).Seconds()/rest.Seconds(), "%cpu-at-rest")

		began, cpu = time.Now(), cpuTime(b)
		for lease := range leases {
			if _, err := client.etcd.Load().Revoke(b.Context(), clientv3.LeaseID(lease)); err != nil {
				b.Fatal(err)
			}
		}
		waitForLeases(b, client, hosts, leases)
		b.ReportMetric(time.Since(began).Seconds(), "s-again")
		b.ReportMetric((cpuTime(b) - cpu).Seconds(), "cpu-s-again")
		cancel()
		running.Wait()
		_ = client.Close()
	}
}

// waitForLeases waits until so many new leases have keys.
func waitForLeases(b *testing.B, client *Client, want int, before map[int64]bool) map[int64]bool {
	b.Helper()
	deadline, poll := time.After(2*time.Minute), time.NewTicker(50*time.Millisecond)
	defer poll.Stop()
	for {
		page, err := client.etcd.Load().Get(b.Context(), client.conf.Prefix+"/", clientv3.WithPrefix())
		if err != nil {
			b.Fatal(err)
		}
		leases := map[int64]bool{}
		for _, kv := range page.Kvs {
			if !before[kv.Lease] {
				leases[kv.Lease] = true
			}
		}
		if len(leases) == want {
			return leases
		}
		select {
		case <-deadline:
			b.Fatalf("%d of %d leases in time", len(leases), want)
		case <-poll.C:
		}
	}
}

func memory() (heap int64, goroutines int) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse), runtime.NumGoroutine()
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
