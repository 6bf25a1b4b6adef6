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
	claims map[string][]claim // by alias, the first one has it
}

// A claim is a domain that asks for an alias. It is comparable.
type claim struct {
	domain string
	since  Revision
}

func (a claim) compare(b claim) int {
	return cmp.Or(cmp.Compare(a.since, b.since), cmp.Compare(a.domain, b.domain))
}

// Change takes what a domain asked for before and what it asks for now; the zero Domain asks for nothing. It returns the other domains
// whose aliases Share has to tell again.
func (a *Aliases) Change(was, is Domain) (others []string) {
	if was.Options.Aliases == is.Options.Aliases && was.AliasesSince == is.AliasesSince && was.Name == is.Name {
		return nil
	}
	touched := append(was.Options.Names(), is.Options.Names()...)
	if was.Name != is.Name {
		touched = append(touched, was.Name, is.Name)
	}
	for _, name := range was.Options.Names() {
		a.claims[name] = slices.DeleteFunc(a.claims[name], func(c claim) bool { return c.domain == was.Name })
		if len(a.claims[name]) == 0 {
			delete(a.claims, name)
		}
	}
	for _, name := range is.Options.Names() {
		if a.claims == nil {
			a.claims = map[string][]claim{}
		}
		c := claim{is.Name, is.AliasesSince}
		at, _ := slices.BinarySearchFunc(a.claims[name], c, claim.compare)
		a.claims[name] = slices.Insert(a.claims[name], at, c)
	}
	for _, name := range touched {
		for _, c := range a.claims[name] {
			if c.domain != is.Name {
				others = append(others, c.domain)
			}
		}
	}
	return others
}

// Share leaves a domain those of its aliases that it has, and names the others. registered tells the domains of the registry.
func (a *Aliases) Share(prefix string, d Domain, registered func(domain string) bool) (Domain, []Problem) {
	if d.Options.Aliases == "" {
		return d, nil
	}
	var own []string
	var lost []Problem
	for _, name := range d.Options.Names() {
		why := ""
		switch first := a.claims[name][0]; {
		case name == d.Name:
			continue
		case registered(name):
			why = "is a domain of the registry itself, and that counts: delete the name here, or the keys of that domain"
		case first.domain != d.Name:
			why = "is an alias of " + first.domain + " already, by an older key, and that counts: delete the name from one of the two"
		default:
			own = append(own, name)
			continue
		}
		p := NewProblem(prefix+"/"+d.Name+"/"+aliasesKey, fmt.Errorf("name %s %s", name, why))
		p.Domain = d.Name
		lost = append(lost, p)
	}
	d.Options.Aliases = strings.Join(own, " ")
	return d, lost
}

// ShareAliases leaves each of all domains, which are sorted, those of its aliases that it has, and names the others.
func ShareAliases(prefix string, domains []Domain) (lost []Problem) {
	var all Aliases
	for _, d := range domains {
		all.Change(Domain{}, d)
	}
	registered := func(name string) bool {
		_, there := slices.BinarySearchFunc(domains, name, func(d Domain, name string) int { return cmp.Compare(d.Name, name) })
		return there
	}
	for i, d := range domains {
		shared, problems := all.Share(prefix, d, registered)
		domains[i], lost = shared, append(lost, problems...)
	}
	return lost
}
