package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/registry"
)

// fakePassword is the bcrypt hash of "fakepassword".
const fakePassword = "$2a$04$YxusahdM7mIdzr9Li8EETO7XHXNWh/r//8Dwys21BtF0vyXcg5pty"

// writeWebConfig writes a file for --web-config-file with a certificate and a user, and returns a client that trusts the certificate.
func writeWebConfig(t *testing.T) (path string, client *http.Client) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	cert := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"web.yml":  []byte("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\nbasic_auth_users: {ops: " + fakePassword + "}\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "web.yml"), server.Client()
}

func TestTLSAndAPasswordGuardAllThatTheAgentAnswers(t *testing.T) {
	path, client := writeWebConfig(t)
	listen := freeAddr(t)
	startAgent(t, oneHost().program(nil, nil), listen, "--web-config-file", path)
	for _, path := range []string{"/", "/status", "/healthz"} {
		for password, code := range map[string]int{"": 401, "wrong": 401, "fakepassword": 200} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+listen+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if password != "" {
				request.SetBasicAuth("ops", password)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != code {
				t.Errorf("%s with the password %q: %d", path, password, response.StatusCode)
			}
		}
	}
}

// TestStatusAsksAnAgentWithTLSAndAPassword uses an untrusted certificate for example.com.
func TestStatusAsksAnAgentWithTLSAndAPassword(t *testing.T) {
	path, _ := writeWebConfig(t)
	listen := freeAddr(t)
	a := startAgent(t, oneHost().program(nil, nil), listen, "--web-config-file", path)
	a.says(t, "synced")
	trusts, _ := writeWebConfig(t) // the same certificate, for clients
	if err := os.WriteFile(filepath.Join(filepath.Dir(trusts), "web.yml"), []byte("basic_auth_users: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		url  string
		args []string
		code int
		want string
	}{
		"its file, and the password":   {"https://ops:fakepassword@" + listen, []string{"--web-config-file", path}, exitOK, "agent        ready: hapsync "},
		"its readiness":                {"https://ops:fakepassword@" + listen, []string{"--web-config-file", path, "--ready"}, exitOK, ""},
		"a wrong password":             {"https://ops:wrong@" + listen, []string{"--web-config-file", path}, exitError, "HAPSYNC_AGENT_URL=https://USER:PASSWORD@"},
		"its file alone":               {"", []string{"--web-config-file", path, "--listen", listen}, exitError, "HAPSYNC_AGENT_URL=https://USER:PASSWORD@"},
		"neither":                      {"", []string{"--listen", listen}, exitError, "it wants TLS: give its --web-config-file"},
		"a certificate no one trusts":  {"https://ops:fakepassword@" + listen, nil, exitError, "SSL_CERT_FILE"},
		"a file without a certificate": {"https://ops:fakepassword@" + listen, []string{"--web-config-file", trusts}, exitError, "SSL_CERT_FILE"},
		"a file that is not there":     {"", []string{"--web-config-file", "/nowhere/web.yml"}, exitError, "--web-config-file: open /nowhere/web.yml"},
		"another scheme":               {"ftp://ops:fakepassword@" + listen, nil, exitUsage, "must be a URL as https://lb1:9101"},
		"no URL":                       {"https://ops:fakepassword@%zz", nil, exitUsage, "must be a URL as https://lb1:9101"},
	} {
		b := &bench{env: map[string]string{"HAPSYNC_AGENT_URL": tt.url}}
		got := b.run(t, append([]string{"status"}, tt.args...)...)
		if out := got.stdout + got.stderr; got.code != tt.code || !strings.Contains(out, tt.want) || strings.Contains(out, "fakepassword") {
			t.Errorf("%s: code %d, want %d\n%s", name, got.code, tt.code, out)
		}
	}
}

func TestStatusKnowsAnAgentByTheCertificateOfItsFile(t *testing.T) {
	path, _ := writeWebConfig(t)
	withoutUsers := filepath.Join(filepath.Dir(path), "tls.yml")
	if err := os.WriteFile(withoutUsers, []byte("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, listen := range []string{freeAddr(t), "unix:" + filepath.Join(t.TempDir(), "agent.sock")} {
		a := startAgent(t, oneHost().program(nil, nil), listen, "--web-config-file", withoutUsers)
		a.says(t, "synced")
		for _, flag := range []string{"--ready", "--output=text"} {
			if got := new(bench).run(t, "status", "--listen", listen, "--web-config-file", withoutUsers, flag); got.code != exitOK {
				t.Errorf("%s %s: code %d: %s", listen, flag, got.code, got.stderr)
			}
		}
	}
	impostor := httptest.NewUnstartedServer(http.NotFoundHandler())
	impostor.StartTLS()
	defer impostor.Close()
	other := filepath.Join(filepath.Dir(path), "other.pem")
	der := anotherCertificate(t)
	if err := errors.Join(os.WriteFile(other, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(withoutUsers, []byte("tls_server_config: {cert_file: other.pem, key_file: key.pem}\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	got := new(bench).run(t, "status", "--listen", impostor.Listener.Addr().String(), "--web-config-file", withoutUsers)
	if got.code != exitError || !strings.Contains(got.stderr, "certificate") || strings.Contains(got.stderr, "answers") {
		t.Errorf("another certificate: code %d: %s", got.code, got.stderr)
	}
}

// anotherCertificate is a certificate that no server here has.
func anotherCertificate(t *testing.T) []byte {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestReadySaysWhyNot(t *testing.T) {
	b := oneHost()
	b.snapshotErr = registry.ErrUnavailable
	listen := freeAddr(t)
	a := startAgent(t, b.program(nil, nil), listen)
	a.answers(t, "/readyz", 503, "registry: ")
	got := new(bench).run(t, "status", "--ready", "--listen", listen)
	if got.code != exitError || got.stdout != "" {
		t.Errorf("code %d: %s", got.code, got.stdout)
	}
	wantContains(t, "the reason", got.stderr, "the agent on "+listen+" is not ready: ", "; registry: ")
	if strings.Contains(got.stderr, `\n`) {
		t.Errorf("a reason is cut by an escaped line end: %s", got.stderr)
	}
	if got := oneHost().run(t, "status", "--ready", "--listen", freeAddr(t)); got.code != exitError || !strings.Contains(got.stderr, "no agent answers on") {
		t.Errorf("without an agent: code %d: %s", got.code, got.stderr)
	}
}

func TestAnAgentSaysThatAnAddressIsOpenToAll(t *testing.T) {
	const words = "everybody who can reach the address"
	open := startAgent(t, oneHost().program(nil, nil), "0.0.0.0:0")
	open.says(t, words)
	path, _ := writeWebConfig(t)
	for _, a := range []*runningAgent{
		startAgent(t, oneHost().program(nil, nil), "0.0.0.0:0", "--web-config-file", path),
		startAgent(t, oneHost().program(nil, nil), freeAddr(t)),
	} {
		if code := a.ends(); code != exitOK {
			t.Errorf("code %d", code)
		}
		if got := a.String(); got == "" || strings.Contains(got, words) {
			t.Errorf("it says: %s", got)
		}
	}
	bad := writeFile(t, "basic_auth_user: {}\n")
	got := oneHost().run(t, "agent", "--listen", "127.0.0.1:0", "--web-config-file", bad)
	if got.code != exitError {
		t.Errorf("a bad file: code %d", got.code)
	}
	wantContains(t, "a bad file", got.stderr, "--web-config-file "+bad, "basic_auth_user")
}
