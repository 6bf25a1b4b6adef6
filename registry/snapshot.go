package registry

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// ErrUnavailable is wrapped by all errors that keep the registry from being read.
var ErrUnavailable = errors.New("registry not reachable")

// ErrDenied is wrapped, too, if etcd answers that the user has no permission.
var ErrDenied = errors.New("no permission")

// A Revision is etcd's revision of the whole store: it grows with every write.
type Revision int64

// A Snapshot is the registry at one revision: complete, checked and sorted.
type Snapshot struct {
	// Prefix of its keys, without a trailing slash.
	Prefix string
	// ClusterID of the etcd cluster; a restored or re-created cluster has another.
	ClusterID uint64
	Revision  Revision
	// Changed is the last change below the prefix that the snapshot has, or the revision of the last listing if that is later.
	// While an address change waits for its second key, it is the revision before that change. Only Follow sets it.
	Changed Revision
	// Domains are sorted by name; each has at least one key that could be read, or one that is Unclear. Snapshots share them, so none
	// is ever written to.
	Domains []*Domain
	// Problems are sorted by key.
	Problems []Problem
	// Ignored are the keys without a meaning.
	Ignored Ignored
	// Keys counts the keys below the prefix, good and bad, without the prefix itself. Zero may mean a wrong prefix.
	Keys int
}

// A Domain is a host name that clients ask for, and the hosts that serve it.
type Domain struct {
	// Name is an RFC 1123 host name in lower case.
	Name    string
	Options DomainOptions
	// Hosts are complete and good, sorted by name.
	Hosts []Host
	// Pending are the hosts that have no ip or port yet, sorted by name. None has a bad value.
	Pending []Pending
	// Held is set if an option of the domain cannot be read: the last good options stay. Options then has only those that could
	// be read.
	Held bool
	// AliasesSince is the revision that created the key aliases. If two domains ask for one alias, the older key gets it.
	AliasesSince Revision
	// HeldHosts are the names of the hosts with a bad value, sorted: the last good ones stay.
	HeldHosts []string
	// Unclear are keys that would be hosts if their values were addresses, sorted. They count as ignored, unless HAProxy has a
	// server of that name: then the key is a host with a bad value.
	Unclear []Problem
}

// Ignored reports whether the domain has only Unclear keys.
func (d *Domain) Ignored() bool {
	return len(d.Unclear) > 0 && !d.Held && d.Options == DomainOptions{} && len(d.Hosts)+len(d.Pending)+len(d.HeldHosts) == 0
}

// Equal compares all but AliasesSince.
func (d Domain) Equal(other Domain) bool {
	return d.Name == other.Name && d.Options == other.Options && d.Held == other.Held && slices.Equal(d.Hosts, other.Hosts) &&
		slices.Equal(d.Pending, other.Pending) && slices.Equal(d.HeldHosts, other.HeldHosts) &&
		slices.Equal(d.Unclear, other.Unclear)
}

// CompareName compares the name of the domain with another one, for a binary search.
func (d *Domain) CompareName(name string) int { return strings.Compare(d.Name, name) }

// DomainOptions are the optional keys of a domain; empty means that the key is not set.
type DomainOptions struct {
	// Balance is one of roundrobin, static-rr, leastconn, first, random, source and uri.
	Balance string
	// Check is "off", "tcp" or a URL path of at most 256 bytes, possibly with a query, that starts with a slash and has no
	// space, quote, backslash, "#", ";" or "$". After "tcp" or a path there may be words, in the order of CheckOf.
	Check string
	// Cookie is "off", or a name of letters, digits, "_", "." and "-", followed by some of httponly, secure,
	// samesite=lax|strict|none, maxidle=30m and maxlife=8h, in this order.
	Cookie string
	// TimeoutServer is a whole number with its unit, such as 30s, one day at most.
	TimeoutServer string
	// TLS says whether HAProxy uses TLS to the hosts: "off", "verify", or "noverify", which does not check their certificates.
	TLS string
	// Aliases are more names of the domain, such as "*.abc.com www.abc.com": sorted, with one space between them, in lower
	// case. "*." stands for one or more labels.
	Aliases string
	// RedirectHTTPS redirects clients without TLS to https. Maintenance answers all clients with 503.
	RedirectHTTPS, Maintenance bool
}

// String lists the options that are set, for people; empty if there are none.
func (o DomainOptions) String() string {
	var words []string
	for _, w := range []struct{ name, value string }{
		{aliasesKey, o.Aliases}, {"balance", o.Balance}, {"check", o.Check}, {"cookie", o.Cookie},
		{"timeout-server", o.TimeoutServer}, {"tls", o.TLS},
	} {
		if w.value != "" {
			words = append(words, w.name+" "+w.value)
		}
	}
	if o.RedirectHTTPS {
		words = append(words, "redirect-https")
	}
	if o.Maintenance {
		words = append(words, "maintenance")
	}
	return strings.Join(words, ", ")
}

