package registry

import "net/netip"

// A Revision is etcd's revision of the whole store: it grows with every write.
type Revision int64

// A Snapshot is the registry as it was at one revision: complete, checked and sorted.
type Snapshot struct {
	// ClusterID names the etcd cluster; a restored or re-created one has another.
	ClusterID uint64
	Revision  Revision
	// Domains are sorted by name; each has at least one key that could be read.
	Domains []Domain
	// Problems are sorted by key.
	Problems []Problem
	// Keys counts the keys below the prefix, good and bad. Zero may mean a wrong prefix.
	Keys int
}

// A Domain is a host name that clients ask for, and the hosts that serve it.
type Domain struct {
	// Name is an RFC 1123 host name in lower case.
	Name    string
	Options DomainOptions
	// Hosts are complete and good, sorted by name.
	Hosts []Host
	// Pending names the hosts that have only one of ip and port so far, sorted.
	Pending []Pending
	// Held is set where the options of the domain cannot be read: the last good ones stay.
	Held bool
	// HeldHosts names the hosts with a bad value, sorted: the last good ones stay.
	HeldHosts []string
}

// DomainOptions are the optional keys of a domain; empty means that the key is not set.
type DomainOptions struct {
	// Balance is a HAProxy balance algorithm.
	Balance string
	// Check is a URL path, "tcp" or "off".
	Check string
}

// A Host serves a domain at an address. It becomes a HAProxy server.
type Host struct {
	Name string
	Addr netip.AddrPort
	// Weight is 0..256; 1 where the key is not set.
	Weight int
	// MaxConn is the limit of concurrent connections; 0 means none.
	MaxConn int
	Backup  bool
	State   HostState
}

// A HostState says whether a host takes requests.
type HostState string

// The states of a host.
const (
	Ready HostState = "ready" // takes requests
	Drain HostState = "drain" // takes only requests that carry its cookie
	Maint HostState = "maint" // takes none
)

// Pending is a host that is half written.
type Pending struct {
	Host string
	// Missing is the attribute that is not there yet: "ip" or "port".
	Missing string
}

// A Problem is a key that cannot be used, and why. It is never fatal.
type Problem struct {
	// Key as in etcd, quoted where it has bytes that do not print.
	Key string
	// Reason is one line of printable text that names what is wrong and what would be right.
	Reason string
	// Domain and Host say what is held back by it; both are empty where nothing is.
	Domain, Host string
}

// Holds reports whether the problem keeps a host or a domain from being followed.
func (p Problem) Holds() bool { return p.Domain != "" }
