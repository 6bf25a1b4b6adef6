package etcd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// hostKeys are the keys of one host in etcd.
type hostKeys struct {
	path     string // of the host, without a trailing slash
	revision int64
	keys     map[string]hostKey // by key
}

type hostKey struct {
	value   string
	lease   clientv3.LeaseID // 0 for none
	version int64            // etcd's version of the key: 1 when it is created, plus 1 for each put
}

func keyOf(kv *mvccpb.KeyValue) hostKey {
	return hostKey{value: string(kv.Value[:min(len(kv.Value), registry.MaxValue)]), lease: clientv3.LeaseID(kv.Lease), version: kv.Version}
}

// hostPath is the key that is a host itself; its other keys are below. A bad name is an error.
func (c *Client) hostPath(domain, host string) (string, error) {
	if err := registry.CheckDomain(domain); err != nil {
		return "", err
	}
	if err := registry.CheckHost(host); err != nil {
		return "", err
	}
	return c.conf.Prefix + "/" + strings.ToLower(domain) + "/" + host, nil
}

// keyOfHost is the key of an attribute of a host.
func keyOfHost(path, attribute string) string {
	if attribute == registry.Itself {
		return path
	}
	return path + "/" + attribute
}

// aroundHost is the narrowest range with all keys of a host. It also has hosts whose name continues with "-" or ".".
func aroundHost(path string) clientv3.OpOption { return clientv3.WithRange(path + string('/'+1)) }

// hostKeys reads the keys of a host.
func (c *Client) hostKeys(ctx context.Context, path string) (hostKeys, error) {
	page, err := c.get(ctx, c.conf.DialTimeout, path, aroundHost(path))
	if err != nil {
		return hostKeys{}, err
	}
	have := hostKeys{path: path, revision: page.Header.Revision, keys: map[string]hostKey{}}
	for _, kv := range page.Kvs {
		if have.has(string(kv.Key)) {
			have.keys[string(kv.Key)] = keyOf(kv)
		}
	}
	return have, nil
}

// has reports whether a key is one of the host's.
func (h hostKeys) has(key string) bool { return key == h.path || strings.HasPrefix(key, h.path+"/") }

// apply applies an event of the watch.
func (h *hostKeys) apply(event *clientv3.Event) {
	h.revision = max(h.revision, event.Kv.ModRevision)
	switch key := string(event.Kv.Key); {
	case !h.has(key):
	case event.Type == mvccpb.Event_DELETE:
		delete(h.keys, key)
	default:
		h.keys[key] = keyOf(event.Kv)
	}
}

// of is the key of an attribute.
func (h hostKeys) of(attribute string) (key hostKey, there bool) {
	key, there = h.keys[keyOfHost(h.path, attribute)]
	return key, there
}

// address is the host's address according to its keys; empty if one is missing. It is not checked.
func (h hostKeys) address() string {
	if one, there := h.of(registry.Itself); there {
		return one.value
	}
	ip, hasIP := h.of("ip")
	port, hasPort := h.of("port")
	if !hasIP || !hasPort {
		return ""
	}
	return ip.value + ":" + port.value
}

// addressKeys are the attributes that make a host: the writer of one of them has the name.
func addressKeys() []string { return []string{"ip", "port", registry.Itself} }

// complete reports whether the lease holds the address of the host.
func (h hostKeys) complete(lease clientv3.LeaseID) bool {
	held := func(attribute string) bool {
		key, there := h.of(attribute)
		return there && lease != 0 && key.lease == lease
	}
	return held(registry.Itself) || held("ip") && held("port")
}

// other returns a key of the address that the lease does not hold.
func (h hostKeys) other(lease clientv3.LeaseID) (key string, there bool) {
	for _, attribute := range addressKeys() {
		if key, there := h.of(attribute); there && (lease == 0 || key.lease != lease) {
			return keyOfHost(h.path, attribute), true
		}
	}
	return "", false
}

// under returns the keys that the lease holds, sorted.
func (h hostKeys) under(lease clientv3.LeaseID) (keys []string) {
	for _, key := range slices.Sorted(maps.Keys(h.keys)) {
		if lease != 0 && h.keys[key].lease == lease {
			keys = append(keys, key)
		}
	}
	return keys
}

// unchanged holds while no key of the host has been written since they were read.
func (h hostKeys) unchanged() []clientv3.Cmp {
	return []clientv3.Cmp{
		clientv3.Compare(clientv3.ModRevision(h.path+"/"), "<", h.revision+1).WithPrefix(),
		clientv3.Compare(clientv3.ModRevision(h.path), "<", h.revision+1),
	}
}