// A Host serves a domain at an address. It becomes a HAProxy server.
type Host struct {
	// Name is 1 to 64 letters, digits, "_", "." and "-".
	Name string
	// Addr is a unicast IPv4 or IPv6 address without a zone, never IPv4-mapped, and a port that is not 0.
	Addr netip.AddrPort
	// OneKey is set if the address is in one key, the host itself, and not in ip and port.
	OneKey bool
	// Weight is 0..256; 1 if the key is not set.
	Weight int
	// MaxConn is the limit of concurrent connections, 1000000 at most; 0 means none.
	MaxConn int
	Backup  bool
	// Unset says which of Weight, MaxConn, Backup and State have no key. HAProxy's configuration decides those, for example by
	// default-server.
	Unset Unset
	State HostState
}

// Unset are the keys of a host that are not set.
type Unset struct{ Weight, MaxConn, Backup, State bool }

// newHost is a host without any key.
func newHost(name string) Host {
	return Host{Name: name, Weight: 1, Unset: Unset{true, true, true, true}, State: Ready}
}

// A HostState says which requests a host gets.
type HostState string

// The states of a host.
const (
	Ready HostState = "ready" // gets requests
	Drain HostState = "drain" // gets only requests with its cookie
	Maint HostState = "maint" // gets none
)

// Pending is a half-written host.
type Pending struct {
	Host string `json:"host" doc:"name of the host"`
	// Missing is what is missing: "ip", "port" or "ip and port".
	Missing string `json:"missing" doc:"the key that is not there yet"`
}

// A Problem is a key that cannot be used, and why. It is never fatal. All keys of a domain or a host with a bad name are one
// Problem.
type Problem struct {
	// Key in etcd; the first one if there are several. It is in quotes if it has a space, a quote or a byte that does not
	// print. It is cut off if it is longer than any good key.
	Key string `json:"key" doc:"the key"`
	// Reason is one line of printable text that names what is wrong and what would be right.
	Reason string `json:"reason" doc:"what is wrong with it"`
	// Domain and Host say what the problem holds or leaves out: a host, or a domain or its options if Host is empty. A bad name
	// is in quotes, so that it never equals a good one. Both are empty if the problem holds nothing.
	Domain string `json:"domain,omitempty" doc:"the domain that it belongs to, if it is known"`
	Host   string `json:"host,omitempty" doc:"the host that it belongs to, if it is known"`
}

// Holds reports whether the problem keeps hapsync from following a host, a domain or its options.
func (p Problem) Holds() bool { return p.Domain != "" }

// An Update is the registry as it is now, and what to look at again.
type Update struct {
	// Snapshot is complete. It never changes, so a caller may keep and share it. A Snapshot of another cluster, or of a lower
	// revision than the one before, comes from an etcd that was re-created or restored: the caller decides whether to follow
	// it.
	Snapshot Snapshot
	// Changed are the domains that differ from the update before, sorted; nil with All. If it is empty, only Revision, Keys or
	// Problems differ.
	Changed []string
	// Heard is when etcd sent the first change of each domain in Changed. It can be some time ago if a host waited for its
	// second key. The zero time means that a listing found the change.
	Heard map[string]time.Time
	// All says to look at everything: at the start, and when etcd is back.
	All bool
	// Expired has "domain/host" of the hosts that are gone because their lease ended: they died and need no drain. A caller
	// that removes a living host must delete its keys some time before its lease.
	Expired []string
}

// A Key is a key of a domain in etcd.
type Key struct {
	// Key and Value are printable, cut off if they are long.
	Key   string `json:"key" doc:"the key"`
	Value string `json:"value" doc:"its value, cut off if it is long"`
	// Host is the part of the key after the domain, if it is a host.
	Host string `json:"host,omitempty" doc:"the host that it belongs to"`
	// Revision of the last put.
	Revision Revision `json:"revision" doc:"revision of its last put"`
	// Lease is in hexadecimal, as in etcdctl; empty for a key without one. Left is how long the lease lives unless it is kept
	// alive.
	Lease       string        `json:"lease,omitempty" doc:"its lease, in hexadecimal as etcdctl has it"`
	Left        time.Duration `json:"-"`
	LeftSeconds float64       `json:"left_seconds,omitempty" doc:"for how long the lease goes on unless it is kept alive"`
}
