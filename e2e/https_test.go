package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// An https is a box with the managed file of docs/https.md and certificates for a.abc.com and b.abc.com.
type https struct {
	*box
	tls string
}

// startHTTPS loads the page's own configuration, with the addresses and the paths of the test.
func startHTTPS(t *testing.T, h haproxy) https {
	t.Helper()
	b := https{newBox(t, h), freeAddr(t)}
	b.init(t)
	if err := os.Mkdir(filepath.Join(b.dir, "certs"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, domain := range []string{"a.abc.com", "b.abc.com"} {
		writeCertificate(t, filepath.Join(b.dir, "certs", domain+".pem"), domain)
	}
	for name, text := range map[string]string{
		"503.http":     "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\n\r\n<h1>Back soon</h1>\n",
		"unknown.html": "<h1>No such site</h1>\n",
	} {
		writeFile(t, filepath.Join(b.dir, "errors", name), text)
	}
	_, block, _ := strings.Cut(read(t, "../docs/https.md"), "```haproxy\n")
	block, _, ok := strings.Cut(block, "```")
	if !ok {
		t.Fatal("docs/https.md has no block of HAProxy's configuration")
	}
	filled := block
	for from, to := range map[string]string{
		"bind :80\n": "bind " + b.web + "\n", "bind :443 ": "bind " + b.tls + " ",
		"/etc/haproxy/certs/": filepath.Join(b.dir, "certs") + "/", "/etc/haproxy/errors/": filepath.Join(b.dir, "errors") + "/",
	} {
		if !strings.Contains(filled, from) {
			t.Fatalf("docs/https.md does not say %q", from)
		}
		filled = strings.ReplaceAll(filled, from, to)
	}
	writeFile(t, b.managedFile, filled)
	b.start(t)
	return b
}

// writeFile writes a file and makes its directory.
func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

// curl asks for a URL of a domain over HTTPS or HTTP; the answer begins with its version and code. The certificate that is
// trusted is that of certificate's domain.
func (b https) curl(t *testing.T, certificate, scheme, host string, flags ...string) string {
	t.Helper()
	addr := b.tls
	if scheme == "http" {
		addr = b.web
	}
	_, port := splitAddr(t, addr)
	args := append([]string{
		"-sS", "-i", "--max-time", "30", "--http2", "--resolve", host + ":" + port + ":127.0.0.1",
		"--cacert", filepath.Join(b.dir, "certs", certificate+".pem"),
	}, flags...)
	cmd := exec.CommandContext(t.Context(), lookPath(t, "curl"), append(args, scheme+"://"+host+":"+port+"/path?q=1")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return strings.ReplaceAll(string(out), "\r\n", "\n")
}

// hasHead fails the test unless the answer starts with a line and has the words.
func hasHead(t *testing.T, answer, first string, words ...string) {
	t.Helper()
	if !strings.HasPrefix(answer, first) {
		t.Errorf("got %q, want %q", answer, first)
	}
	for _, w := range words {
		if !strings.Contains(answer, w) {
			t.Errorf("got %q without %q", answer, w)
		}
	}
}

func TestTheRecipeForHTTPSServesWhatIsRegistered(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startHTTPS(t, h)
		written := withoutOurs(read(t, b.managedFile))
		a1, b1 := startHost(t, "a.abc.com server1"), startHost(t, "b.abc.com server1")
		b.register(t, "a.abc.com/server1", a1.addr)
		b.register(t, "b.abc.com/server1", b1.addr)
		b.must(t, "sync")
		sameLines(t, written, withoutOurs(read(t, b.managedFile)))
		b.inLine(t)

		const hsts = "strict-transport-security: max-age=31536000\n"
		got := b.curl(t, "a.abc.com", "https", "a.abc.com")
		hasHead(t, got, "HTTP/2 200", a1.name, hsts, "SERVERID=server1; path=/; HttpOnly; Secure\n")
		hasHead(t, b.curl(t, "b.abc.com", "https", "b.abc.com", "-b", "SERVERID=server1"), "HTTP/2 200", b1.name, hsts)
		hasHead(t, b.curl(t, "a.abc.com", "https", "a.abc.com", "--http1.1"), "HTTP/1.1 200", a1.name)

		// curl names the port, which is not the standard one, and so every request above had a Host with a port.
		redirected := b.curl(t, "a.abc.com", "http", "a.abc.com", "--http1.1")
		hasHead(t, redirected, "HTTP/1.1 301", "location: https://a.abc.com/path?q=1\n")
		if strings.Contains(redirected, "strict-transport-security") {
			t.Errorf("HSTS over plain HTTP: %q", redirected)
		}
		hasHead(t, b.curl(t, "a.abc.com", "https", "unknown.abc.com", "-k"), "HTTP/2 404", "<h1>No such site</h1>", hsts)

		a1.end(t)
		eventually(t, "HAProxy's check finds that the host is gone", func() error {
			if got := b.curl(t, "a.abc.com", "https", "a.abc.com"); !strings.HasPrefix(got, "HTTP/2 503") || !strings.Contains(got, "<h1>Back soon</h1>") {
				return fmt.Errorf("got %q, want %d and the page", got, http.StatusServiceUnavailable)
			}
			return nil
		})
	})
}

func TestInitServesTheSameDomainsWithTLSAndWithout(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := https{newBox(t, h), freeAddr(t)}
		certs := filepath.Join(b.dir, "certs")
		b.init(t, "--https", certs, "--https-bind", b.tls)
		base := strings.Replace(read(t, b.baseFile), "    #default_backend unknown", "    default_backend unknown", 1)
		base = strings.Replace(base, "    #errorfile 503 /etc/haproxy/errors/503.http", "    errorfile 503 "+filepath.Join(b.dir, "503.http"), 1)
		base = strings.Replace(base, "#backend unknown\n#    http-request", "backend unknown\n    http-request", 1)
		b.write(t, b.baseFile, base)
		writeFile(t, filepath.Join(b.dir, "503.http"), "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\n\r\n<h1>Back soon</h1>\n")
		writeCertificate(t, filepath.Join(certs, "a.abc.com.pem"), "a.abc.com")
		b.start(t)
		a1 := startHost(t, "a.abc.com server1")
		for _, domain := range []string{"a.abc.com", "b.abc.com"} {
			b.register(t, domain+"/server1", a1.addr)
		}
		b.put(t, "b.abc.com/maintenance", "true")
		b.step(t)
		hasHead(t, b.curl(t, "a.abc.com", "https", "a.abc.com"), "HTTP/2 200", a1.name)
		hasHead(t, b.curl(t, "a.abc.com", "http", "a.abc.com", "--http1.1"), "HTTP/1.1 200", a1.name)
		hasHead(t, b.curl(t, "a.abc.com", "http", "unknown.abc.com", "--http1.1"), "HTTP/1.1 404", "There is no such site here.")
		hasHead(t, b.curl(t, "a.abc.com", "http", "b.abc.com", "--http1.1"), "HTTP/1.1 503", "<h1>Back soon</h1>")
		b.put(t, "a.abc.com/redirect-https", "true")
		b.step(t)
		hasHead(t, b.curl(t, "a.abc.com", "http", "a.abc.com", "--http1.1"), "HTTP/1.1 301", "location: https://a.abc.com")
		hasHead(t, b.curl(t, "a.abc.com", "https", "a.abc.com"), "HTTP/2 200", a1.name)

		b.delete(t, "a.abc.com/") // and then it is an unknown domain like any other
		b.step(t)
		hasHead(t, b.curl(t, "a.abc.com", "http", "a.abc.com", "--http1.1"), "HTTP/1.1 404", "There is no such site here.")
		if text := read(t, b.managedFile); !strings.Contains(text, "    #http-request redirect scheme https code 301 unless { ssl_fc }\n") {
			t.Errorf("what init wrote is gone:\n%s", text)
		}
	})
}
