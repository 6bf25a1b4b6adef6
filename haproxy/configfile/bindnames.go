package configfile

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A namedBind is an address where HAProxy listens by a host name, at a range of ports, and where the files say so.
type namedBind struct {
	name      string
	low, high int
	place     string
}

// A lookup is what a host name has led to. If it leads nowhere any more, ips are those of before: HAProxy may have them still.
type lookup struct {
	ips []netip.Addr
	err error
	at  time.Time // zero for one of a process before, which is to be made again
}

const (
	// lookupTime is how long the names of one reading may take, all at the same time.
	lookupTime = 2 * time.Second
	// lookupAgain is after how long a name that led nowhere is looked up again.
	lookupAgain = 10 * time.Minute
)

// resolveBinds adds the addresses that the host names of b lead to: a virtual address may be another machine's now. Those of this machine are
// there already. HAProxy looks names up when it starts.
func (c *Files) resolveBinds(b *Base) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	var looking sync.WaitGroup
	found := make([]lookup, len(b.named))
	for i, n := range b.named {
		looking.Go(func() { found[i] = c.lookUp(ctx, n.name) })
	}
	looking.Wait()
	for i, n := range b.named {
		if err := found[i].err; err != nil {
			b.Unresolved = append(b.Unresolved, fmt.Sprintf("%s: %v", n.place, err))
		}
		b.listen(found[i].ips, n.low, n.high, n.place)
	}
}

// lookUp asks once for each process of HAProxy's.
func (c *Files) lookUp(ctx context.Context, name string) lookup {
	c.mu.Lock()
	before := c.names[name]
	c.mu.Unlock()
	if !before.at.IsZero() && (before.err == nil || time.Since(before.at) < lookupAgain) {
		return before
	}
	resolve := c.resolver
	if resolve == nil {
		resolve = net.DefaultResolver.LookupNetIP
	}
	ips, err := resolve(ctx, "ip", name)
	found := lookup{err: err, at: time.Now()}
	for _, ip := range ips {
		found.ips = append(found.ips, ip.WithZone("").Unmap())
	}
	if err != nil {
		found.ips = before.ips
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.names == nil {
		c.names = map[string]lookup{}
	}
	c.names[name] = found
	return found
}

// forgetNames has all names looked up again.
func (c *Files) forgetNames() {
	for name, l := range c.names {
		l.at = time.Time{}
		c.names[name] = l
	}
}

// A resolver looks a host name up.
type resolver func(ctx context.Context, network, host string) ([]netip.Addr, error)
