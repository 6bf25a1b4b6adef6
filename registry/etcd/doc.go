// Package etcd is the registry in etcd. It is the only package that imports etcd's client.
//
// [Client] reads the keys with linearizable reads, page by page and all at one revision: it returns a complete
// registry.Snapshot or none. A wrong prefix gives an empty snapshot and no error, because etcd has no prefixes: a caller must
// be careful with an empty snapshot. [Client.Follow] keeps the keys in memory, and follows the watch from the revision of the
// listing on. It decodes only the domains whose keys changed: see registry/mirror. When the watch ends (a lost connection, a
// compaction, a member without a leader), Follow reads the keys again: so it misses nothing, and notices an etcd that was
// created again.
//
// If etcd cannot be read (down, silent, without a leader, or it refuses the certificate, the password or the permission), the
// error wraps registry.ErrUnavailable and says what to do.
package etcd
