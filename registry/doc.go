// Package registry has the words of the service registry, and its rules: which keys mean what, and what a name or a value may
// be. It is pure: the packages below it have the wires.
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
//	/services/web/<domain>/check           a URL path, "tcp" or "off", and words such as inter=2s
//	/services/web/<domain>/aliases         www.abc.com *.abc.com
//
// [Decode] turns keys into [Domain] values and knows nothing of etcd. It is total: whatever the
// keys and the values are, it returns what could be read, and a [Problem] for what could not.
// Nothing in a Domain or a Host has a byte that was not checked, so a caller that writes a file or a
// socket from them need not check again. Three things keep one bad key from doing harm:
//
//   - A host that is half written is [Pending], which is no problem: two puts are not one write.
//   - A host with a bad value is held: it is in Domain.HeldHosts and not in Domain.Hosts, so that
//     the last good one can stay. The same goes for the options of a domain and Domain.Held.
//   - A key that is not in the layout holds nothing. It is counted and passed over. One that would be a host if it had an
//     address is in Domain.Unclear, too: where HAProxy has a server of that name, it was one.
//
// A [Snapshot] is what the registry said at one revision, complete and checked; an [Update] is a Snapshot with what differs from
// the one before. A wrong prefix is an empty snapshot and not an error, because etcd does not know of prefixes: a caller that
// acts on a snapshot must beware of an empty one. An [AgentReport] is what an agent says of itself in the registry.
//
// Below it: mirror (the registry in memory), etcd (the only package that imports etcd's client), health (probes), registrar (the
// life of a registered host) and docker (containers as hosts).
package registry
