package configfile

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// serverWords are the words of a server's line, without those that given makes unnecessary.
func serverWords(s haproxy.Server, given haproxy.Given) []string {
	w := []string{"server", s.Name, s.Addr.String()}
	if s.Cookie != "" {
		w = append(w, "cookie", s.Cookie)
	}
	if s.Check {
		w = append(w, "check")
	} else if given.Check {
		w = append(w, "no-check")
	}
	if s.Weight != given.ServerWeight() {
		w = append(w, "weight", strconv.Itoa(s.Weight))
	}
	if s.MaxConn != given.MaxConn {
		w = append(w, "maxconn", strconv.Itoa(s.MaxConn))
	}
	if s.Backup != given.Backup {
		w = append(w, map[bool]string{true: "backup", false: "no-backup"}[s.Backup])
	}
	if (s.State == haproxy.Maint) != given.Disabled {
		w = append(w, map[bool]string{true: "disabled", false: "enabled"}[s.State == haproxy.Maint])
	}
	if s.Params != "" {
		w = append(w, s.Params)
	}
	return w
}

// ownMark is the comment that marks a line of ours that could be an operator's, such as a server's line without a cookie.
const ownMark = "# hapsync"

// isOurServer reports whether a server's line has our form: an address, and either the server's name as its cookie, or no cookie and the mark.
func isOurServer(raw string) bool {
	var buffer wordBuffer
	w := appendWords(buffer[:0], raw)
	if len(w) < 3 || !haproxy.PlainName(w[1]) {
		return false
	}
	if _, err := parseAddr(w[2]); err != nil {
		return false
	}
	for i := 3; i+1 < len(w); i++ {
		if w[i] == "cookie" {
			return w[i+1] == w[1]
		}
	}
	return !slices.Contains(w, "cookie") && isMarked(commentOf(raw))
}

func isMarked(comment string) bool {
	rest, ok := strings.CutPrefix(comment, ownMark)
	return ok && (rest == "" || isBlank(rest[0]))
}

// marked is the comment of a server's line of ours. It has the mark if the server has no cookie.
func marked(s haproxy.Server, comment string) string {
	switch {
	case s.Cookie != "":
		return unmarked(comment)
	case isMarked(comment):
		return comment
	}
	return strings.TrimRight(ownMark+" "+comment, " ")
}

// unmarked is a comment without the mark.
func unmarked(comment string) string {
	if !isMarked(comment) {
		return comment
	}
	comment = strings.TrimLeft(comment[len(ownMark):], " \t")
	if comment == "" || comment[0] == '#' {
		return comment
	}
	return "# " + comment
}

// givenBy is what the words of default-server lines give.
func givenBy(words string) haproxy.Given {
	if strings.TrimSpace(words) == "" {
		return haproxy.Given{}
	}
	s := readServer(append([]string{"server", "", ""}, strings.Fields(words)...), haproxy.Given{Weight: -1, Weighted: true})
	given := haproxy.Given{
		Weight: s.Weight, Weighted: true, MaxConn: s.MaxConn, Backup: s.Backup, Disabled: s.State == haproxy.Maint, Check: s.Check,
	}
	if s.Weight < 0 {
		given.Weight, given.Weighted = 0, false
	}
	return given
}

// readServer parses the words of a server line, from "server" on. given is what the line inherits. The address is zero if it is not ip:port.
func readServer(w []string, given haproxy.Given) haproxy.Server {
	s := haproxy.Server{
		Name: w[1], Weight: given.ServerWeight(), MaxConn: given.MaxConn, Backup: given.Backup, Check: given.Check, State: stateOf(given),
	}
	s.Addr, _ = parseAddr(w[2])
	var params []string
	if !s.Addr.IsValid() {
		params = append(params, w[2])
	}
	for i := 3; i < len(w); i++ {
		number := func() (int, bool) {
			if i+1 >= len(w) {
				return 0, false
			}
			n, err := strconv.Atoi(w[i+1])
			return n, err == nil && n >= 0
		}
		switch w[i] {
		case "check", "no-check":
			s.Check = w[i] == "check"
			continue
		case "backup", "no-backup":
			s.Backup = w[i] == "backup"
			continue
		case "disabled", "enabled":
			s.State = stateOf(haproxy.Given{Disabled: w[i] == "disabled"})
			continue
		case "cookie":
			if i+1 < len(w) {
				i++
				s.Cookie = w[i]
				continue
			}
		case "weight":
			if n, ok := number(); ok {
				s.Weight, i = n, i+1
				continue
			}
		case "maxconn":
			if n, ok := number(); ok {
				s.MaxConn, i = n, i+1
				continue
			}
		}
		params = append(params, w[i])
	}
	s.Params = strings.Join(params, " ")
	return s
}

// stateOf is the state of a server in the file.
func stateOf(given haproxy.Given) haproxy.ServerState {
	if given.Disabled {
		return haproxy.Maint
	}
	return haproxy.Ready
}

// parseAddr parses 10.0.0.1:80, [::1]:80 and HAProxy's ::1:80.
func parseAddr(s string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddrPort(s); err == nil {
		return addr, nil
	}
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return netip.AddrPort{}, fmt.Errorf("%q has no port", s)
	}
	return netip.ParseAddrPort("[" + s[:colon] + "]" + s[colon:])
}
