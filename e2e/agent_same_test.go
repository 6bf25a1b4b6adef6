package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
)

// passes ends the storm: every bad value of a good host is mended, and then registry, file and process say the same.
func (s *storm) passes() {
	s.t.Helper()
	for len(s.mends) > 0 {
		s.mend()
	}
	s.settles(s.t)
	s.sameServers("the file", s.fileServers())
	s.sameServers("the process", s.liveServers())
	for _, domain := range slices.Sorted(maps.Keys(s.domains)) {
		for _, name := range slices.Sorted(maps.Keys(s.domains[domain])) {
			if h := s.domains[domain][name]; h.state != "maint" {
				s.comes(s.t, domain, name, h.host)
			}
		}
	}
	for _, l := range s.load {
		l.endsWithoutFailure(s.t)
	}
	for _, c := range s.sticky {
		c.endsAtHome(s.t)
	}
}

// sameServers compares "domain/server address weight state" of each server with what the storm has put.
func (s *storm) sameServers(where string, have []string) {
	s.t.Helper()
	var want []string
	for domain, hosts := range s.domains {
		for name, h := range hosts {
			want = append(want, fmt.Sprintf("%s/%s %s", domain, name, h.host.addr))
		}
	}
	slices.Sort(want)
	slices.Sort(have)
	for _, w := range want {
		if !slices.Contains(have, w) {
			s.t.Errorf("%s does not have %q", where, w)
		}
	}
	for _, h := range have {
		if !slices.Contains(want, h) {
			s.t.Errorf("%s has %q", where, h)
		}
	}
}

// fileServers are "domain/server address" of the managed file.
func (s *storm) fileServers() []string {
	var servers []string
	domain := ""
	for line := range strings.Lines(read(s.t, s.managedFile)) {
		words := strings.Fields(line)
		switch {
		case len(words) > 1 && words[0] == "backend":
			domain = strings.TrimSuffix(words[1], "_cluster")
		case len(words) > 2 && words[0] == "server":
			servers = append(servers, fmt.Sprintf("%s/%s %s", domain, words[1], words[2]))
		}
	}
	return servers
}

// liveServers are the same of the process; their weights and states are compared with what the storm has put.
func (s *storm) liveServers() []string {
	s.t.Helper()
	reply, err := s.runtime("show servers state")
	if err != nil {
		s.t.Fatal(err)
	}
	var columns map[string]int
	var servers []string
	for line := range strings.Lines(reply) {
		if names, ok := strings.CutPrefix(line, "# "); ok {
			columns = map[string]int{}
			for i, name := range strings.Fields(names) {
				columns[name] = i
			}
			continue
		}
		words := strings.Fields(line)
		if len(words) < len(columns) || columns == nil {
			continue
		}
		at := func(name string) string { return words[columns[name]] }
		domain, ours := strings.CutSuffix(at("be_name"), "_cluster")
		if !ours {
			continue
		}
		servers = append(servers, fmt.Sprintf("%s/%s %s", domain, at("srv_name"), net.JoinHostPort(at("srv_addr"), at("srv_port"))))
		h := s.domains[domain][at("srv_name")]
		if got := at("srv_uweight"); got != h.runs() {
			s.t.Errorf("%s/%s has weight %s, want %s", domain, at("srv_name"), got, h.runs())
		}
		if bits := at("srv_admin_state"); forced(bits) != (h.state == "maint") {
			s.t.Errorf("%s/%s has state %s, want %s", domain, at("srv_name"), bits, cmp.Or(h.state, "ready"))
		}
	}
	return servers
}

// runs is the weight that HAProxy has of it: to drain is to have none.
func (h stormHost) runs() string {
	if h.state == "drain" {
		return "0"
	}
	return cmp.Or(h.weight, "1")
}

// forced reports whether srv_admin_state says that a server is in maintenance by command.
func forced(bits string) bool {
	n, err := strconv.Atoi(bits)
	return err != nil || n&0x01 != 0
}
