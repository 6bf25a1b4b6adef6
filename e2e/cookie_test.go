package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// setCookie is the header that HAProxy sets for a client of a domain without a cookie.
func (b *box) setCookie(t *testing.T, domain string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+b.web+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = domain
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("%s: %d, %v", domain, answer.StatusCode, err)
	}
	return answer.Header.Get("Set-Cookie")
}

func (b *box) setsCookie(t *testing.T, domain, want string) {
	t.Helper()
	if got := b.setCookie(t, domain); got != want {
		t.Errorf("%s sets the cookie %q, want %q", domain, got, want)
	}
}

// TestADomainHasTheCookieOfItsKey goes from no cookie to one of its own and to the site's.
func TestADomainHasTheCookieOfItsKey(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		one, two := startHost(t, "server1"), startHost(t, "server2")
		b.register(t, "a.abc.com/server1", one.addr)
		b.put(t, "a.abc.com/cookie", "off")
		b.step(t)
		b.setsCookie(t, "a.abc.com", "")
		if text := read(t, b.managedFile); strings.Contains(text, "cookie") {
			t.Errorf("there is a cookie in\n%s", text)
		}

		before := b.generation(t)
		b.register(t, "a.abc.com/server2", two.addr)
		b.must(t, "sync")
		b.notReloaded(t, before) // on 2.6, too: nothing but the cookie is in the way
		b.comes(t, "a.abc.com", "", two)
		b.unregister(t, "a.abc.com/server2")

		b.put(t, "a.abc.com/cookie", "SID maxlife=8h samesite=strict secure httponly")
		reloads(t, b.step(t), 1)
		got := b.setCookie(t, "a.abc.com")
		if !strings.HasPrefix(got, "SID=server1|") || !strings.HasSuffix(got, "; path=/; HttpOnly; Secure; SameSite=Strict") {
			t.Errorf("the cookie is %q", got)
		}
		says(t, b.must(t, "list").stdout, "a.abc.com", "cookie SID httponly secure samesite=strict maxlife=8h")

		b.put(t, "a.abc.com/cookie", "SID domain=evil.com")
		if o := b.hapsync(t, "sync"); o.code != 6 || !strings.Contains(o.stdout, "/a.abc.com/cookie: cookie") {
			t.Errorf("a bad cookie: %s", o)
		}
		if got := b.setCookie(t, "a.abc.com"); !strings.HasPrefix(got, "SID=server1|") {
			t.Errorf("the last good cookie did not stay: %q", got)
		}

		b.etcdctl(t, "del", b.prefix+"/a.abc.com/cookie")
		b.must(t, "sync", "--cookie", "off")
		b.setsCookie(t, "a.abc.com", "")
		b.must(t, "sync")
		b.setsCookie(t, "a.abc.com", "SERVERID=server1; path=/")
	})
}

// TestAFileWithoutCookiesIsTakenOverAsItIs has a file of another tool, whose servers have no cookie and hapsync's mark.
func TestAFileWithoutCookiesIsTakenOverAsItIs(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		one := startHost(t, "server1")
		b.register(t, "a.abc.com/server1", one.addr)
		b.put(t, "a.abc.com/cookie", "off")
		b.write(t, b.managedFile, b.frontendLines("a.abc.com")+
			"\nbackend a.abc.com_cluster\n    balance roundrobin\n    server server1 "+one.addr+" check # hapsync by our template\n    server own "+one.addr+"\n")
		b.startWith(t, b.baseFile, b.managedFile)
		b.inLine(t)
		b.put(t, "a.abc.com/server1/weight", "7")
		before := b.generation(t)
		b.must(t, "sync")
		b.notReloaded(t, before)
		text := read(t, b.managedFile)
		for _, want := range []string{"server server1 " + one.addr + " check weight 7 # hapsync by our template\n", "server own " + one.addr + "\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("no line %q in\n%s", want, text)
			}
		}
	})
}
