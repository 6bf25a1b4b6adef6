package etcd

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// tend brings the keys in line with what the registration wants. A write that comes to nothing because the keys have
// changed meanwhile is made good at the next event, which tells of that change. Keys that are older than the last write say
// nothing.
func (r *Registration) tend(ctx context.Context, have hostKeys) error {
	if have.revision < r.written {
		return nil
	}
	other, taken := have.other(r.lease.id)
	switch {
	case r.out:
		return nil
	case have.complete(r.lease.id):
		return r.report(ctx, have)
	case taken && other.lease == r.lease.past && other.lease != 0:
		return nil
	case taken && !r.mayReplace(have):
		return r.taken(ctx, have, other)
	}
	return r.claim(ctx, have)
}

// report writes the state where the health has changed.
func (r *Registration) report(ctx context.Context, have hostKeys) error {
	if r.told != "" {
		r.told = ""
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

// taken is what to do where another has the name: at the start that is an error, later it is waited for.
func (r *Registration) taken(ctx context.Context, have hostKeys, other hostKey) error {
	held := r.client.heldError(ctx, r.conf.Domain, r.conf.Host.Name, have, other)
	if !r.held && !r.conf.Patient {
		return held
	}
	held.Left = 0 // else it is news each time
	r.trouble(r.outWords(), held)
	return nil
}

// mayReplace reports whether the name may be taken over from who has it.
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

// outWords say since when the host has no name.
func (r *Registration) outWords() string {
	if r.held {
		return "another has taken the name meanwhile: the host is out until it is free"
	}
	return "another has the name: the host is out until it is free"
}

// claim writes all keys of the host under a lease that lives.
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
		r.state = r.operators(have) // set for this host before it came
	}
	before := r.wrote
	ops := r.puts(have)
	same := []clientv3.Cmp{
		clientv3.Compare(clientv3.ModRevision(r.path+"/"), "<", have.revision+1).WithPrefix(),
		clientv3.Compare(clientv3.ModRevision(r.path), "<", have.revision+1),
	}
	revision, err := r.client.txn(ctx, same, ops...)
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
	r.held, r.told, r.conf.Replace, r.lease.last = true, "", false, id
	r.log.Info("registered", "address", r.conf.Host.Addr.String(), "state", r.stateToBe(), "lease", leaseName(id), "ttl", r.conf.TTL.String())
	return nil
}

// stateToBe is the operator's, or else what the health is.
func (r *Registration) stateToBe() string {
	if r.state != "" {
		return r.state
	}
	return r.healthy()
}

// puts are the operations that leave the keys of the host and no others. They note the state that they write unless it is
// an operator's.
func (r *Registration) puts(have hostKeys) []clientv3.Op {
	want := maps.Clone(r.want)
	want["state"] = r.stateToBe()
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
