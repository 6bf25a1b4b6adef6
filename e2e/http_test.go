package e2e

import (
	"net/http"
	"testing"
)

// ask requests a domain of the box's HAProxy, as curl does; server is the value of the cookie, or empty.
func (b *box) ask(t testing.TB, domain, server string) answer {
	t.Helper()
	a, err := get(b.web, domain, server)
	if err != nil {
		t.Fatalf("GET %s: %v", domain, err)
	}
	return a
}

// serves fails the test unless the host answers requests for the domain.
func (b *box) serves(t testing.TB, domain, server string, h *host) {
	t.Helper()
	if a := b.ask(t, domain, server); a.status != http.StatusOK || a.body != h.name {
		t.Errorf("%s with cookie %q: got %s, want %q", domain, server, a, h.name)
	}
}

// unknown fails the test unless HAProxy answers for the domain as for any that it does not know.
func (b *box) unknown(t testing.TB, domain string) {
	t.Helper()
	if a := b.ask(t, domain, ""); a.status != http.StatusServiceUnavailable {
		t.Errorf("%s: got %s, want HAProxy's 503", domain, a)
	}
}
