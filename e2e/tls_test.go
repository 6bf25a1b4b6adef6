package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A secured is a host that speaks TLS, and notes which names were asked for in TLS and with which Host checks came.
type secured struct {
	host
	mu    sync.Mutex
	names map[string]bool
	hosts map[string]bool
}

// startSecured starts a host with the certificate and the key of a file. It answers with its name, and a request for /health with 204.
func startSecured(t *testing.T, name, certificate string) *secured {
	t.Helper()
	s := &secured{names: map[string]bool{}, hosts: map[string]bool{}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.names[r.TLS.ServerName] = true
		if r.URL.Path == "/health" {
			s.hosts[r.Host] = true
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = w.Write([]byte(name))
	}))
	pair, err := tls.LoadX509KeyPair(certificate, certificate)
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	s.host = host{name: name, addr: server.Listener.Addr().String()}
	return s
}

// isAsked waits until a name was asked for in TLS, and a check came with a Host.
func (s *secured) isAsked(t *testing.T, name, checkHost string) {
	t.Helper()
	eventually(t, "TLS for "+name+" and a check of "+checkHost, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.names[name] || !s.hosts[checkHost] {
			return fmt.Errorf("so far: %v and %v", s.names, s.hosts)
		}
		return nil
	})
}

func TestADomainsHostsCanSpeakTLS(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBox(t, h)
		b.init(t)
		certificate := filepath.Join(b.dir, "a.pem")
		writeCertificate(t, certificate, "a.abc.com")
		b.write(t, b.baseFile, strings.Replace(read(t, b.baseFile), "\ndefaults web\n", "\ndefaults web\n    default-server ca-file "+certificate+"\n", 1))
		b.start(t)
		one, two := startSecured(t, "server1", certificate), startSecured(t, "server2", certificate)
		for _, domain := range []string{"a.abc.com", "b.abc.com", "c.abc.com"} {
			b.put(t, domain+"/cookie", "off") // without one, HAProxy 2.6, too, takes servers live
			b.register(t, domain+"/server1", one.addr)
		}
		b.put(t, "c.abc.com/check", "/health")
		b.must(t, "sync")
		for _, domain := range []string{"a.abc.com", "b.abc.com", "c.abc.com"} {
			if a := b.ask(t, domain, ""); a.body == one.name {
				t.Errorf("%s: a host that speaks TLS was understood without", domain)
			}
		}

		eventually(t, "a host that answers no check without TLS is down", func() error {
			if status, _ := b.stat("c.abc.com_cluster", "server1", "status"); status != "DOWN" {
				return errors.New(status)
			}
			return nil
		})

		b.put(t, "a.abc.com/tls", "verify")
		b.put(t, "b.abc.com/tls", "verify")
		b.put(t, "c.abc.com/tls", "noverify")
		before := b.generation(t)
		b.step(t)
		b.reloadedOnce(t, before)
		b.comes(t, "a.abc.com", "", &one.host)
		b.comes(t, "c.abc.com", "", &one.host) // though it was down before the reload
		one.isAsked(t, "a.abc.com", "c.abc.com")
		one.isAsked(t, "c.abc.com", "c.abc.com")
		if a := b.ask(t, "b.abc.com", ""); a.status != http.StatusServiceUnavailable {
			t.Errorf("a certificate for another name was taken: %s", a)
		}
		says(t, b.must(t, "list").stdout, "a.abc.com", "tls verify")

		before = b.generation(t)
		b.register(t, "a.abc.com/server2", two.addr)
		b.register(t, "b.abc.com/server2", two.addr)
		b.step(t)
		b.notReloaded(t, before)
		b.comes(t, "a.abc.com", "", &two.host)
		if b.ask(t, "b.abc.com", "").status != http.StatusServiceUnavailable {
			t.Error("a certificate for another name was taken of a server that was added live")
		}

		b.put(t, "b.abc.com/tls", "noverify")
		b.put(t, "d.abc.com/tls", "verify") // a new domain, with the operator's authority from its first line on
		b.register(t, "d.abc.com/server1", one.addr)
		b.must(t, "sync")
		b.comes(t, "b.abc.com", "", &one.host)
		b.inLine(t)
		if text := read(t, b.managedFile); strings.Contains(text, "@system-ca") {
			t.Errorf("the operator's ca-file does not count:\n%s", text)
		}
	})
}

