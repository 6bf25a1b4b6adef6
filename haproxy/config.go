package haproxy

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Config is the managed part of a HAProxy configuration, as the file has it, as the process runs it or
// as it is wanted: one type for the three, so that one diff serves them all.
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
	// Exact are the frontends whose rule for it is not AnyPort.
	Exact []string
	// ByMap are the frontends whose rule for it is ByMap.
	ByMap []string
	// Closed is set where all of its rules are.
	Closed bool
	// Own are what an operator's words have: OwnTimeout and the like, GivenSSL and the like.
	Own []string
	// Given is what its servers get by the file, which does not say it of each; of no meaning in what the process runs.
	Given Given
	// Typed is what an operator has written behind single servers in the place of that; nil if nothing.
	Typed map[string]Given
	// Servers are sorted by name.
	Servers []Server
}

// Given is what HAProxy's configuration gives servers whose lines do not say otherwise: the default-server lines of their
// backend and of its defaults, the last word of each kind (seen on 2.6 to 3.4). The zero value is what HAProxy gives without any.
type Given struct {
	// Weight holds where Weighted is set; HAProxy's own is 1.
	Weight   int
	Weighted bool
	MaxConn  int
	Backup   bool
	Disabled bool
	// Check has HAProxy check servers.
	Check bool
}

// GivenTo is what a server gets by the file as long as no key of the registry says otherwise.
func (b Backend) GivenTo(server string) Given {
	if typed, ok := b.Typed[server]; ok {
		return typed
	}
	return b.Given
}

// ServerWeight is the weight that is given.
func (g Given) ServerWeight() int {
	if g.Weighted {
		return g.Weight
	}
	return 1
}

// BackendOptions are the lines of a backend, beside its servers, that hapsync manages. They are comparable.
type BackendOptions struct {
	// Balance is the algorithm with its arguments, such as "roundrobin".
	Balance string
	// Cookie is the argument of the cookie line, empty where there is none. Further words of an operator's own are part of it.
	Cookie string
	// Check is the path of the HTTP check; empty where the check is a mere connection.
	Check string
	// CheckHost is the Host of that check; empty for the domain.
	CheckHost string
	// Names are further names that lead to it, such as "*.abc.com www.abc.com": sorted, with one space between them. Their lines
	// stand in the frontends.
	Names string
	// Lines are further lines of hapsync's, which it marks, without the mark; with line ends between them.
	Lines string
}

// What operators may have written in a managed backend, in the place of which hapsync writes nothing.
const (
	OwnTimeout   = "timeout server"
	OwnHTTPCheck = "http-check"
	OwnTiming    = "inter, rise or fall" // of default-server or behind a server
	OwnTLS       = "ssl"                 // likewise
)

// What default-server lines, those of the defaults included, give all servers of a backend.
const (
	GivenSSL   = "given ssl"
	GivenCA    = "given ca-file"
	GivenAgent = "given agent-check"
	GivenTrack = "given track"
)

// Tracks reports whether a server takes over the health of another one: HAProxy refuses it if it has a check of its own as well.
func (b Backend) Tracks(s Server) bool {
	return slices.Contains(b.Own, GivenTrack) || strings.Contains(s.Params, track) && slices.Contains(strings.Fields(s.Params), track)
}

const track = "track"

// A Server is a line of a backend. It is comparable: == is the diff.
type Server struct {
	Name string
	Addr netip.AddrPort
	// Cookie is empty where the backend has none.
	Cookie string
	// Check says whether HAProxy checks the server's health.
	Check bool
	// Weight, MaxConn and Backup are what holds, whether the line says it or its backend gives it. Weight is 0..256, relative to the
	// other servers; 0 takes only requests with the server's cookie.
	Weight int
	// MaxConn is the limit of concurrent connections; 0 means none.
	MaxConn int
	Backup  bool
	State   ServerState
	// Params are further words of the line that an operator wrote (such as "inter 5s"): kept, never made up.
	Params string
}

// A ServerState is the administrative state of a server.
type ServerState string

// The administrative states of a server. A file knows no drain: there it is weight 0.
const (
	Ready ServerState = "ready"
	Drain ServerState = "drain"
	Maint ServerState = "maint"
)

// A Rule is an ACL on the Host header and the use_backend rule that goes with it.
type Rule struct {
	Frontend string
	Domain   string
	// AnyPort is set where it takes the Host with any port, and without one; else it takes it only without one.
	AnyPort bool
	// ByMap is set where it has no line of its own: one rule of the frontend leads to the backend that the map file has for the Host.
	ByMap bool
	// Closed is set where it takes no request: the domain has gone, but other lines need its backend. Then AnyPort means nothing.
	Closed bool
}

// Hosts are what it takes, in words, with the domain's further names.
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

// Routing adds to words that it leads to the backend by the map; empty where it has a line of its own.
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

// StickyCookie is the argument of the cookie line of a managed backend for which no other cookie was chosen. Every such line has
// a name and StickyWords.
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

// DomainOfACL is the domain that an ACL of this name would match; ok is false for a name of another shape.
func DomainOfACL(acl string) (domain string, ok bool) {
	domain, ok = strings.CutPrefix(acl, aclPrefix)
	return domain, ok && domain != ""
}

// DomainOf is the domain that a backend of this name would serve; ok is false for a name of another shape.
func DomainOf(backend string) (domain string, ok bool) {
	domain, ok = strings.CutSuffix(backend, backendSuffix)
	return domain, ok && domain != ""
}

// Only is the part of a configuration that is about some backends, whose names are sorted.
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

// With is a configuration with what another one has besides: backends, servers and rules of other names. Both are sorted.
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

// FindBackend is the backend of a name among sorted ones; ok is false where there is none.
func FindBackend(backends []Backend, name string) (Backend, bool) {
	i, ok := slices.BinarySearchFunc(backends, Backend{Name: name}, CompareBackends)
	if !ok {
		return Backend{}, false
	}
	return backends[i], true
}

// CompareBackends orders backends by name.
func CompareBackends(a, b Backend) int { return cmp.Compare(a.Name, b.Name) }

// FindServer is the server of a name; ok is false where there is none.
func FindServer(b Backend, name string) (Server, bool) {
	i := slices.IndexFunc(b.Servers, func(s Server) bool { return s.Name == name })
	if i < 0 {
		return Server{}, false
	}
	return b.Servers[i], true
}

// PlainName reports whether a name has only the bytes that HAProxy allows in names and that mean nothing else anywhere.
func PlainName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' && c != ':' {
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

// IsWildcard reports whether one of BackendOptions.Names stands for all names below one, as *.abc.com.
func IsWildcard(name string) bool { return strings.HasPrefix(name, "*.") }

// ExactNames are those of BackendOptions.Names that are no wildcards, Wildcards the others, in the same form.
func ExactNames(names string) string {
	return namesWhere(names, func(name string) bool { return !IsWildcard(name) })
}

// Wildcards is described at ExactNames.
func Wildcards(names string) string { return namesWhere(names, IsWildcard) }

func namesWhere(names string, holds func(string) bool) string {
	if names == "" {
		return ""
	}
	return strings.Join(slices.DeleteFunc(strings.Fields(names), func(name string) bool { return !holds(name) }), " ")
}

// Covers reports whether a wildcard takes what another name takes, too: a name below it, or a longer wildcard.
func Covers(wildcard, name string) bool {
	return wildcard != name && strings.HasSuffix(name, wildcard[1:])
}

// CompareWildcards is the order of their rules: a wildcard below another one is the longer one, and comes first.
func CompareWildcards(a, b string) int {
	return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
}
