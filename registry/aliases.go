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

// parseAliases takes names that pass CheckAlias, with one space between them: 100 names and 4096 bytes at most. It returns them
// in lower case, sorted, without duplicates.
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

// Names splits Aliases.
func (o DomainOptions) Names() []string { return strings.Fields(o.Aliases) }

// CutValue returns the value of a key. A value that is too long to be good is cut, but stays too long.
func CutValue(prefix, key string, value []byte) string {
	most := MaxValue
	if isAliases(prefix, key) {
		most = maxAliasesSize + 1
	}
	return string(value[:min(len(value), most)])
}

// isAliases reports whether a key is the key aliases of a domain.
func isAliases(prefix, key string) bool {
	domain, ok := strings.CutSuffix(key, "/"+aliasesKey)
	return ok && len(domain) > len(prefix) && strings.LastIndexByte(domain, '/') == len(prefix)
}

// CutCreated returns the revision that created the key, if KeyValue.Created has it; else 0.
func CutCreated(prefix, key string, created int64) Revision {
	if !isAliases(prefix, key) {
		return 0
	}
	return Revision(created)
}

// Aliases decides which domain gets an alias that several ask for: the domain whose key aliases is the oldest. A name that is a
// domain of the registry itself is never an alias. The zero value is empty.
type Aliases struct {
	claims map[string][]claim // by alias; the oldest claim comes first, the others are not sorted
}

// A claim is a domain that asks for an alias. It is comparable.
type claim struct {
	domain string
	since  Revision
}

func (c claim) compare(other claim) int {
	return cmp.Or(cmp.Compare(c.since, other.since), cmp.Compare(c.domain, other.domain))
}

// Change replaces the claims of domain was by those of domain is; the zero Domain has none. It returns the domains for which
// Share may now return something else.
func (a *Aliases) Change(was, is Domain) (others []string) {
	if was.Name == is.Name && was.Options.Aliases == is.Options.Aliases && was.AliasesSince == is.AliasesSince {
		return nil
	}
	first := map[string]claim{} // before the change
	for _, name := range append(was.Options.Names(), is.Options.Names()...) {
		first[name] = a.first(name)
	}
	a.drop(was)
	a.add(is)
	affects := func(name string) {
		for _, c := range a.claims[name] {
			others = append(others, c.domain)
		}
	}
	for name, before := range first {
		if a.first(name) != before {
			affects(name)
		}
	}
	if was.Name != is.Name {
		affects(was.Name)
		affects(is.Name)
	}
	return others
}

// first returns the oldest claim of an alias; zero if there is none.
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

// maxLostShown is how many lost aliases a problem names.
const maxLostShown = 3

// Share returns the domain with only the aliases that it gets, and a problem that names the others. An alias must match served.
// registered reports whether a name is a domain of the registry.
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
	if more := len(lost) - maxLostShown; more > 0 {
		lost = append(lost[:maxLostShown], fmt.Sprintf("%d more", more))
	}
	p := NewProblem(prefix+"/"+d.Name+"/"+aliasesKey,
		fmt.Errorf("the domain does not get %s: %s", strings.Join(lost, ", "), strings.Join(remedies, "; ")))
	p.Domain = d.Name
	return d, []Problem{p}
}

// ShareAliases calls Share for all domains, and replaces those that it changes. The domains are sorted.
func ShareAliases(prefix string, domains []*Domain, served Patterns) (lost []Problem) {
	var all Aliases
	for _, d := range domains {
		all.add(*d)
	}
	registered := func(name string) bool {
		_, there := slices.BinarySearchFunc(domains, name, (*Domain).CompareName)
		return there
	}
	for i, d := range domains {
		shared, problems := all.Share(prefix, *d, served, registered)
		domains[i], lost = &shared, append(lost, problems...)
	}
	return lost
}
