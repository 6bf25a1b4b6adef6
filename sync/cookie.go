package sync

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// cookieOf is the argument of the cookie line of a domain; empty for none. What an operator wrote behind the site's own stays,
// unless the domain has a key.
func (l Layout) cookieOf(d registry.Domain, file haproxy.Backend) string {
	site := cookieLine(l.Cookie)
	switch {
	case d.Held && file.Name != "" && (file.Options.Cookie != "" || cookieless(file)):
		return file.Options.Cookie
	case d.Options.Cookie != "":
		return cookieLine(d.Options.Cookie)
	case site != "" && strings.HasPrefix(file.Options.Cookie, site+" "):
		return file.Options.Cookie // with an operator's own "domain" and the like
	}
	return site
}

// cookieless reports whether a backend has servers, and none has a cookie.
func cookieless(b haproxy.Backend) bool {
	return len(b.Servers) > 0 && !slices.ContainsFunc(b.Servers, func(s haproxy.Server) bool { return s.Cookie != "" })
}

// cookieLine is what a good value of the key cookie, or of none, is for HAProxy.
func cookieLine(value string) string {
	if value == registry.CookieOff {
		return ""
	}
	words := strings.Fields(cmp.Or(value, haproxy.StickyName))
	line := words[0] + haproxy.StickyWords
	for _, word := range words[1:] {
		option, argument, _ := strings.Cut(word, "=")
		switch option {
		case "samesite":
			line += " attr SameSite=" + map[string]string{"lax": "Lax", "strict": "Strict", "none": "None"}[argument]
		case "maxidle", "maxlife":
			line += fmt.Sprintf(" %s %d", option, int(registry.CookieTime(argument).Seconds()))
		default:
			line += " " + option
		}
	}
	return line
}
