// Package registry has the types and the rules of the service registry: what each key means, and which names and values are
// good. It is pure; the packages below it do the I/O.
//
// Any program that can put a key into etcd writes the keys; etcdctl is enough:
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
// [Decode] turns keys into [Domain] values. It accepts any keys and values: it returns what it could read, and a [Problem] for
// each key that it could not. Every byte of a Domain or a Host has been checked, so a caller can write it into a file or a socket.
// Three rules keep one bad key from doing harm:
//
//   - A half-written host is [Pending], which is no problem: two puts are not one write.
//   - A host with a bad value is held: it is in Domain.HeldHosts and not in Domain.Hosts, so that the last good one can stay.
//     Domain.Held does the same for the options of a domain.
//   - A key without a meaning is counted and ignored. If it would be a host with an address as its value, it is in
//     Domain.Unclear, too: it was a host if HAProxy has a server of that name.
//
// A [Snapshot] is the registry at one revision, complete and checked. An [Update] is a Snapshot with the difference from the one
// before. A wrong prefix gives an empty snapshot and no error, because etcd has no prefixes: a caller must be careful with an
// empty snapshot. An [AgentReport] is an agent's report about itself.
//
// Packages below this one: mirror (the registry in memory), etcd (the only package that imports etcd's client), health (probes),
// registrar (the life of a registered host) and docker (containers as hosts).
package registry
