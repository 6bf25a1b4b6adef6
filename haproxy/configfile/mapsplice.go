package configfile

import (
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// unchanged are the rules of a frontend whose lines of a kind stay as they are, by kind and domain. An ACL stays where its rule goes to the
// map, and is written again where the rule comes back, because the map rule has said until then which ports it takes.
func (p *splicer) unchanged(frontend string, owned map[string]haproxy.Rule, want []haproxy.Rule) map[string]map[string]haproxy.Rule {
	acls, rules := map[string]haproxy.Rule{}, map[string]haproxy.Rule{}
	for _, r := range want {
		had := owned[r.Domain]
		if had.Domain == "" || had.AnyPort != r.AnyPort || had.Closed != r.Closed || p.have.names[frontend][r.Domain] != p.names(r) {
			continue
		}
		if had == r {
			rules[r.Domain] = r
		}
		if had == r || r.ByMap {
			acls[r.Domain] = r
		}
	}
	return map[string]map[string]haproxy.Rule{"acl": acls, "use_backend": rules}
}

// newRoute chooses the map rule that a frontend gets, and reports whether it takes the place of the one that it has. It takes the same
// place in the frontend, unless that is below a rule of an operator's that the rules of domains stand above.
func (p *splicer) newRoute(frontend string, body []line, want []haproxy.Rule) (replaced bool) {
	p.route, p.inPlace = nil, false
	path, ok := MapFile(p.have.path)
	have, there := mapRuleIn(body, path)
	p.outdated = have
	next := mapRule{file: p.have.mapFile, anyPort: allAnyPort(want)}
	moved := there && ok && have.file != path
	if slices.ContainsFunc(want, isByMap) {
		next = mapRule{file: path, anyPort: have.anyPort, all: true}
		if i := slices.IndexFunc(want, func(r haproxy.Rule) bool { return r.ByMap && !r.Closed }); i >= 0 {
			next.anyPort = want[i].AnyPort
		}
	} else if there && !moved && (!have.all || len(want) == 0) {
		return false
	}
	if have == next {
		return false
	}
	if next.file != "" {
		p.route = next.words()
	}
	_, placed := p.have.Routes[frontend]
	p.inPlace = there && (placed || have.all || moved)
	return there
}

// changed are the other rules, of which lines of a kind are to be written, by kind.
func changed(want []haproxy.Rule, unchanged map[string]map[string]haproxy.Rule) map[string][]haproxy.Rule {
	left := map[string][]haproxy.Rule{}
	for kind, rules := range unchanged {
		left[kind] = slices.DeleteFunc(slices.Clone(want), func(r haproxy.Rule) bool { return rules[r.Domain] == r })
	}
	return left
}

// writeRoute writes the map rule that the frontend gets, once, unless that takes the place of the one that it has.
func (p *splicer) writeRoute() {
	if p.inPlace {
		return
	}
	if len(p.route) > 0 {
		p.line(p.route...)
	}
	p.route = nil
}

// replaceRoute drops the map rule that the frontend has, and writes the other one if that takes its place.
func (p *splicer) replaceRoute() {
	if p.inPlace {
		p.inPlace = false
		p.writeRoute()
	}
}
