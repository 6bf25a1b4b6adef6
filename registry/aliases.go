package registry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Limits of the key aliases.
const (
	maxAliases     = 100
	maxAliasesSize = 4096
	aliasesKey     = "aliases"
)

// parseAliases takes the names of CheckAlias with one space between them, 100 and 4096 bytes at most. It returns them in lower
// case, sorted, each once.
func parseAliases(value string) (string, error) {
	if len(value) > maxAliasesSize {
		return "", fmt.Errorf("aliases %s is longer than %d bytes", Quote(value), maxAliasesSize)
	}
	names := strings.Split(value, " ")
	for i, name := range names {
		if name == "" {
			return "", fmt.Errorf("aliases %s has no name where one is to be: write names with one space between them, or delete the key", Quote(value))
		}
		if err := CheckAlias(name); err != nil {
			return "", fmt.Errorf("aliases: %w", err)
		}
		names[i] = strings.ToLower(name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > maxAliases {
		return "", fmt.Errorf("aliases has %d names: %d are the most", len(names), maxAliases)
	}
	return strings.Join(names, " "), nil
}

// Names are the aliases, one by one.
func (o DomainOptions) Names() []string { return strings.Fields(o.Aliases) }

// CutValue is the value of a key, or so much of one that is longer than any good one that it is bad.
func CutValue(prefix, key string, value []byte) string {
	most := MaxValue
	if isAliases(prefix, key) {
		most = maxAliasesSize + 1
	}
	return string(value[:min(len(value), most)])
}

// isAliases reports whether a key is the aliases of a domain.
func isAliases(prefix, key string) bool {
	domain, ok := strings.CutSuffix(key, "/"+aliasesKey)
	return ok && len(domain) > len(prefix) && strings.LastIndexByte(domain, '/') == len(prefix)
}

// CutCreated is the revision that a key was created at, if that is of a meaning: see KeyValue.
func CutCreated(prefix, key string, created int64) Revision {
	if !isAliases(prefix, key) {
		return 0
	}
	return Revision(created)
}

// Aliases says which domain has an alias that several ask for: the one whose key aliases is the oldest. A domain of the registry has its
// own name before all of them. The zero value knows of none.
type Aliases struct {
	claims map[string][]claim // by alias; the first one is the oldest, the others are in no order
}

// A claim is a domain that asks for an alias. It is comparable.
type claim struct {
	domain string
	since  Revision
}

func (c claim) compare(other claim) int {
	return cmp.Or(cmp.Compare(c.since, other.since), cmp.Compare(c.domain, other.domain))
}

// Change takes what a domain asked for before and what it asks for now; the zero Domain asks for nothing. It returns the domains for
// which Share may say something else than before.
func (a *Aliases) Change(was, is Domain) (others []string) {
	if was.Name == is.Name && was.Options.Aliases == is.Options.Aliases && was.AliasesSince == is.AliasesSince {
		return nil
	}
	first := map[string]claim{} // of the names that it asks for, before the change
	for _, name := range append(was.Options.Names(), is.Options.Names()...) {
		first[name] = a.first(name)
	}
	a.drop(was)
	a.add(is)
	told := func(name string) {
		for _, c := range a.claims[name] {
			others = append(others, c.domain)
		}
	}
	for name, before := range first {
		if a.first(name) != before {
			told(name)
		}
	}
	if was.Name != is.Name {
		told(was.Name)
		told(is.Name)
	}
	return others
}

// first is the domain that has an alias unless it is one of the registry; zero where none asks for it.
func (a *Aliases) first(name string) claim {
	if claims := a.claims[name]; len(claims) > 0 {
		return claims[0]
	}
	return claim{}
}

func (a *Aliases) add(d Domain) {
	if a.claims == nil {
		a.claims = map[string][]claim{}
	}
	for _, name := range d.Options.Names() {
		claims := a.claims[name]
		claims = append(claims, claim{d.Name, d.AliasesSince})
		if last := len(claims) - 1; claims[last].compare(claims[0]) < 0 {
			claims[0], claims[last] = claims[last], claims[0]
		}
		a.claims[name] = claims
	}
}

func (a *Aliases) drop(d Domain) {
	for _, name := range d.Options.Names() {
		claims := a.claims[name]
		last := len(claims) - 1
		at := slices.Index(claims, claim{d.Name, d.AliasesSince})
		claims[at], claims = claims[last], claims[:last]
		if last == 0 {
			delete(a.claims, name)
			continue
		}
		if at == 0 {
			oldest := slices.Index(claims, slices.MinFunc(claims, claim.compare))
			claims[0], claims[oldest] = claims[oldest], claims[0]
		}
		a.claims[name] = claims
	}
}

// namedLost is how many of the names that a domain does not get are named.
const namedLost = 3

// Share leaves a domain those of its aliases that it has, and names the others: none of them is outside served. registered tells the domains
// of the registry.
func (a *Aliases) Share(prefix string, d Domain, served Patterns, registered func(domain string) bool) (Domain, []Problem) {
	if d.Options.Aliases == "" {
		return d, nil
	}
	var own, lost []string
	outside := 0
	for _, name := range d.Options.Names() {
		switch first := a.first(name); {
		case name == d.Name:
		case !served.Match(name):
			outside++
			lost = append(lost, name+" (not served by --domains)")
		case registered(name):
			lost = append(lost, name+" (a domain of the registry itself)")
		case first.domain != d.Name:
			lost = append(lost, name+" (an alias of "+first.domain+" already)")
		default:
			own = append(own, name)
		}
	}
	d.Options.Aliases = strings.Join(own, " ")
	if len(lost) == 0 {
		return d, nil
	}
	var remedies []string
	if outside > 0 {
		remedies = append(remedies, "name it with --domains, or delete it from the key")
	}
	if len(lost) > outside {
		remedies = append(remedies, "a name leads to one domain, by the older of the keys; delete it from the others")
	}
	if more := len(lost) - namedLost; more > 0 {
		lost = append(lost[:namedLost], fmt.Sprintf("%d more", more))
	}
	p := NewProblem(prefix+"/"+d.Name+"/"+aliasesKey, fmt.Errorf("the domain does not get %s: %s", strings.Join(lost, ", "), strings.Join(remedies, "; ")))
	p.Domain = d.Name
	return d, []Problem{p}
}

// ShareAliases leaves each of all domains, which are sorted, those of its aliases that it has, and names the others, as Share does.
func ShareAliases(prefix string, domains []Domain, served Patterns) (lost []Problem) {
	var all Aliases
	for _, d := range domains {
		all.add(d)
	}
	registered := func(name string) bool {
		_, there := slices.BinarySearchFunc(domains, name, func(d Domain, name string) int { return cmp.Compare(d.Name, name) })
		return there
	}
	for i, d := range domains {
		shared, problems := all.Share(prefix, d, served, registered)
		domains[i], lost = shared, append(lost, problems...)
	}
	return lost
}
