package configfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// uses counts the lines of a frontend that have one of our names of a domain.
type uses struct {
	acls    int // that have our form, or the same meaning
	whole   int // of those: for the domain without a port
	closed  int // of those: for no request
	rules   int
	others  int // in another form
	anyPort bool
	place   int // of the last line
	other   int // of the last line in another form
}

// rulesOf are the rules of one frontend whose ACL and rule have our form, or the same meaning. Every other use of one of our names makes its
// domain foreign.
func (m *Managed) rulesOf(d Document, s section, file string) []haproxy.Rule {
	body := d.body(s)
	counts := make(map[string]*uses, len(body)/2)
	for i, l := range body {
		domain, kind, ours := ownLine(l)
		if kind == "" || kind == "use_backend" && !ours {
			continue // an operator's own rules may lead to our backends
		}
		c := counts[domain]
		if c == nil {
			c = &uses{}
			counts[domain] = c
		}
		c.place = s.head + 2 + i
		switch written := isWritten(l, domain); {
		case !ours:
			c.others++
			c.other = c.place
			continue
		case isName(l):
			continue
		case kind == "use_backend":
			c.rules++
		case written || hasExactDomain(l, domain):
			c.whole++
			c.anyPort = c.anyPort || dropsPort(l.raw)
			if isClosed(l, domain) {
				c.closed++
			}
			fallthrough
		default:
			c.acls++
			if !written || c.acls > 1 {
				m.otherForm = domain
			}
		}
	}
	rules := make([]haproxy.Rule, 0, len(counts))
	for domain, c := range counts {
		closed := c.closed > 0 && c.closed == c.acls
		switch byMap := m.ByMap[s.name] && c.rules == 0; {
		case c.whole > 0 && c.others == 0 && byMap:
			anyPort := m.mapRules[s.name].anyPort && !closed
			rules = append(rules, haproxy.Rule{Frontend: s.name, Domain: domain, AnyPort: anyPort, ByMap: true, Closed: closed})
		case c.whole > 0 && c.others == 0 && c.rules == 1:
			rules = append(rules, haproxy.Rule{Frontend: s.name, Domain: domain, AnyPort: c.anyPort && !closed, Closed: closed})
		default:
			m.Foreign[domain] = c.foreign(domain, s.name, file)
		}
	}
	return rules
}

// foreign says what makes a domain foreign, with its place.
func (c uses) foreign(domain, frontend, file string) string {
	acl, rule := haproxy.ACLName(domain), "use_backend "+haproxy.BackendName(domain)
	at := func(line int) string { return fmt.Sprintf("in frontend %s (%s:%d)", frontend, file, line) }
	switch {
	case c.others > 0 && c.whole > 0:
		return fmt.Sprintf("another ACL line %s %s, so that the rule takes other requests too (for a further name of the domain use the key aliases)",
			acl, at(c.other))
	case c.others == 0 && c.acls == 0 && c.rules > 0:
		return fmt.Sprintf("the rule %s, but no ACL %s, %s", rule, acl, at(c.place))
	case c.others == 0 && c.whole > 0 && c.rules == 0:
		return fmt.Sprintf("the ACL %s, but no use_backend rule with it, %s", acl, at(c.place))
	case c.others == 0 && c.whole > 0:
		return fmt.Sprintf("the rule %s twice %s", rule, at(c.place))
	}
	return fmt.Sprintf("acl %s %s, in another form than \"acl %s hdr(host) -i %s\" and \"%s if %s\", the rule once",
		acl, at(c.place), acl, domain, rule, acl)
}

// ownLine recognises an ACL or a use_backend rule that has one of our names. ours is set if it has our form, or the same meaning. The kind
// is the keyword, or "wildcard" for the rule of a wildcard.
func ownLine(l line) (domain, kind string, ours bool) {
	var buffer wordBuffer
	keyword := firstWord(l.raw)
	if keyword != "acl" && keyword != "use_backend" {
		return "", "", false
	}
	if n, ok := readName(l); ok {
		return n.domain, n.kind(), true
	}
	w := appendWords(buffer[:0], l.raw)
	if len(w) < 2 {
		return "", "", false
	}
	if keyword == "acl" {
		name := unquote(w[1])
		if l.filled != nil && l.filled.name != "" {
			name = l.filled.name
		}
		domain, ok := haproxy.DomainOfACL(name)
		if !ok {
			return "", "", false
		}
		ours = isWritten(l, domain) || len(aclHosts(l.raw, domain)) > 0
		return domain, "acl", ours && !l.conditional && haproxy.PlainName(domain)
	}
	domain, ok := haproxy.DomainOf(unquote(w[1]))
	if !ok {
		return "", "", false
	}
	return domain, "use_backend", !l.conditional && (isWritten(l, domain) || isRule(l.raw, domain))
}

