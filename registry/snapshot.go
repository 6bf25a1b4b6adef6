package registry

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// ErrUnavailable is wrapped by all errors of an etcd that does not let the registry be read.
var ErrUnavailable = errors.New("registry not reachable")

// ErrDenied is wrapped, too, where etcd answers and the user has no permission.
var ErrDenied = errors.New("no permission")

// A Revision is etcd's revision of the whole store: it grows with every write.
type Revision int64

// A Snapshot is the registry as it was at one revision: complete, checked and sorted.
type Snapshot struct {
	// Prefix is the key below which it was read, without a slash at its end.
	Prefix string
	// ClusterID names the etcd cluster; a restored or re-created one has another.
	ClusterID uint64
	Revision  Revision
	// Changed is the last change below the prefix that is in it, or, if the watch has begun again since, the revision of
	// the listing. Where a host is about to change its address it is the one before. Only Follow tells.
	Changed Revision
	// Domains are sorted by name; each has at least one key that could be read, or one that is Unclear.
	Domains []Domain
	// Problems are sorted by key.
	Problems []Problem
	// Ignored are the keys that mean nothing.
	Ignored Ignored
	// Keys counts the keys below the prefix, good and bad; a key that is the prefix itself is not
	// counted. Zero may mean a wrong prefix.
	Keys int
}

// A Domain is a host name that clients ask for, and the hosts that serve it.
type Domain struct {
	// Name is an RFC 1123 host name in lower case.
	Name    string
	Options DomainOptions
	// Hosts are complete and good, sorted by name.
	Hosts []Host
	// Pending are the hosts without ip or port so far, sorted by name. None has a bad value.
	Pending []Pending
	// Held is set where an option of the domain cannot be read: the last good ones stay. Options
	// then has only those that could be read.
	Held bool
	// AliasesSince is the revision that the key aliases was created at: of two domains that ask for one alias the older key has it.
	AliasesSince Revision
	// HeldHosts names the hosts with a bad value, sorted: the last good ones stay.
	HeldHosts []string
	// Unclear are keys that would be hosts if their values were addresses, sorted. They mean nothing, and are counted as ignored,
	// unless HAProxy has a server of that name: then it is a host with a bad value.
	Unclear []Problem
}

// Ignored reports whether the domain has nothing but Unclear keys.
func (d Domain) Ignored() bool {
	return len(d.Unclear) > 0 && !d.Held && d.Options == DomainOptions{} && len(d.Hosts)+len(d.Pending)+len(d.HeldHosts) == 0
}

// Equal reports whether two domains say the same.
func (d Domain) Equal(other Domain) bool {
	return d.Name == other.Name && d.Options == other.Options && d.Held == other.Held && slices.Equal(d.Hosts, other.Hosts) &&
		slices.Equal(d.Pending, other.Pending) && slices.Equal(d.HeldHosts, other.HeldHosts) &&
		slices.Equal(d.Unclear, other.Unclear)
}

// DomainOptions are the optional keys of a domain; empty means that the key is not set.
type DomainOptions struct {
	// Balance is one of roundrobin, static-rr, leastconn, first, random, source and uri.
	Balance string
	// Check is "off", "tcp" or a URL path of 256 bytes at most, with a query maybe, that starts with a slash and has no space, quote,
	// backslash, "#", ";" or "$"; and then, but for "off", the words that CheckOf takes apart, in this order.
	Check string
	// Cookie is "off", or a name of letters, digits, "_", "." and "-", and then some of httponly, secure, samesite=lax|strict|none,
	// maxidle=30m and maxlife=8h, in this order.
	Cookie string
	// TimeoutServer is a whole number with its unit, such as 30s, of a day at most.
	TimeoutServer string
	// TLS says whether HAProxy speaks TLS to the hosts: "off", "verify" or "noverify", without a look at their certificates.
	TLS string
	// Aliases are further names that lead to the domain, such as "*.abc.com www.abc.com": sorted, with one space between them, in lower
	// case. "*." stands for one or more labels.
	Aliases string
	// RedirectHTTPS sends clients without TLS to the same place with it; Maintenance answers all of them with 503.
	RedirectHTTPS, Maintenance bool
}

