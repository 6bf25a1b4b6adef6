package registry

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A spelling is a domain with its name as the keys write it, in upper and lower case.
type spelling struct {
	Domain
	addresses Addresses
	spelled   string
	first     string // the first key
	readable  bool   // it has a key of the layout, with any value
	problems  []Problem
	ignored   Ignored
}

func newSpelling(name, first string) spelling {
	s := spelling{spelled: name, first: first}
	s.Name = strings.Clone(strings.ToLower(name))
	return s
}

// alone returns the domain, without the memory of its spelling.
func (s *spelling) alone() *Domain {
	d := s.Domain
	return &d
}

func (s *spelling) report(key string, err error) {
	s.problems = append(s.problems, NewProblem(key, err))
}

// hold reports a problem that holds a host, or the options of the domain if host is empty.
func (s *spelling) hold(key, host string, err error) {
	p := NewProblem(key, err)
	p.Domain, p.Host = s.Name, host
	s.problems = append(s.problems, p)
}

// child reads the keys of one name below the domain: an option, a host, or both. The attributes of the host begin at the
// offset.
func (s *spelling) child(name string, keys []KeyValue, at int) {
	if len(keys[0].Key) < at && IsOption(name) {
		s.option(name, keys[0])
		keys = keys[1:]
	}
	if len(keys) > 0 {
		s.host(name, keys, at)
	}
}

func (s *spelling) option(name string, kv KeyValue) {
	s.readable = true
	if name == aliasesKey {
		s.AliasesSince = kv.Created
	}
	if err := s.Options.set(name, kv.Value); err != nil {
		s.Held = true
		s.hold(kv.Key, "", spaceError(err, kv.Value, new(DomainOptions), name))
	}
}

func (s *spelling) host(name string, keys []KeyValue, at int) {
	if below := keys[1:]; len(keys[0].Key) < at && (isAttribute(name) || isIgnored(keys[0].Value, below, at)) {
		s.ignored = s.ignored.with(name)
		s.unclear(name, keys[0], below, at)
		keys = below
	}
	if len(keys) == 0 {
		return
	}
	if err := CheckHost(name); err != nil {
		s.hold(keys[0].Key, Quote(name), err)
		return
	}
	h := draft{Host: newHost(strings.Clone(name))}
	readable, held := false, false
	for _, kv := range keys {
		attr, err := Itself, errUnknown
		if len(kv.Key) >= at {
			attr = kv.Key[at:]
		}
		if attr != Itself || len(kv.Key) < at { // a trailing slash is no attribute
			err = h.set(attr, kv.Value)
		}
		if errors.Is(err, errUnknown) {
			s.ignored = s.ignored.with(attr)
			continue
		}
		readable = true
		if err != nil {
			held = true
			s.hold(kv.Key, h.Name, spaceError(err, kv.Value, new(draft), attr))
		}
	}
	if readable {
		s.readable = true
		s.add(h, held, keys[0].Key[:at-len(name)-len("//")])
	}
}

// unclear notes an ignored key that has the name of a host, unless keys below it make a host. The host's attributes begin at
// the offset.
func (s *spelling) unclear(name string, itself KeyValue, below []KeyValue, at int) {
	isHost := slices.ContainsFunc(below, func(kv KeyValue) bool { return isAttribute(kv.Key[at:]) })
	if isHost || isAttribute(name) || CheckHost(name) != nil {
		return
	}
	_, err := parseAddress(itself.Value)
	p := NewProblem(itself.Key, err)
	p.Domain, p.Host = s.Name, strings.Clone(name)
	s.Unclear = append(s.Unclear, p)
}

// isIgnored reports whether a key with the name of a host is ignored because it is not the host's address. It judges by the
// value, and by the host's keys below it, whose attributes begin at the offset.
func isIgnored(value string, below []KeyValue, at int) bool {
	if looksLikeAddress(value) {
		return false
	}
	known := false
	for _, kv := range below {
		switch attr := kv.Key[at:]; attr {
		case "ip", "port":
			return true
		default:
			known = known || isAttribute(attr)
		}
	}
	return !known && value != ""
}

// add adds a host after its keys have been read. domain is the key of its domain.
func (s *spelling) add(h draft, held bool, domain string) {
	missing, err := h.complete()
	if err == nil && missing == "" {
		err = s.addresses.Check(h.Addr)
	}
	if !held && err != nil {
		held = true
		s.hold(h.AddressKey(domain), h.Name, err)
	}
	switch {
	case held:
		s.HeldHosts = append(s.HeldHosts, h.Name)
	case missing != "":
		s.Pending = append(s.Pending, Pending{Host: h.Name, Missing: missing})
	default:
		s.Hosts = append(s.Hosts, h.Host)
	}
}

// A draft is a host whose keys are being read.
type draft struct {
	Host
	ip   netip.Addr     // invalid until the key is read
	port uint16         // 0 until the key is read
	one  netip.AddrPort // of the key that is the host itself; invalid until it is read
}

// complete sets the address. It returns the keys that are missing, or an error if two keys contradict each other.
func (h *draft) complete() (missing string, err error) {
	h.Addr, h.OneKey = netip.AddrPortFrom(h.ip, h.port), h.one.IsValid()
	if !h.OneKey {
		return h.missing(), nil
	}
	if h.ip.IsValid() && h.ip != h.one.Addr() || h.port != 0 && h.port != h.one.Port() {
		err = fmt.Errorf("address %s is another one than that of the keys ip and port below it: delete the key, or those", h.one)
	}
	h.Addr = h.one
	return "", err
}

func (h *draft) missing() string {
	switch {
	case h.ip.IsValid() && h.port != 0:
		return ""
	case h.ip.IsValid():
		return "port"
	case h.port != 0:
		return "ip"
	}
	return "ip and port"
}

func (h *draft) set(attr, value string) (err error) {
	switch attr {
	case Itself:
		h.one, err = parseAddress(value)
	case "ip":
		h.ip, err = parseIP(value)
	case "port":
		var n int
		n, err = parseNumber(attr, value, 1, 65535)
		h.port = uint16(n)
	case "weight":
		h.Weight, err = parseNumber(attr, value, 0, 256)
		h.Unset.Weight = false
	case "maxconn":
		h.MaxConn, err = parseNumber(attr, value, 0, 1_000_000)
		h.Unset.MaxConn = false
	case "backup":
		h.Backup, err = parseBool(attr, value)
		h.Unset.Backup = false
	case "state":
		h.State, err = parseWord(attr, value, Ready, Drain, Maint)
		h.Unset.State = false
	default:
		err = errUnknown
	}
	return err
}

func (o *DomainOptions) set(name, value string) (err error) {
	switch name {
	case "balance":
		o.Balance, err = parseWord(name, value, "roundrobin", "static-rr", "leastconn", "first", "random", "source", "uri")
	case "check":
		o.Check, err = parseCheck(value)
	case "cookie":
		o.Cookie, err = parseCookie(value)
	case "timeout-server":
		o.TimeoutServer, err = parseTimeout(name, value)
	case "tls":
		o.TLS, err = parseWord(name, value, "off", "verify", "noverify")
	case aliasesKey:
		o.Aliases, err = parseAliases(value)
	case "redirect-https":
		o.RedirectHTTPS, err = parseBool(name, value)
	case "maintenance":
		o.Maintenance, err = parseBool(name, value)
	default:
		err = errUnknown
	}
	return err
}
