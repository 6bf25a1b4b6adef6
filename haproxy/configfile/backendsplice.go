package configfile

import (
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

func (p *splicer) backend(b haproxy.Backend) {
	p.flush()
	p.out.WriteString("\nbackend " + b.Name)
	if from := p.have.from(); from != "" {
		p.out.WriteString(" from " + from)
	}
	p.out.WriteString("\n")
	p.options(b, nil)
	p.servers(b.Servers, b.Given)
}

// options writes the option lines of a backend in client-native's order. comments are the existing comments, by keyword.
func (p *splicer) options(b haproxy.Backend, comments map[string]string) {
	write := func(words ...string) {
		if comment := comments[words[0]]; comment != "" {
			words = append(words, comment)
		}
		p.line(words...)
	}
	if b.Options.Balance != "" {
		write("balance", b.Options.Balance)
	}
	if b.Options.Check != "" {
		write("option", "httpchk")
		write(sendLine(b)...)
	}
	if b.Options.Cookie != "" {
		write("cookie", b.Options.Cookie)
	}
	for l := range strings.Lines(b.Options.Lines) {
		p.line(strings.TrimSpace(l), ownMark)
	}
}

func (p *splicer) server(s haproxy.Server, given haproxy.Given, comment string) {
	words := serverWords(s, given)
	if comment = marked(s, comment); comment != "" {
		words = append(words, comment)
	}
	p.line(words...)
}

// editBackend writes a managed backend as it is wanted, or drops it if it is not wanted.
func (p *splicer) editBackend(s section) {
	have, _ := haproxy.FindBackend(p.have.Config.Backends, s.name)
	want, ok := haproxy.FindBackend(p.want.Backends, s.name)
	if !ok {
		p.blanks = "" // the blank lines before it go, those behind it stay
		return
	}
	if have.Options == want.Options && slices.Equal(have.Servers, want.Servers) {
		p.copy(s.head, s.content)
		return
	}
	p.copy(s.head, s.head+1)
	body := p.doc.body(s)
	sameOptions := have.Options == want.Options
	if !sameOptions {
		p.options(want, commentsOf(body, have.Options.Check != ""))
	}
	last := -1 // index of the last server
	for i, l := range body {
		if roleOf(l, false) == roleServer {
			last = i
		}
	}
	fresh := slices.DeleteFunc(slices.Clone(want.Servers), func(s haproxy.Server) bool {
		_, had := haproxy.FindServer(have, s.Name)
		return had
	})
	inherited, late := p.have.late[s.name]
	above, given := serverDefaults{words: inherited}, want.Given
	var behind []haproxy.Server
	if late { // new servers get the words of all default-server lines, so they go to the end
		fresh, behind, last = nil, fresh, -1
	}
	for i, l := range body {
		if late {
			above.read(l)
			given = above.given()
		}
		switch roleOf(l, have.Options.Check != "") {
		case roleServer:
			fresh = p.editServer(l.raw, have, want, fresh, given)
			if i == last {
				p.servers(fresh, want.Given)
				fresh = nil
			}
			continue
		case roleBalance, roleCookie, roleCheck, roleMarked:
			if !sameOptions {
				continue
			}
		}
		p.raw(l.raw)
	}
	p.servers(append(fresh, behind...), want.Given)
}

// commentsOf are the comments of a backend's option lines, by keyword, without the mark.
func commentsOf(body []line, checked bool) map[string]string {
	comments := map[string]string{}
	for _, l := range body {
		switch roleOf(l, checked) {
		case roleBalance, roleCookie, roleCheck:
			comments[firstWord(l.raw)] = unmarked(commentOf(l.raw))
		}
	}
	return comments
}

// editServer replaces a server's line: it writes the new servers that sort before it, then its own line, unchanged if the server does not
// change. given is what servers get at this place. It returns the remaining new servers.
func (p *splicer) editServer(raw string, have, want haproxy.Backend, fresh []haproxy.Server, given haproxy.Given) []haproxy.Server {
	w := splitWords(raw)
	if len(w) < 3 {
		return fresh // HAProxy refuses it
	}
	before := 0
	for before < len(fresh) && fresh[before].Name < w[1] {
		before++
	}
	p.servers(fresh[:before], want.Given)
	old, _ := haproxy.FindServer(have, w[1])
	switch s, wanted := haproxy.FindServer(want, w[1]); {
	case wanted && s == old:
		p.raw(raw)
	case wanted:
		p.server(s, given, commentOf(raw))
	}
	return fresh[before:]
}

func (p *splicer) servers(servers []haproxy.Server, given haproxy.Given) {
	for _, s := range servers {
		p.server(s, given, "")
	}
}
