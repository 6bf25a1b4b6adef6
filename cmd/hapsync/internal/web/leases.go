package web

import (
	"context"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/registry"
)

const (
	// leasesPace is the least time between two looks at the leases of one domain, leasesShare bounds the time that looks take: one
	// part in so many. There is one look at a time, whatever is looked at.
	leasesPace    = 5 * time.Second
	leasesShare   = 20
	leasesTimeout = 3 * time.Second
	// leasesKept is of how many domains the leases are kept.
	leasesKept = 64
)

// A leaseList is what was read of the leases of a domain: by host, the one that ends first. A host without a lease has the zero Key.
type leaseList struct {
	due time.Time
	by  map[string]registry.Key
}

// leases shares one look at the leases of a domain among all who look at it. The agent itself does not need them.
type leases struct {
	mu   stdsync.Mutex
	of   Agent
	last map[string]leaseList
	busy bool
}

// domain are the leases of a domain as of the last look; nil where they are not known. A new look is begun where one is due.
func (l *leases) domain(ctx context.Context, subject Subject, name string) map[string]registry.Key {
	if subject.Keys == nil {
		return nil
	}
	l.mu.Lock()
	if l.of != subject.Agent {
		l.of, l.last = subject.Agent, map[string]leaseList{}
	}
	var done chan struct{}
	if !l.busy && !time.Now().Before(l.last[name].due) {
		l.busy, done = true, make(chan struct{})
		go l.look(context.WithoutCancel(ctx), subject, name, done)
	}
	l.mu.Unlock()
	await(ctx, done, besideWait)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[name].by
}

// look reads the leases of a domain.
func (l *leases) look(ctx context.Context, subject Subject, name string, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, leasesTimeout)
	defer cancel()
	began := time.Now()
	keys, err := subject.Keys(ctx, name)
	list := leaseList{due: began.Add(max(leasesPace, leasesShare*time.Since(began)))}
	if err == nil {
		list.by = byHost(keys)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == subject.Agent {
		if len(l.last) >= leasesKept {
			clear(l.last)
		}
		l.last[name] = list
	}
	l.busy = false
	close(done)
}

func byHost(keys []registry.Key) map[string]registry.Key {
	by := map[string]registry.Key{}
	for _, k := range keys {
		if k.Host == "" {
			continue
		}
		first, there := by[k.Host]
		if !there {
			by[k.Host] = registry.Key{}
		}
		if k.Lease != "" && (first.Lease == "" || k.Left < first.Left) {
			by[k.Host] = k
		}
	}
	return by
}