// anchor is a key that represents the host; empty if it has none.
func (h hostKeys) anchor() string {
	for _, attribute := range addressKeys() {
		if _, there := h.of(attribute); there {
			return keyOfHost(h.path, attribute)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(h.keys)) {
		return key
	}
	return ""
}

// A HeldError says that another host has the name.
type HeldError struct {
	Domain, Host string
	// Addr is the address of the other host; empty if one of its keys is missing.
	Addr string
	// Key is a key of its address, and Value its value.
	Key, Value string
	// Lease of its keys; 0 if they have none and stay until they are deleted.
	Lease int64
	// Left is when the lease ends unless it is kept alive; 0 if unknown.
	Left time.Duration
}

func (e *HeldError) Error() string {
	name := fmt.Sprintf("%s/%s is registered already, at %s", e.Domain, e.Host, e.Addr)
	if e.Addr == "" {
		name = fmt.Sprintf("%s/%s is registered already, by the key %s with the value %s", e.Domain, e.Host, e.Key, registry.Quote(e.Value))
	}
	switch {
	case e.Lease == 0:
		return name + ": its keys have no lease, as etcdctl put makes them, and stay until they are deleted"
	case e.Left == 0:
		return fmt.Sprintf("%s, by lease %x", name, e.Lease)
	}
	return fmt.Sprintf("%s, by lease %x, which has %s left and may be kept alive", name, e.Lease, e.Left)
}

// heldError also reads how much time the other host's lease has left.
func (c *Client) heldError(ctx context.Context, domain, host string, have hostKeys, theirs string) *HeldError {
	other := have.keys[theirs]
	held := &HeldError{Domain: domain, Host: host, Lease: int64(other.lease), Addr: registry.OneLine(have.address()),
		Key: registry.Printable(theirs), Value: registry.OneLine(other.value)}
	if other.lease != 0 {
		held.Left, _ = c.leaseLeft(ctx, other.lease) // that error matters less than the name
	}
	return held
}

// leaseLeft is how long the lease lives unless it is kept alive, at most; 0 if it has ended.
func (c *Client) leaseLeft(ctx context.Context, lease clientv3.LeaseID) (time.Duration, error) {
	left, _, err := c.leaseTime(ctx, lease)
	return left, err
}

// leaseTime returns how long a lease lives unless it is kept alive, at most, and its whole TTL; both are 0 if there is no such
// lease. etcd rounds down to whole seconds: 0 means that the lease lives for up to a second, and -1 that there is none.
func (c *Client) leaseTime(ctx context.Context, lease clientv3.LeaseID) (left, whole time.Duration, err error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), c.conf.DialTimeout)
	defer cancel()
	client, err := c.connected(ctx)
	if err != nil {
		return 0, 0, err
	}
	told, err := client.TimeToLive(ctx, lease)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) || err == nil && told.TTL < 0 {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	whole = time.Duration(told.GrantedTTL) * time.Second
	return min(time.Duration(told.TTL+1)*time.Second, whole), whole, nil
}

// txn carries out the operations if all comparisons hold. It returns the revision, or 0 if one does not hold.
func (c *Client) txn(ctx context.Context, cmps []clientv3.Cmp, ops ...clientv3.Op) (revision int64, err error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), c.conf.DialTimeout)
	defer cancel()
	client, err := c.connected(ctx)
	if err != nil {
		return 0, err
	}
	resp, err := client.Txn(ctx).If(cmps...).Then(ops...).Commit()
	if err != nil || !resp.Succeeded {
		return 0, err
	}
	return resp.Header.Revision, nil
}

// explainWrite is explain for a write of the hosts of a domain. It recommends a grant for that domain only.
func (c *Client) explainWrite(ctx context.Context, err error, domain string) error {
	return c.explainDenied(ctx, err, "write", "readwrite", c.domainRoot(domain), true)
}

// explainRead is explain for a read below another prefix, which has no trailing slash.
func (c *Client) explainRead(ctx context.Context, err error, prefix string) error {
	return c.explainDenied(ctx, err, "read", "read", prefix+"/", true)
}

// domainRoot is the prefix of the keys of a domain.
func (c *Client) domainRoot(domain string) string {
	return c.conf.Prefix + "/" + strings.ToLower(domain) + "/"
}

// explainDenied recommends the narrowest grant: for the key, or for all keys below it.
func (c *Client) explainDenied(ctx context.Context, err error, what, grant, key string, below bool) error {
	if ctx.Err() != nil || !denied(err) {
		return c.explain(ctx, err)
	}
	key = registry.OneLine(key)
	where, flag := key, ""
	if below {
		where, flag = "below "+key, " --prefix"
	}
	why := fmt.Sprintf("%s may not %s %s: grant it with `etcdctl role grant-permission <role> %s %s%s`",
		c.conf.user(), what, where, grant, key, flag)
	return &unavailableError{fmt.Sprintf("%v: etcd at %s: %s", registry.ErrUnavailable, strings.Join(c.conf.Endpoints, ", "), why), err}
}
