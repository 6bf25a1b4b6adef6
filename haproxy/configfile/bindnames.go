package configfile

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A namedBind is a host name and a range of ports on which HAProxy listens, and the place of the line.
type namedBind struct {
	name      string
	low, high int
	place     string
}

// A lookup is the result for a host name. If the name has no address any more, ips are the previous ones: HAProxy may still use them.
type lookup struct {
	ips []netip.Addr
	err error
	at  time.Time // zero if it must be repeated, since HAProxy was started again
}

const (
	// lookupTime is the timeout for all names of one reading, which are looked up at the same time.
	lookupTime = 2 * time.Second
	// lookupAgain is the interval after which a failed lookup is repeated.
	lookupAgain = 10 * time.Minute
)

// resolveBinds adds the addresses of host names. It does so for all: a virtual address may have moved to another machine. HAProxy looks names
// up when it starts.
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

// lookUp looks a name up once for each process of HAProxy.
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

// forgetNames makes all names be looked up again.
func (c *Files) forgetNames() {
	for name, l := range c.names {
		l.at = time.Time{}
		c.names[name] = l
	}
}

// A resolver looks a host name up.
type resolver func(ctx context.Context, network, host string) ([]netip.Addr, error)