// String is what a person reads of the options that are set; empty where none is.
func (o DomainOptions) String() string {
	var words []string
	for _, w := range []struct{ name, value string }{
		{aliasesKey, o.Aliases}, {"balance", o.Balance}, {"check", o.Check}, {"cookie", o.Cookie}, {"timeout-server", o.TimeoutServer}, {"tls", o.TLS},
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
	// Addr has a unicast IPv4 or IPv6 address without a zone, never an IPv4-mapped one, and a
	// port that is not 0.
	Addr netip.AddrPort
	// OneKey is set where the address is the value of one key, the host itself, and not of ip and port.
	OneKey bool
	// Weight is 0..256; 1 where the key is not set.
	Weight int
	// MaxConn is the limit of concurrent connections, 1000000 at most; 0 means none.
	MaxConn int
	Backup  bool
	// Unset says which of the three, and the state, have no key: HAProxy's own configuration decides them, its default-server for one.
	Unset Unset
	State HostState
}

// Unset are the keys of a host that are not set.
type Unset struct{ Weight, MaxConn, Backup, State bool }

// newHost is a host without any key.
func newHost(name string) Host {
	return Host{Name: name, Weight: 1, Unset: Unset{true, true, true, true}, State: Ready}
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
	Host string `json:"host" doc:"name of the host"`
	// Missing is what is not there yet: "ip", "port" or "ip and port".
	Missing string `json:"missing" doc:"the key that is not there yet"`
}

// A Problem is a key that cannot be used, and why. It is never fatal. The keys of a domain or a
// host whose name cannot be used are one Problem.
type Problem struct {
	// Key as in etcd, the first one where there are several; quoted where it has a space, a quote
	// or a byte that does not print, cut off where it is longer than any good key could be.
	Key string `json:"key" doc:"the key"`
	// Reason is one line of printable text that names what is wrong and what would be right.
	Reason string `json:"reason" doc:"what is wrong with it"`
	// Domain and Host say what is held back or left out by it: a host, or, where Host is empty, a domain or its
	// options. A name that is itself bad is quoted, so that it equals no good one. Both are empty where nothing is.
	Domain string `json:"domain,omitempty" doc:"the domain that it belongs to, if it is known"`
	Host   string `json:"host,omitempty" doc:"the host that it belongs to, if it is known"`
}

// Holds reports whether the problem keeps a host, a domain or its options from being followed.
func (p Problem) Holds() bool { return p.Domain != "" }

// An Update is what Follow tells: the registry as it is now, and what to look at again.
type Update struct {
	// Snapshot is whole. It is not written to any more: it may be kept, and shared. A Snapshot of
	// another cluster, or of a lower revision than the one before, comes from an etcd that was
	// re-created or restored: whether to follow it is for the caller to decide.
	Snapshot Snapshot
	// Changed names the domains that differ from the update before, sorted; nil with All. It may be
	// empty: then only Revision, Keys or Problems differ.
	Changed []string
	// Heard is when etcd told of the first of the changes of each domain of Changed: a host that waits for its other key may have
	// waited since then. The zero time stands for a change that a listing found.
	Heard map[string]time.Time
	// All says that everything is to be looked at: at the start, after Relist, and when etcd is back.
	All bool
	// Expired has "domain/host" of the hosts that are no more because their lease ended: they died, and
	// need no drain. A caller that takes out a host that lives must delete its keys before its lease, and
	// leave some time between the two.
	Expired []string
}

// A Key is a key of a domain as it is in etcd.
type Key struct {
	// Key and Value are printable, cut off where they are long.
	Key   string `json:"key" doc:"the key"`
	Value string `json:"value" doc:"its value, cut off if it is long"`
	// Host is the part of the key after the domain, where there is one with something below, or with an address.
	Host string `json:"host,omitempty" doc:"the host that it belongs to"`
	// Revision is that of the last put.
	Revision Revision `json:"revision" doc:"revision of its last put"`
	// Lease is in hexadecimal, as etcdctl has it; empty for a key without one. Left is how long it goes on unless it is kept
	// alive.
	Lease       string        `json:"lease,omitempty" doc:"its lease, in hexadecimal as etcdctl has it"`
	Left        time.Duration `json:"-"`
	LeftSeconds float64       `json:"left_seconds,omitempty" doc:"for how long the lease goes on unless it is kept alive"`
}
