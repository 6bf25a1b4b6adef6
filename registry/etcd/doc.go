// Package etcd is the only one that imports etcd's client.
//
// [Client] reads the keys from etcd with linearizable reads, page by page and all at one revision:
// a registry.Snapshot is complete or there is none. A wrong prefix is an empty snapshot and not an error,
// because etcd does not know of prefixes; a caller that acts on a snapshot must beware of an empty one.
// [Client.Follow] keeps the keys in memory, takes what the watch tells from the revision of the
// listing on, and decodes only the domains whose keys changed: see registry/mirror. Whatever ends the watch (a lost connection,
// a compaction, a member without a leader), the keys are read again: nothing is missed, and an
// etcd that was created again is seen as such.
//
// An etcd that cannot be read (away, silent, without a leader, refusing the certificate, the
// password or the permission) is an error that wraps registry.ErrUnavailable and says what to do about it.
package etcd
