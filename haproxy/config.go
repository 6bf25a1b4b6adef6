package haproxy

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Config is the managed part of a HAProxy configuration: in the file, in the process, or wanted. One diff compares them all.
type Config struct {
	// Backends are sorted by name.
	Backends []Backend
	// Rules are sorted by frontend, then domain.
	Rules []Rule
}

// A Backend serves one domain.
type Backend struct {
	// Name is BackendName of the domain.
	Name    string
	Options BackendOptions
	// Exact are the frontends whose rule for this backend is not AnyPort.
	Exact []string
	// ByMap are the frontends whose rule for this backend is ByMap.
	ByMap []string
	// Closed is set if all its rules are Closed.
	Closed bool
	// Own says what an operator configured in this backend: OwnTimeout ..., GivenSSL ...
	Own []string
	// Given is what a server gets if its line does not say otherwise. It means nothing in State.Live.
	Given Given
	// Typed replaces Given for the servers behind whose lines the operator wrote such settings; nil if there are none.
	Typed map[string]Given
	// Servers are sorted by name.
	Servers []Server
}

// Given is what a server gets from default-server lines of its backend and of the backend's defaults section. The last word of each
// kind counts (seen on 2.6 to 3.4). The zero value is HAProxy's own default.
type Given struct {
	// Weight counts only if Weighted is set; HAProxy's default is 1.
	Weight   int
	Weighted bool
	MaxConn  int
	Backup   bool
	Disabled bool
	// Check says whether HAProxy checks the server.
	Check bool
}

// GivenTo is what the configuration gives a server if no key of the registry says otherwise.
func (b Backend) GivenTo(server string) Given {
	if typed, ok := b.Typed[server]; ok {
		return typed
	}
	return b.Given
}

// ServerWeight is Weight, or HAProxy's default.
func (g Given) ServerWeight() int {
	if g.Weighted {
		return g.Weight
	}
	return 1
}

// BackendOptions are the lines of a backend that hapsync manages, except its servers. They are comparable.
type BackendOptions struct {
	// Balance is the algorithm with its arguments, such as "roundrobin".
	Balance string
	// Cookie is the argument of the cookie line, with the words that an operator added; empty without such a line.
	Cookie string
	// Check is the path of the HTTP check; empty if HAProxy only connects.
	Check string
	// CheckHost is the Host header of the HTTP check; empty means the domain.
	CheckHost string
	// Names are more names of the domain, such as "*.abc.com www.abc.com": sorted, separated by one space. Their lines are in the frontends.
	Names string
	// Lines are more lines that hapsync wrote, without the comment that marks them, separated by line ends.
	Lines string
}

// Settings that an operator may have written in a managed backend. hapsync then does not write its own.
const (
	OwnTimeout   = "timeout server"
	OwnHTTPCheck = "http-check"
	OwnTiming    = "inter, rise or fall" // in default-server or behind a server
	OwnTLS       = "ssl"                 // the same
)

// What default-server lines, also those of the defaults section, give all servers of a backend.
const (
	GivenSSL   = "given ssl"
	GivenCA    = "given ca-file"
	GivenAgent = "given agent-check"
	GivenTrack = "given track"
)

// Tracks reports whether a server tracks the health of another one. HAProxy refuses a server that tracks and has a check of its own.
func (b Backend) Tracks(s Server) bool {
	return slices.Contains(b.Own, GivenTrack) ||
		strings.Contains(s.Params, track) && slices.Contains(strings.Fields(s.Params), track)
}

const track = "track"

// A Server is a line of a backend. It is comparable: == is the diff.
type Server struct {
	Name string
	Addr netip.AddrPort
	// Cookie is empty if the backend has no cookie.
	Cookie string
	// Check says whether HAProxy checks the server's health.
	Check bool
	// Weight, MaxConn and Backup are the values in effect, from the server's line or from its backend. Weight is 0 to 256, relative to
	// the other servers. With 0 a server gets only requests with its cookie.
	Weight int
	// MaxConn limits concurrent connections; 0 means no limit.
	MaxConn int
	Backup  bool
	State   ServerState
	// Params are the other words of the line, such as "inter 5s". An operator wrote them, and hapsync keeps them.
	Params string
}

// A ServerState is the administrative state of a server.
type ServerState string

// The administrative states of a server. The file has no drain: there it is weight 0.
const (
	Ready ServerState = "ready"
	Drain ServerState = "drain"
	Maint ServerState = "maint"
)

// A Rule is an ACL on the Host header and the use_backend rule that goes with it.
type Rule struct {
	Frontend string
	Domain   string
	// AnyPort is set if the rule matches the Host header with or without a port. Otherwise it matches only without a port.
	AnyPort bool
	// ByMap is set if the rule is an entry of the map file. One use_backend rule of the frontend looks the Host header up there.
	ByMap bool
	// Closed is set if the rule matches no request: the domain is gone, but other lines need its backend. AnyPort then means nothing.
	Closed bool
}

// Hosts says in words which Host headers the rule matches. names are the domain's other names.
func (r Rule) Hosts(names ...string) string {
	if r.Closed {
		return r.Domain + ", no request"
	}
	hosts := strings.Join(append([]string{r.Domain}, names...), ", ")
	if r.AnyPort {
		return hosts + " with any port"
	}
	return hosts + " without a port"
}

// Routing is ", by the map" if the rule is an entry of the map, else empty.
func (r Rule) Routing() string {
	if r.ByMap {
		return ", by the map"
	}
	return ""
}

// Backend is the name of the backend that the rule leads to.
func (r Rule) Backend() string { return BackendName(r.Domain) }

// ACL is the name of the rule's ACL.
func (r Rule) ACL() string { return ACLName(r.Domain) }