// isWritten reports whether a line is an ACL or a rule exactly as hapsync writes it.
func isWritten(l line, domain string) bool {
	var buffer wordBuffer
	w := appendWords(buffer[:0], l.raw)
	switch {
	case isClosed(l, domain):
		return true
	case len(w) == 5 && w[0] == "acl":
		return w[1] == haproxy.ACLName(domain) && (w[2] == exactHost || w[2] == anyPortHost) && w[3] == "-i" && w[4] == domain
	case len(w) == 4 && w[0] == "use_backend":
		acl, ok := haproxy.DomainOfACL(w[3])
		return ok && acl == domain && w[2] == "if"
	}
	return false
}

// isClosed reports whether a line is the ACL of a rule that matches no request. It has the mark. Without the mark an operator wrote it, to
// close a domain.
func isClosed(l line, domain string) bool {
	if l.conditional || !strings.Contains(l.raw, noRequest) || !isMarked(commentOf(l.raw)) {
		return false
	}
	return slices.Equal(splitWords(l.raw), aclWords(haproxy.Rule{Domain: domain, Closed: true})[:3])
}

// The criteria of our ACLs.
const (
	exactHost   = "hdr(host)"
	anyPortHost = "hdr(host),host_only"
	noRequest   = "always_false"
)

// aclWords are the words of a rule's ACL line.
func aclWords(r haproxy.Rule) []string {
	if r.Closed {
		return []string{"acl", r.ACL(), noRequest, ownMark}
	}
	return []string{"acl", r.ACL(), criterion(r), "-i", r.Domain}
}

// criterion is the criterion of a rule's ACL.
func criterion(r haproxy.Rule) string {
	if r.AnyPort {
		return anyPortHost
	}
	return exactHost
}

// dropsPort reports whether an ACL of ours ignores the port of the Host header.
func dropsPort(raw string) bool {
	var buffer wordBuffer
	w := literal(buffer[:0], raw)
	return len(w) > 2 && (strings.Contains(w[2], ",host_only") || strings.Contains(w[2], ",field(1,:)"))
}

// literal appends the words of a line without quotes; none if the line has escapes or variables.
func literal(words []string, raw string) []string {
	switch {
	case strings.IndexByte(raw, '\\') >= 0, strings.IndexByte(raw, '$') >= 0:
		return nil
	case hasQuotes(raw):
		return expandWords(raw, nil)
	}
	return appendWords(words, raw)
}

// isRule reports whether a rule leads to the domain's backend, with the domain's ACL as its only condition.
func isRule(raw, domain string) bool {
	w := literal(nil, raw)
	return len(w) == 4 && w[1] == haproxy.BackendName(domain) && w[2] == "if" && w[3] == haproxy.ACLName(domain)
}

// hasExactDomain reports whether one of the values of our ACL is the domain without a port.
func hasExactDomain(l line, domain string) bool {
	for _, host := range aclHosts(l.raw, domain) {
		if strings.EqualFold(host, domain) {
			return true
		}
	}
	return false
}

// aclHosts are the values of an ACL that matches only the domain, in upper or lower case, with or without a port. Each value is the domain, or
// the domain with a port. There are none if the ACL is not completely understood.
func aclHosts(raw, domain string) []string {
	w := literal(nil, raw)
	if len(w) < 4 || w[1] != haproxy.ACLName(domain) {
		return nil
	}
	lowered, ok := isHostHeader(w[2])
	if !ok {
		return nil
	}
	values, folds := w[3:], false
flags:
	for len(values) > 0 {
		switch flag := values[0]; {
		case flag == "-i":
			folds = true
		case flag == "-m" && len(values) > 1 && values[1] == "str":
			values = values[1:]
		case flag == "--":
			values = values[1:]
			break flags
		default:
			break flags
		}
		values = values[1:]
	}
	for _, value := range values {
		host, port, hasPort := strings.Cut(value, ":")
		n, err := strconv.ParseUint(port, 10, 16)
		badPort := hasPort && (err != nil || n == 0)
		if badPort || !strings.EqualFold(host, domain) || !folds && (!lowered || host != strings.ToLower(host)) {
			return nil
		}
	}
	return values
}

// isHostHeader reports whether the criterion of an ACL is the Host header, maybe without its port or in lower case.
func isHostHeader(criterion string) (lowered, ok bool) {
	criterion = strings.TrimPrefix(criterion, "req.")
	const header = "hdr(host)"
	if !strings.HasPrefix(criterion, "hdr(") || len(criterion) < len(header) {
		return false, false
	}
	if !strings.EqualFold(criterion[:len(header)], header) {
		return false, false
	}
	rest := criterion[len(header):]
	for rest != "" {
		switch {
		case strings.HasPrefix(rest, ",lower"):
			rest, lowered = rest[len(",lower"):], true
		case strings.HasPrefix(rest, ",field(1,:)"):
			rest = rest[len(",field(1,:)"):]
		case strings.HasPrefix(rest, ",host_only"):
			rest = rest[len(",host_only"):]
		default:
			return false, false
		}
	}
	return lowered, true
}
