package configfile

import (
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// unchanged are the rules of a frontend whose lines stay, by kind of line and by domain. If a rule moves to the map, its ACL stays. If it
// moves back, its ACL is written again, because until then the map rule determined the ports.
func (p *splicer) unchanged(frontend string, owned map[string]haproxy.Rule, want []haproxy.Rule) map[string]map[string]haproxy.Rule {
	acls, rules := map[string]haproxy.Rule{}, map[string]haproxy.Rule{}
	for _, r := range want {
		had := owned[r.Domain]
		sameHosts := had.AnyPort == r.AnyPort && had.Closed == r.Closed && p.have.names[frontend][r.Domain] == p.names(r)
		if had.Domain == "" || !sameHosts {
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

// newRoute chooses the map rule of a frontend, and reports whether it replaces the existing one. It goes to the same place, unless that is
// below a rule of an operator's that must be below the rules of domains.
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

// changed are the rules whose lines have to be written, by kind of line.
func changed(want []haproxy.Rule, unchanged map[string]map[string]haproxy.Rule) map[string][]haproxy.Rule {
	left := map[string][]haproxy.Rule{}
	for kind, rules := range unchanged {
		left[kind] = slices.DeleteFunc(slices.Clone(want), func(r haproxy.Rule) bool { return rules[r.Domain] == r })
	}
	return left
}

// writeRoute writes the new map rule once, unless replaceRoute will.
func (p *splicer) writeRoute() {
	if p.inPlace {
		return
	}
	if len(p.route) > 0 {
		p.line(p.route...)
	}
	p.route = nil
}

// replaceRoute drops the existing map rule, and writes the new one if it takes the same place.
func (p *splicer) replaceRoute() {
	if p.inPlace {
		p.inPlace = false
		p.writeRoute()
	}
}
