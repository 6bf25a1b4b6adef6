package configfile

import (
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// checkOf is the path of the HTTP check of a backend, and its Host if that is another one than the domain, where it stands in our two
// lines and in no others but marked ones.
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

// sendLine is the line that makes a backend's HTTP check; with a Host of its own it has the mark, for nothing else tells that it is ours.
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
	above := givers{words: inherited}
	b := haproxy.Backend{Name: name, Own: append(givenTLS(inherited), givenChecks(words)...)}
	domain, _ := haproxy.DomainOf(name)
	b.Options.Check, b.Options.CheckHost = checkOf(body, domain)
	b.Servers = make([]haproxy.Server, 0, len(body))
	var buffer wordBuffer
	var lines []string
	for _, l := range body {
		above.pass(l)
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

// givers are the default-server lines above a place in a backend: HAProxy gives their words to the servers below them alone, and all of
// them to a server that is added live (seen on 2.6, 3.0 and 3.4).
type givers struct {
	words string // the inherited ones at first
	known bool
	gives haproxy.Given
}

// pass goes down by one line.
func (g *givers) pass(l line) {
	if firstWord(l.raw) == "default-server" && !l.off {
		g.words, g.known = g.words+" "+defaultServerWords([]line{l}), false
	}
}

// given is what they give.
func (g *givers) given() haproxy.Given {
	if !g.known {
		g.gives, g.known = givenBy(g.words), true
	}
	return g.gives
}

// givesLate is the place of a default-server line below a server in the body of a section; -1 where there is none.
func givesLate(body []line) int {
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

// ownBy is what a line of an operator's in a managed backend has of what hapsync can write.
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

// ownOf is what words of servers have of what hapsync can write.
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

// givenTLS is what the words of an operator's default-server lines give of the servers' TLS.
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

// givenChecks is what the words of default-server lines give of the servers' checks.
func givenChecks(words string) (given []string) {
	if haproxy.LastWord(false, words, "agent-check") {
		given = append(given, haproxy.GivenAgent)
	}
	if slices.Contains(strings.Fields(words), "track") {
		given = append(given, haproxy.GivenTrack)
	}
	return given
}

// with is a list with further words, each once.
func with(list []string, words ...string) []string {
	for _, w := range words {
		if !slices.Contains(list, w) {
			list = append(list, w)
		}
	}
	return list
}