func TestACheckHasTheWordsOfItsKey(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		certificate := filepath.Join(b.dir, "a.pem")
		writeCertificate(t, certificate, "a.abc.com")
		one, plain := startSecured(t, "server1", certificate), startHost(t, "plain")
		b.put(t, "a.abc.com/check", "/health status=204 host=internal.abc.com:8080 inter=1s rise=1 fall=1")
		b.put(t, "a.abc.com/tls", "noverify")
		b.register(t, "a.abc.com/server1", one.addr)
		b.put(t, "b.abc.com/check", "/ status=204,500-599 inter=1s")
		b.register(t, "b.abc.com/server1", plain.addr)
		b.put(t, "c.abc.com/check", "tcp inter=1h fall=2")
		b.register(t, "c.abc.com/server1", plain.addr)
		b.put(t, "d.abc.com/check", "/ status=200 host=x")
		b.register(t, "d.abc.com/server1", plain.addr)
		b.step(t)
		b.comes(t, "a.abc.com", "", &one.host)
		one.isAsked(t, "a.abc.com", "internal.abc.com:8080")
		b.comes(t, "c.abc.com", "", plain)
		b.comes(t, "d.abc.com", "", plain)
		eventually(t, "an answer of 200 is not good where the key wants 204", func() error {
			if a := b.ask(t, "b.abc.com", ""); a.status != http.StatusServiceUnavailable {
				return fmt.Errorf("got %s", a)
			}
			return nil
		})
		text := read(t, b.managedFile)
		for _, line := range []string{
			"    http-check send meth GET uri /health ver HTTP/1.1 hdr Host internal.abc.com:8080 # hapsync\n",
			"    http-check expect status 204 # hapsync\n", "    default-server inter 1h fall 2 # hapsync\n",
			"    default-server ssl verify none sni str(a.abc.com) check-sni a.abc.com inter 1s rise 1 fall 1 # hapsync\n",
		} {
			if strings.Count(text, line) != 1 {
				t.Errorf("no line %q in:\n%s", line, text)
			}
		}

		before := b.generation(t)
		for _, domain := range []string{"b.abc.com", "d.abc.com"} { // live but for 2.6, which takes no cookie live
			b.register(t, domain+"/server2", plain.addr)
		}
		b.must(t, "sync")
		b.comes(t, "d.abc.com", "server2", plain)
		if h.can.CookieLive {
			b.notReloaded(t, before)
			if a := b.ask(t, "b.abc.com", "server2"); a.status != http.StatusServiceUnavailable {
				t.Errorf("a server was taken for good before a check that its key wants: %s", a)
			}
		}

		b.ownWordsWin(t)
	})
}

// ownWordsWin has an operator's own words in the place of those of keys.
func (b *box) ownWordsWin(t *testing.T) {
	t.Helper()
	text := read(t, b.managedFile)
	for domain, own := range map[string]string{
		"a.abc.com": "    default-server ssl verify none rise 5\n",
		"d.abc.com": "    http-check expect status 200\n",
	} {
		head := "backend " + domain + "_cluster\n"
		text = strings.Replace(text, head, head+own, 1)
	}
	b.write(t, b.managedFile, text)
	for range 2 {
		b.hapsync(t, "sync")
	}
	b.inLineBeside(t)
	planned := b.must(t, "plan").stdout
	says(t, planned, "problem ", "/a.abc.com/tls", "your own words in backend a.abc.com_cluster count instead (ssl)")
	says(t, planned, "problem ", "/a.abc.com/check", "(inter, rise or fall)")
	says(t, planned, "problem ", "/d.abc.com/check", "(http-check)")
	if text := read(t, b.managedFile); strings.Contains(text, "sni str(a.abc.com)") || !strings.Contains(text, "    default-server ssl verify none rise 5\n") {
		t.Errorf("an operator's own words did not win:\n%s", text)
	}
}
