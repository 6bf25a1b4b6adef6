package etcd

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// reconcile brings the keys in line with the registration. If a write fails because the keys have changed meanwhile, the event
// of that change calls reconcile again. Keys that are older than the last write are ignored.
func (r *Registration) reconcile(ctx context.Context, have hostKeys) error {
	if have.revision < r.written {
		return nil
	}
	theirs, taken := have.other(r.lease.id)
	switch {
	case r.out:
		return nil
	case have.complete(r.lease.id):
		return r.report(ctx, have)
	case taken && have.keys[theirs].lease == r.lease.past && r.lease.past != 0:
		return nil
	case taken && !r.mayReplace(have):
		return r.taken(ctx, have, theirs)
	}
	return r.claim(ctx, have)
}

// report writes the state if the health has changed.
func (r *Registration) report(ctx context.Context, have hostKeys) error {
	if r.logged != "" {
		r.logged = ""
		r.log.Info("etcd is back, the host is still registered")
	}
	key, _ := have.of("state")
	want := r.healthy()
	if r.state != "" || key.value == want || key.value == "" && want == string(registry.Ready) {
		return nil
	}
	before := r.wrote
	r.wrote = stateWrite{want, key.version + 1}
	state := keyOfHost(r.path, "state")
	revision, err := r.client.txn(ctx, append(have.same(), clientv3.Compare(clientv3.Version(state), "=", key.version)),
		clientv3.OpPut(state, want, clientv3.WithLease(r.lease.id)))
	if err != nil {
		return err
	}
	if revision == 0 {
		r.wrote = before
		return nil
	}
	r.written = revision
	r.log.Info("the state follows the health", "state", want)
	return nil
}

// taken handles a name that another host has, by the key theirs. At the start that is an error; later the registration waits
// until the name is free.
func (r *Registration) taken(ctx context.Context, have hostKeys, theirs string) error {
	if ours := have.under(r.lease.id); len(ours) > 0 {
		return r.yield(ctx, have, theirs, ours)
	}
	held := r.client.heldError(ctx, r.conf.Domain, r.conf.Host.Name, have, theirs)
	if !r.held && !r.conf.Patient {
		return held
	}
	held.Left = 0 // it changes each time, and would be logged each time
	r.warn(r.takenMessage(), held)
	return nil
}

// yield deletes the registration's own keys when another has written a key of the address, theirs. HAProxy would get a server
// with the ip of one and the port of the other.
func (r *Registration) yield(ctx context.Context, have hostKeys, theirs string, ours []string) error {
	same, ops := have.unchanged(), []clientv3.Op(nil)
	for _, key := range ours {
		same = append(same, clientv3.Compare(clientv3.LeaseValue(key), "=", r.lease.id))
		ops = append(ops, clientv3.OpDelete(key))
	}
	revision, err := r.client.txn(ctx, same, ops...)
	if err != nil || revision == 0 {
		return err
	}
	r.written = revision
	r.lease.last = 0 // this deletion is not an operator's
	r.log.Warn("another has written a key of the host: its other keys are deleted, so that HAProxy does not get an address of both",
		"key", registry.Printable(theirs), "value", registry.OneLine(have.keys[theirs].value), "deleted", registry.Printable(strings.Join(ours, " ")))
	return nil
}

// mayReplace reports whether the registration may take the name over from its present owner.
func (r *Registration) mayReplace(have hostKeys) bool {
	if !r.conf.Replace || len(r.conf.ReplaceAt) == 0 {
		return r.conf.Replace
	}
	ip, _ := have.of("ip")
	addr, err := netip.ParseAddr(ip.value)
	if one, there := have.of(registry.Itself); there {
		var whole netip.AddrPort
		whole, err = netip.ParseAddrPort(one.value)
		addr = whole.Addr()
	}
	return err == nil && slices.Contains(r.conf.ReplaceAt, addr.Unmap())
}

// takenMessage is the log message for a name that another host has.
func (r *Registration) takenMessage() string {
	if r.held {
		return "another has taken the name meanwhile: the host is out until it is free"
	}
	return "another has the name: the host is out until it is free"
}

// claim writes all keys of the host under a living lease.
func (r *Registration) claim(ctx context.Context, have hostKeys) error {
	id, err := r.lease.ensure(ctx, r.client, r.conf.TTL)
	if err != nil {
		return err
	}
	if id == r.lease.last && have.anchor() == "" && r.state != "" {
		r.out = true
		r.log.Warn("an operator has taken the host out: it stays out until it is registered again", "state", r.state)
		return nil
	}
	if left, _ := have.of("state"); !r.held && left.lease == 0 {
		r.state = r.operatorState(have) // an operator set it before the host came
	}
	before := r.wrote
	ops := r.puts(have)
	revision, err := r.client.txn(ctx, have.unchanged(), ops...)
	if err != nil {
		return err
	}
	if revision == 0 {
		r.wrote = before
		return nil
	}
	r.written = revision
	if !r.held && r.conf.Registered != nil {
		r.conf.Registered(registry.Revision(revision))
	}
	r.held, r.logged, r.conf.Replace, r.lease.last = true, "", false, id
	r.log.Info("registered", "address", r.conf.Host.Addr.String(), "state", r.wantState(), "lease", leaseName(id), "ttl", r.conf.TTL.String())
	return nil
}

// wantState is the operator's state if there is one, else the health.
func (r *Registration) wantState() string {
	if r.state != "" {
		return r.state
	}
	return r.healthy()
}

// puts returns the operations that write the wanted keys and delete the others. It notes the state that they write, unless it
// is an operator's.
func (r *Registration) puts(have hostKeys) []clientv3.Op {
	want := maps.Clone(r.want)
	want["state"] = r.wantState()
	r.wrote = stateWrite{}
	if r.state == "" {
		state, _ := have.of("state")
		r.wrote = stateWrite{want["state"], state.version + 1}
	}
	var ops []clientv3.Op
	unwanted := maps.Clone(have.keys)
	for _, attribute := range slices.Sorted(maps.Keys(want)) {
		key := keyOfHost(r.path, attribute)
		ops = append(ops, clientv3.OpPut(key, want[attribute], clientv3.WithLease(r.lease.id)))
		delete(unwanted, key)
	}
	for _, key := range slices.Sorted(maps.Keys(unwanted)) {
		ops = append(ops, clientv3.OpDelete(key))
	}
	return ops
}
