package registry

import (
	"errors"
	"net/netip"
	"strings"
)

// A spelling is a domain with its name as the keys have it, in upper and lower case.
type spelling struct {
	Domain
	addresses Addresses
	spelled   string
	first     string // the first key
	readable  bool   // a key is one of the layout, whatever its value
	problems  []Problem
	ignored   Ignored
}

func newSpelling(name, first string) spelling {
	s := spelling{spelled: name, first: first}
	s.Name = strings.Clone(strings.ToLower(name))
	return s
}

func (s *spelling) report(key string, err error) {
	s.problems = append(s.problems, NewProblem(key, err))
}

// hold reports a problem that holds the host, or the options of the domain where host is empty.
func (s *spelling) hold(key, host string, err error) {
	p := NewProblem(key, err)
	p.Domain, p.Host = s.Name, host
	s.problems = append(s.problems, p)
}

// child reads the keys with one name below the domain: the option of that name, the host of that
// name, or both. The attributes of the host begin at the offset.
func (s *spelling) child(name string, keys []KeyValue, at int) {
	if len(keys[0].Key) < at {
		s.option(name, keys[0])
		keys = keys[1:]
	}
	if len(keys) > 0 {
		s.host(name, keys, at)
	}
}

func (s *spelling) option(name string, kv KeyValue) {
	err := s.Options.set(name, kv.Value)
	if errors.Is(err, errUnknown) {
		s.ignored = s.ignored.with(name)
		return
	}
	s.readable = true
	if err != nil {
		s.Held = true
		s.hold(kv.Key, "", trimmed(err, kv.Value, new(DomainOptions), name))
	}
}

func (s *spelling) host(name string, keys []KeyValue, at int) {
	if err := CheckHost(name); err != nil {
		s.hold(keys[0].Key, Quote(name), err)
		return
	}
	h := draft{Host: newHost(strings.Clone(name))}
	readable, held := false, false
	for _, kv := range keys {
		attr := kv.Key[at:]
		err := h.set(attr, kv.Value)
		if errors.Is(err, errUnknown) {
			s.ignored = s.ignored.with(attr)
			continue
		}
		readable = true
		if err != nil {
			held = true
			s.hold(kv.Key, h.Name, trimmed(err, kv.Value, new(draft), attr))
		}
	}
	if readable {
		s.readable = true
		s.add(h, held, keys[0].Key[:at])
	}
}

// add takes a host whose keys have been read, and are below root.
func (s *spelling) add(h draft, held bool, root string) {
	missing := h.missing()
	h.Addr = netip.AddrPortFrom(h.ip, h.port)
	if !held && missing == "" {
		if err := s.addresses.Check(h.Addr); err != nil {
			held = true
			s.hold(root+"ip", h.Name, err)
		}
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

// A draft is a host as far as its keys have been read.
type draft struct {
	Host
	ip   netip.Addr // not valid until the key was read
	port uint16     // likewise 0
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
		var word string
		word, err = parseWord(attr, value, "true", "false")
		h.Backup, h.Unset.Backup = word == "true", false
	case "state":
		h.State, err = parseWord(attr, value, Ready, Drain, Maint)
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
	default:
		err = errUnknown
	}
	return err
}
