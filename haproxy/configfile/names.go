package configfile

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// A nameLine gives a domain another name. It is a second ACL of the same name, or, for a wildcard, a rule of its own, because wildcards must
// come after the rules of all domains. It has the mark, so that it is not an operator's line.
//
//	acl is_abc.com hdr(host),host_only -i www.abc.com # hapsync
//	use_backend abc.com_cluster if { hdr(host),host_only -m end -i .abc.com } # hapsync
type nameLine struct {
	domain, name string
	anyPort      bool
}

// readName parses a line as a nameLine; ok is false if it is not one.
func readName(l line) (n nameLine, ok bool) {
	if l.conditional || !strings.Contains(l.raw, ownMark) || !isMarked(commentOf(l.raw)) {
		return nameLine{}, false
	}
	var buffer wordBuffer
	switch w := appendWords(buffer[:0], l.raw); {
	case len(w) == 5 && w[0] == "acl":
		n.domain, _ = haproxy.DomainOfACL(w[1])
		n.name, n.anyPort = w[4], w[2] == anyPortHost
		ok = w[4] != n.domain
	case len(w) == 10 && w[0] == "use_backend":
		n.domain, _ = haproxy.DomainOf(w[1])
		n.name, n.anyPort = "*"+w[8], w[4] == anyPortHost
		ok = true
	}
	return n, ok && haproxy.PlainName(n.domain) && slices.Equal(n.words(), splitWords(l.raw))
}

func isName(l line) bool { _, ok := readName(l); return ok }

// kind is the kind that ownLine returns.
func (n nameLine) kind() string {
	if haproxy.IsWildcard(n.name) {
		return "wildcard"
	}
	return "acl"
}

// words are the line without the mark.
func (n nameLine) words() []string {
	r := haproxy.Rule{Domain: n.domain, AnyPort: n.anyPort}
	if haproxy.IsWildcard(n.name) {
		return []string{"use_backend", r.Backend(), "if", "{", criterion(r), "-m", "end", "-i", n.name[1:], "}"}
	}
	return []string{"acl", r.ACL(), criterion(r), "-i", n.name}
}

// nameLines are the lines for the other names of a rule.
func nameLines(r haproxy.Rule, names string) (lines []nameLine) {
	for _, name := range strings.Fields(names) {
		lines = append(lines, nameLine{r.Domain, name, r.AnyPort})
	}
	return lines
}

// namesOf are the other names of the domains of some rules, from the lines of a frontend. If a line is wrong, because it matches other ports
// than the rule, or is above a line that must be above it, its name is listed twice. That never equals the wanted names, so the lines are
// written again.
func namesOf(body []line, rules []haproxy.Rule) map[string]string {
	if !slices.ContainsFunc(body, isName) {
		return nil
	}
	owned := domains(rules)
	all := map[string][]string{}
	var wildcards []nameLine // in the order of the lines
	again := func(n nameLine) { all[n.domain] = append(all[n.domain], n.name) }
	for _, l := range body {
		n, ok := readName(l)
		rule, there := owned[n.domain]
		if !ok && len(wildcards) > 0 && goesBefore(l, owned) {
			for _, above := range wildcards {
				again(above)
			}
			wildcards = nil
		}
		if !ok || !there {
			continue
		}
		again(n)
		if n.anyPort != rule.AnyPort {
			again(n)
		}
		if haproxy.IsWildcard(n.name) {
			if last := len(wildcards) - 1; last >= 0 && wildcards[last].compare(n) >= 0 {
				again(n)
			}
			wildcards = append(wildcards, n)
		}
	}
	names := make(map[string]string, len(all))
	for domain, list := range all {
		slices.Sort(list)
		names[domain] = strings.Join(list, " ")
	}
	return names
}

