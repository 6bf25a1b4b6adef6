package configfile

import (
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// checkOf is the path of a backend's HTTP check, and its Host header if that is not the domain. Both are empty unless the check consists of
// our two lines, and otherwise only of marked lines.
func checkOf(body []line, domain string) (path, host string) {
	options, sends := 0, 0
	for _, l := range body {
		switch firstWord(l.raw) {
		case "option":
			if w := splitWords(l.raw); len(w) >= 2 && w[1] == "httpchk" {
				options += 1 + (len(w)-2)*10
			}
		case "http-check":
			w, own := splitWords(l.raw), isMarked(commentOf(l.raw))
			if own && (len(w) < 2 || w[1] != "send") {
				continue
			}
			if len(w) == 11 && slices.Equal(w, httpCheckWords(w[5], w[10])) && (own || w[10] == domain) && !l.conditional {
				path, host = w[5], w[10]
			}
			sends++
		}
	}
	if options != 1 || sends != 1 || path == "" {
		return "", ""
	}
	if host == domain {
		host = ""
	}
	return path, host
}

func httpCheckWords(path, host string) []string {
	return []string{"http-check", "send", "meth", "GET", "uri", path, "ver", "HTTP/1.1", "hdr", "Host", host}
}

// sendLine is the line of a backend's HTTP check. With another Host header than the domain it has the mark, which makes it ours.
func sendLine(b haproxy.Backend) []string {
	domain, _ := haproxy.DomainOf(b.Name)
	if b.Options.CheckHost == "" {
		return httpCheckWords(b.Options.Check, domain)
	}
	return append(httpCheckWords(b.Options.Check, b.Options.CheckHost), ownMark)
}

func fileBackend(d Document, s section, name, inherited string) haproxy.Backend {
	body := d.body(s)
	words := inherited + " " + defaultServerWords(d.active(s))
	above := serverDefaults{words: inherited}
	b := haproxy.Backend{Name: name, Own: append(givenTLS(inherited), givenChecks(words)...)}
	domain, _ := haproxy.DomainOf(name)
	b.Options.Check, b.Options.CheckHost = checkOf(body, domain)
	b.Servers = make([]haproxy.Server, 0, len(body))
	var buffer wordBuffer
	var lines []string
	for _, l := range body {
		above.read(l)
		switch roleOf(l, b.Options.Check != "") {
		case roleMarked:
			lines = append(lines, strings.Join(appendWords(buffer[:0], l.raw), " "))
		case roleForeign:
			b.Own = with(b.Own, ownBy(appendWords(buffer[:0], l.raw))...)
		case roleBalance:
			b.Options.Balance = strings.Join(appendWords(buffer[:0], l.raw)[1:], " ")
		case roleCookie:
			b.Options.Cookie = canonicalCookie(appendWords(buffer[:0], l.raw)[1:])
		case roleServer:
			server := readServer(appendWords(buffer[:0], l.raw), above.given())
			b.Servers = append(b.Servers, server)
			if server.Params != "" {
				b.Own = with(b.Own, ownOf(strings.Fields(server.Params))...)
			}
		}
	}
	b.Given, b.Options.Lines = above.given(), strings.Join(lines, "\n")
	haproxy.SortServers(b.Servers)
	return b
}

// serverDefaults are the default-server lines above a place in a backend. HAProxy gives their words only to the servers below them. A server
// that is added live gets those of all lines (seen on 2.6, 3.0 and 3.4).
type serverDefaults struct {
	words string // starts with the inherited words
	known bool
	gives haproxy.Given
}

// read goes on to the next line.
func (g *serverDefaults) read(l line) {
	if firstWord(l.raw) == "default-server" && !l.off {
		g.words, g.known = g.words+" "+defaultServerWords([]line{l}), false
	}
}

// given is what the lines read so far give.
func (g *serverDefaults) given() haproxy.Given {
	if !g.known {
		g.gives, g.known = givenBy(g.words), true
	}
	return g.gives
}

// lateDefaultServer is the index of a default-server line below a server in the body of a section; -1 if there is none.
func lateDefaultServer(body []line) int {
	servers := false
	for i, l := range body {
		switch firstWord(l.raw) {
		case "server", "server-template":
			servers = true
		case "default-server":
			if servers {
				return i
			}
		}
	}
	return -1
}

// ownBy says which settings that hapsync could write an operator's line in a managed backend has.
func ownBy(w []string) []string {
	switch {
	case len(w) == 0:
	case w[0] == "default-server":
		words := w[1:]
		return append(ownOf(words), givenTLS(strings.Join(words, " "))...)
	case w[0] == "http-check", len(w) > 1 && w[0] == "option" && w[1] == "httpchk":
		return []string{haproxy.OwnHTTPCheck}
	case len(w) > 1 && w[0]+" "+w[1] == haproxy.OwnTimeout:
		return []string{haproxy.OwnTimeout}
	}
	return nil
}

// ownOf says which settings that hapsync could write the words of servers have.
func ownOf(words []string) (own []string) {
	for _, w := range words {
		switch w {
		case "ssl", "no-ssl", "verify", "sni", "verifyhost", "no-verifyhost", "check-sni", "check-ssl", "no-check-ssl":
			own = with(own, haproxy.OwnTLS)
		case "inter", "fastinter", "downinter", "rise", "fall":
			own = with(own, haproxy.OwnTiming)
		}
	}
	return own
}

// givenTLS says which TLS settings the words of default-server lines give.
func givenTLS(words string) (given []string) {
	if !strings.Contains(words, "ssl") && !strings.Contains(words, "ca-file") {
		return nil
	}
	w := strings.Fields(words)
	if slices.Contains(w, "ssl") {
		given = append(given, haproxy.GivenSSL)
	}
	if at := slices.Index(w, "ca-file"); at >= 0 {
		given = append(given, haproxy.GivenCA)
	}
	return given
}

// givenChecks says which checks the words of default-server lines give.
func givenChecks(words string) (given []string) {
	if haproxy.LastWord(false, words, "agent-check") {
		given = append(given, haproxy.GivenAgent)
	}
	if slices.Contains(strings.Fields(words), "track") {
		given = append(given, haproxy.GivenTrack)
	}
	return given
}

// with adds words to a list, each once.
func with(list []string, words ...string) []string {
	for _, w := range words {
		if !slices.Contains(list, w) {
			list = append(list, w)
		}
	}
	return list
}
