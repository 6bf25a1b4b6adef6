package configfile

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// A nameLine gives a domain a further name: by another ACL of the domain's, or, for a wildcard, by a rule of its own, because that has
// to stand behind the rules of all domains. It has the mark, which tells it from a line of an operator's.
//
//	acl is_abc.com hdr(host),host_only -i www.abc.com # hapsync
//	use_backend abc.com_cluster if { hdr(host),host_only -m end -i .abc.com } # hapsync
type nameLine struct {
	domain, name string
	anyPort      bool
}

// readName reads a line as one of those; ok is false for another one.
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

// kind is that of ownLine.
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

// nameLines are those of the names of a rule.
func nameLines(r haproxy.Rule, names string) (lines []nameLine) {
	for _, name := range strings.Fields(names) {
		lines = append(lines, nameLine{r.Domain, name, r.AnyPort})
	}
	return lines
}

// namesOf are the further names of the domains of some rules, as the lines of a frontend have them. If one of them does not mean what it
// says, because it takes other ports than the rule does or stands above a line that it has to stand below, its name is there twice,
// which is never asked for: so the lines are written again.
func namesOf(body []line, rules []haproxy.Rule) map[string]string {
	if !slices.ContainsFunc(body, isName) {
		return nil
	}
	owned := domains(rules)
	all := map[string][]string{}
	var wildcards []nameLine // as they stand
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

// findNames collects the further names of all frontends: those of a domain are the same in each, or are there twice.
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

// withNames is a domain with further names; empty where none has any.
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

// A wildcardRule is one with its text.
type wildcardRule struct {
	nameLine
	text string
}

// wildcardsOf are the wildcard rules of a frontend in their order. Those of unchanged domains stay as they stand.
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

// wildcardPlace is the index of the line of a frontend that its wildcard rules come before: where they stand, if that is below the
// other rules of ours, else below all rules of an operator's but those that take each request.
func wildcardPlace(body []line, owned map[string]haproxy.Rule) int {
	place, fixed := len(body), false
	depth, rules := 0, false // of .if, and whether there are rules in the block
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
		case !fixed && (isName(l) || takesAll(l)):
			place, fixed = i, true
		case !fixed:
			place = i + 1
		}
	}
	return place
}

// goesBefore reports whether a line is a rule of ours that wildcards have to stand below.
func goesBefore(l line, owned map[string]haproxy.Rule) bool {
	domain, kind, ours := ownLine(l)
	_, isRoute := readMapRule(l)
	return isRoute || ours && kind == "use_backend" && owned[domain].Domain != ""
}

// takesAll reports whether a rule has no condition.
func takesAll(l line) bool {
	return !slices.ContainsFunc(splitWords(l.raw), func(word string) bool { return word == "if" || word == "unless" })
}