// findNames collects the other names of all frontends. If the frontends differ, the names of the domain are listed twice.
func (m *Managed) findNames(d Document) map[string]string {
	m.names, m.Named = map[string]map[string]string{}, map[string]bool{}
	for f, s := range m.frontends {
		if names := namesOf(d.body(s), rulesIn(f, m.Config.Rules)); len(names) > 0 {
			m.names[f] = names
		}
	}
	if len(m.names) == 0 {
		return nil
	}
	names, seen, wildcards := map[string]string{}, map[string]bool{}, map[string]bool{}
	for _, r := range m.Config.Rules {
		have := m.names[r.Frontend][r.Domain]
		if was := names[r.Domain]; seen[r.Domain] && was != have {
			have = strings.TrimSpace(strings.Join([]string{was, have, was, have}, " "))
		}
		names[r.Domain], seen[r.Domain] = have, true
		for _, name := range strings.Fields(have) {
			if haproxy.IsWildcard(name) {
				wildcards[name] = true
			} else if !r.ByMap {
				m.Named[name] = true
			}
		}
	}
	m.Wildcards = slices.Sorted(maps.Keys(wildcards))
	return names
}

// withNames is the first domain with other names; empty if there is none.
func (m *Managed) withNames() (first string) {
	for _, b := range m.Config.Backends {
		if b.Options.Names != "" {
			domain, _ := haproxy.DomainOf(b.Name)
			return domain
		}
	}
	return ""
}

// compare is the order of wildcards in a frontend.
func (n nameLine) compare(other nameLine) int {
	return cmp.Or(haproxy.CompareWildcards(n.name, other.name), cmp.Compare(n.domain, other.domain))
}

// A wildcardRule is the rule of a wildcard with its text.
type wildcardRule struct {
	nameLine
	text string
}

// wildcardsOf are the wildcard rules of a frontend in their order. Those of unchanged domains keep their text.
func wildcardsOf(body []line, want []haproxy.Rule, unchanged map[string]haproxy.Rule, names func(haproxy.Rule) string) []wildcardRule {
	var rules []wildcardRule
	for _, l := range body {
		if n, ok := readName(l); ok && haproxy.IsWildcard(n.name) && unchanged[n.domain].Domain != "" {
			rules = append(rules, wildcardRule{n, l.raw})
		}
	}
	for _, r := range want {
		if unchanged[r.Domain].Domain != "" {
			continue
		}
		for _, n := range nameLines(r, names(r)) {
			if haproxy.IsWildcard(n.name) {
				rules = append(rules, wildcardRule{n, indent + strings.Join(n.words(), " ") + " " + ownMark + "\n"})
			}
		}
	}
	slices.SortStableFunc(rules, func(a, b wildcardRule) int { return a.compare(b.nameLine) })
	return rules
}

// wildcardPlace is the index of the line before which the wildcard rules of a frontend go: where they are, if that is below our other rules.
// Otherwise it is below all rules of an operator's, except those without a condition.
func wildcardPlace(body []line, owned map[string]haproxy.Rule) int {
	place, fixed := len(body), false
	depth, rules := 0, false // of .if, and whether the block has rules
	for i, l := range body {
		keyword := firstWord(l.raw)
		switch {
		case keyword == ".if":
			depth++
		case keyword == ".endif" && depth > 0:
			if depth--; depth == 0 && rules && !fixed {
				place, rules = i+1, false
			}
		case keyword != "use_backend":
		case depth > 0:
			rules = true
		case goesBefore(l, owned):
			place, fixed = i+1, false
		case !fixed && (isName(l) || unconditional(l)):
			place, fixed = i, true
		case !fixed:
			place = i + 1
		}
	}
	return place
}

// goesBefore reports whether a line is a rule of ours that must be above wildcards.
func goesBefore(l line, owned map[string]haproxy.Rule) bool {
	domain, kind, ours := ownLine(l)
	_, isRoute := readMapRule(l)
	return isRoute || ours && kind == "use_backend" && owned[domain].Domain != ""
}

// unconditional reports whether a rule has no condition.
func unconditional(l line) bool {
	return !slices.ContainsFunc(splitWords(l.raw), func(word string) bool { return word == "if" || word == "unless" })
}
