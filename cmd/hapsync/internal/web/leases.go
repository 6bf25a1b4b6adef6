package web

import (
	"context"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/registry"
)

const (
	leasesPace    = 5 * time.Second // minimum time between two reads of one domain
	leasesShare   = 20              // reads take at most 1/20 of the time
	leasesTimeout = 3 * time.Second // of one read
	maxLeaseLists = 64              // domains in the cache
)

// A leaseList is the leases of a domain: for each host, the lease that ends first. A host without a lease has the zero Key.
type leaseList struct {
	due time.Time
	by  map[string]registry.Key
}

// A leaseCache shares one read of a domain's leases among all requests. The agent itself does not need them. There is one read
// at a time.
type leaseCache struct {
	mu   stdsync.Mutex
	of   Agent
	last map[string]leaseList
	busy bool
}

// domain are the leases of a domain as of the last read; nil if they are not known. It begins a new read if one is due.
func (l *leaseCache) domain(ctx context.Context, subject Subject, name string) map[string]registry.Key {
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
		go l.read(context.WithoutCancel(ctx), subject, name, done)
	}
	l.mu.Unlock()
	await(ctx, done, otherWait)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[name].by
}

// read reads the leases of a domain.
func (l *leaseCache) read(ctx context.Context, subject Subject, name string, done chan struct{}) {
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
		if len(l.last) >= maxLeaseLists {
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