// StickyCookie is the argument of a managed backend's cookie line if no other cookie was chosen. Every such line is a name and StickyWords.
const (
	StickyName   = "SERVERID"
	StickyWords  = " insert indirect nocache"
	StickyCookie = StickyName + StickyWords
)

const (
	backendSuffix = "_cluster"
	aclPrefix     = "is_"
)

// BackendName is the name of a domain's backend.
func BackendName(domain string) string { return domain + backendSuffix }

// ACLName is the name of a domain's ACL.
func ACLName(domain string) string { return aclPrefix + domain }

// DomainOfACL is the domain of an ACL with such a name; ok is false if the name does not have the form of ACLName.
func DomainOfACL(acl string) (domain string, ok bool) {
	domain, ok = strings.CutPrefix(acl, aclPrefix)
	return domain, ok && domain != ""
}

// DomainOf is the domain of a backend with such a name; ok is false if the name does not have the form of BackendName.
func DomainOf(backend string) (domain string, ok bool) {
	domain, ok = strings.CutSuffix(backend, backendSuffix)
	return domain, ok && domain != ""
}

// Only is the part of a configuration that belongs to some backends, whose names are sorted.
func (c Config) Only(names, frontends []string) Config {
	var part Config
	for _, name := range names {
		if b, ok := FindBackend(c.Backends, name); ok {
			part.Backends = append(part.Backends, b)
		}
	}
	for _, frontend := range slices.Compact(slices.Sorted(slices.Values(frontends))) {
		for _, name := range names {
			r := Rule{Frontend: frontend, Domain: domainOf(name)}
			if i, ok := slices.BinarySearchFunc(c.Rules, r, compareRules); ok {
				part.Rules = append(part.Rules, c.Rules[i])
			}
		}
	}
	SortRules(part.Rules)
	return part
}

// Equal reports whether two configurations are the same.
func (c Config) Equal(other Config) bool {
	return slices.Equal(c.Rules, other.Rules) && slices.EqualFunc(c.Backends, other.Backends, func(a, b Backend) bool {
		return a.Name == b.Name && a.Options == b.Options && slices.Equal(a.Servers, b.Servers)
	})
}

// With adds the backends, servers and rules of another configuration whose names c does not have. Both are sorted.
func (c Config) With(other Config) Config {
	all := Config{Backends: slices.Clone(c.Backends), Rules: slices.Clone(c.Rules)}
	for _, b := range other.Backends {
		i, there := slices.BinarySearchFunc(all.Backends, b, CompareBackends)
		if !there {
			all.Backends = slices.Insert(all.Backends, i, b)
			continue
		}
		servers := slices.Clone(all.Backends[i].Servers)
		for _, s := range b.Servers {
			if _, there := FindServer(all.Backends[i], s.Name); !there {
				servers = append(servers, s)
			}
		}
		SortServers(servers)
		all.Backends[i].Servers = servers
	}
	for _, r := range other.Rules {
		if i, there := slices.BinarySearchFunc(all.Rules, r, compareRules); !there {
			all.Rules = slices.Insert(all.Rules, i, r)
		}
	}
	return all
}

// FindBackend finds a backend by name; backends are sorted.
func FindBackend(backends []Backend, name string) (Backend, bool) {
	i, ok := slices.BinarySearchFunc(backends, Backend{Name: name}, CompareBackends)
	if !ok {
		return Backend{}, false
	}
	return backends[i], true
}

// CompareBackends orders backends by name.
func CompareBackends(a, b Backend) int { return cmp.Compare(a.Name, b.Name) }

// FindServer finds a server by name.
func FindServer(b Backend, name string) (Server, bool) {
	i := slices.IndexFunc(b.Servers, func(s Server) bool { return s.Name == name })
	if i < 0 {
		return Server{}, false
	}
	return b.Servers[i], true
}

// IsNameByte reports whether HAProxy allows a byte in names, and it has no special meaning anywhere else.
func IsNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_.:-", c) >= 0
}

// PlainName reports whether a name is not empty and has only such bytes.
func PlainName(s string) bool {
	for _, c := range []byte(s) {
		if !IsNameByte(c) {
			return false
		}
	}
	return s != ""
}

// SortRules sorts by frontend, then domain.
func SortRules(rules []Rule) { slices.SortFunc(rules, compareRules) }

func compareRules(a, b Rule) int {
	return cmp.Or(cmp.Compare(a.Frontend, b.Frontend), cmp.Compare(a.Domain, b.Domain))
}

// SortServers sorts by name.
func SortServers(servers []Server) {
	slices.SortStableFunc(servers, func(a, b Server) int { return cmp.Compare(a.Name, b.Name) })
}

// IsWildcard reports whether a name of BackendOptions.Names is a wildcard, such as *.abc.com.
func IsWildcard(name string) bool { return strings.HasPrefix(name, "*.") }

// ExactNames are the names of BackendOptions.Names that are not wildcards, in the same form.
func ExactNames(names string) string {
	return namesWhere(names, func(name string) bool { return !IsWildcard(name) })
}

// Wildcards are the wildcards of BackendOptions.Names, in the same form.
func Wildcards(names string) string { return namesWhere(names, IsWildcard) }

func namesWhere(names string, holds func(string) bool) string {
	if names == "" {
		return ""
	}
	return strings.Join(slices.DeleteFunc(strings.Fields(names), func(name string) bool { return !holds(name) }), " ")
}

// Covers reports whether a wildcard also matches what name matches: name is below it, or is a longer wildcard.
func Covers(wildcard, name string) bool {
	return wildcard != name && strings.HasSuffix(name, wildcard[1:])
}

// CompareWildcards is the order of their rules: the longer one first, since a wildcard below another one is longer.
func CompareWildcards(a, b string) int {
	return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
}
