// Package registry reads which hosts serve which domain from etcd.
//
// The keys are written by anything that can put a key, with nothing but etcdctl if need be:
//
//	/services/web/<domain>/<host>/ip       10.0.0.1          required
//	/services/web/<domain>/<host>/port     10000             required
//	/services/web/<domain>/<host>/weight   0..256            optional, 1
//	/services/web/<domain>/<host>/maxconn  0..1000000        optional, 0: none
//	/services/web/<domain>/<host>/backup   true|false        optional, false
//	/services/web/<domain>/<host>/state    ready|drain|maint optional, ready
//	/services/web/<domain>/balance         roundrobin|static-rr|leastconn|first|random|source|uri
//	/services/web/<domain>/check           a URL path, "tcp" or "off"
//
// [Decode] turns keys into [Domain] values and knows nothing of etcd. It is total: whatever the
// keys and the values are, it returns what could be read, and a [Problem] for what could not.
// Nothing in a Domain or a Host has a byte that was not checked, so whoever writes a file or a
// socket from them need not check again. Three things keep one bad key from doing harm:
//
//   - A host that is half written is [Pending], which is no problem: two puts are not one write.
//   - A host with a bad value is held: it is in Domain.HeldHosts and not in Domain.Hosts, so that
//     the last good one can stay. The same goes for the options of a domain and Domain.Held.
//   - A key that is not in the layout holds nothing. It is reported and passed over.
//
// [Client] reads the keys from etcd with linearizable reads, page by page and all at one revision:
// a [Snapshot] is complete or there is none. A wrong prefix is an empty snapshot and not an error,
// because etcd does not know of prefixes; whoever acts on a snapshot must beware of an empty one.
// [Client.Follow] keeps the keys in memory, takes what the watch tells from the revision of the
// listing on, and decodes only the domains whose keys changed: each [Update] has the whole snapshot,
// which is what Decode would make of all keys at that revision, but for hosts that are about to
// change their address and have only half of it so far. Whatever ends the watch (a lost connection,
// a compaction, a member without a leader), the keys are read again: nothing is missed, and an
// etcd that was created anew is seen as such.
//
// An etcd that cannot be read (away, silent, without a leader, refusing the certificate, the
// password or the permission) is an error that wraps [ErrUnavailable] and says what to do about it.
//
// This is the only package that imports etcd's client.
package registry
