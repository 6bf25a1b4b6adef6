package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startCerts is a box with TLS whose HAProxy has loaded a directory with a certificate for a.abc.com, and hosts for two domains.
func startCerts(t *testing.T, h haproxy) (b https, certs string) {
	t.Helper()
	b = https{newBox(t, h), freeAddr(t)}
	certs = filepath.Join(b.dir, "certs")
	b.init(t, "--https", certs, "--https-bind", b.tls)
	writeCertificate(t, filepath.Join(certs, "a.abc.com.pem"), "a.abc.com")
	b.start(t)
	one := startHost(t, "server1")
	b.register(t, "a.abc.com/server1", one.addr)
	b.register(t, "b.abc.com/server1", one.addr)
	b.must(t, "sync")
	return b, certs
}

// putFile puts a file into a directory at once, as what renews certificates does.
func putFile(t *testing.T, path string, text []byte) {
	t.Helper()
	next := filepath.Join(filepath.Dir(path), ".next")
	if err := os.WriteFile(next, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// trusts waits until a client that trusts the certificate of a file alone is answered with HTTP/2.
func (b https) trusts(t *testing.T, domain string) {
	t.Helper()
	_, port := splitAddr(t, b.tls)
	eventually(t, domain+" has the certificate of its file", func() error {
		cmd := exec.CommandContext(t.Context(), lookPath(t, "curl"), "-sS", "-i", "--max-time", "30", "--http2", "--resolve", domain+":"+port+":127.0.0.1",
			"--cacert", filepath.Join(b.dir, "certs", domain+".pem"), "https://"+domain+":"+port+"/")
		out, err := cmd.CombinedOutput()
		if err == nil && !strings.HasPrefix(string(out), "HTTP/2 200") {
			err = fmt.Errorf("not HTTP/2 with 200")
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// keyOf are the lines of the private key of a file.
func keyOf(text []byte) []string {
	_, key, _ := strings.Cut(string(text), "-----BEGIN PRIVATE KEY-----\n")
	key, _, _ = strings.Cut(key, "-----END")
	return strings.Fields(key)
}

func TestCertificatesComeAndChangeWithoutAReload(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, certs := startCerts(t, h)
		soon := newCertificate(t, "c.abc.com", time.Now().Add(3*24*time.Hour))
		a := b.startAgent(t, "--certs", certs+"/")
		a.ready(t)
		before := b.generation(t)
		b.trusts(t, "a.abc.com")

		renewed := newCertificate(t, "a.abc.com", time.Now().Add(90*24*time.Hour))
		fresh := newCertificate(t, "b.abc.com", time.Now().Add(90*24*time.Hour))
		putFile(t, filepath.Join(certs, "a.abc.com.pem"), renewed)
		putFile(t, filepath.Join(certs, "b.abc.com.pem"), fresh)
		putFile(t, filepath.Join(certs, "c.abc.com.pem"), soon)
		b.trusts(t, "a.abc.com")
		b.trusts(t, "b.abc.com")

		// What cannot be used is named, and what is there stays.
		other := newCertificate(t, "b.abc.com", time.Now().Add(90*24*time.Hour))
		swapped := strings.Split(string(other), "-----BEGIN PRIVATE")[0] + "-----BEGIN PRIVATE" + strings.Split(string(fresh), "-----BEGIN PRIVATE")[1]
		putFile(t, filepath.Join(certs, "b.abc.com.pem"), []byte(swapped))
		putFile(t, filepath.Join(certs, "half.pem"), other[:len(other)-60])
		putFile(t, filepath.Join(certs, "x;disable frontend webin;.pem"), other)
		putFile(t, filepath.Join(certs, "y\ndisable frontend webin\n.pem"), other)
		var status answer
		eventually(t, "the status names what is wrong", func() (err error) {
			status, err = a.get("/status")
			for _, want := range []string{
				"certificate c.abc.com.pem expires in 2 days", "certificate b.abc.com.pem: its private key does not belong to its first certificate",
				"certificate half.pem: it is half written", `x;disable frontend webin;.pem`, `y\\ndisable frontend webin\\n.pem`,
			} {
				if err == nil && !strings.Contains(status.body, want) {
					err = fmt.Errorf("no %q in %s", want, status.body)
				}
			}
			return err
		})
		metrics, err := a.get("/metrics")
		if err != nil || !strings.Contains(metrics.body, `hapsync_certificate_expiry_timestamp_seconds{file="c.abc.com.pem"} `) ||
			!strings.Contains(metrics.body, "hapsync_certificate_problems 4\n") {
			t.Errorf("metrics: %v\n%s", err, metrics.body)
		}
		page, err := a.get("/")
		if err != nil || !strings.Contains(page.body, "c.abc.com.pem expires in 2 days") {
			t.Errorf("the page does not name the certificate that expires: %v", err)
		}
		putFile(t, filepath.Join(certs, "b.abc.com.pem"), fresh)
		b.trusts(t, "b.abc.com")
		b.notReloaded(t, before)
		b.neverTold(t, [][]byte{renewed, fresh, other, soon}, status.body, metrics.body, page.body)
	})
}

// neverTold fails the test if a line of a key is in the log of the agent, in what it answers, or in that of HAProxy.
func (b https) neverTold(t *testing.T, files [][]byte, texts ...string) {
	t.Helper()
	for _, log := range []string{"agent.log", "haproxy.log"} {
		texts = append(texts, read(t, filepath.Join(b.dir, log)))
	}
	for _, file := range files {
		for _, line := range keyOf(file) {
			for _, text := range texts {
				if strings.Contains(text, line) {
					t.Errorf("a key is told in:\n%s", text)
				}
			}
		}
	}
}

func TestCertsShowsAndLoadsCertificates(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, certs := startCerts(t, h)
		before := b.generation(t)
		old := time.Now().Add(-time.Minute) // and so not in the middle of being written
		for _, domain := range []string{"a.abc.com", "b.abc.com"} {
			path := filepath.Join(certs, domain+".pem")
			putFile(t, path, newCertificate(t, domain, time.Now().Add(20*24*time.Hour)))
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
		says(t, b.must(t, "certs", "--certs", certs).stdout, "a.abc.com.pem", "changed", "(19 days)", "a.abc.com")
		says(t, b.must(t, "certs", "--certs", certs).stdout, "b.abc.com.pem", "new")
		loaded := b.must(t, "certs", "--certs", certs, "--load").stdout
		says(t, loaded, "loaded ", "a.abc.com.pem is in HAProxy now")
		says(t, loaded, "loaded ", "b.abc.com.pem is in HAProxy now")
		says(t, b.must(t, "certs", "--certs", certs, "--load").stdout, "b.abc.com.pem", "loaded")
		b.trusts(t, "a.abc.com")
		b.trusts(t, "b.abc.com")
		putFile(t, filepath.Join(certs, "b.abc.com.pem"), newCertificate(t, "b.abc.com", time.Now().Add(40*24*time.Hour)))
		says(t, b.must(t, "certs", "--certs", certs, "--load").stdout, "loaded ", "b.abc.com.pem is in HAProxy now") // as a hook does it, at once
		b.trusts(t, "b.abc.com")
		b.notReloaded(t, before)
		says(t, b.must(t, "check", "--certs", certs).stdout, "ok ", "certificates: 2 in "+certs)

		if err := os.Chmod(filepath.Join(certs, "a.abc.com.pem"), 0o644); err != nil {
			t.Fatal(err)
		}
		says(t, b.must(t, "check", "--certs", certs).stdout, "warn ", "certificates: a.abc.com.pem: every user of this machine can read its key")
		if o := b.hapsync(t, "certs", "--certs", b.dir); o.code != 1 || !strings.Contains(o.stderr, "HAProxy has not loaded the directory "+b.dir) {
			t.Errorf("a directory that HAProxy does not have: %s", o)
		}
	})
}
