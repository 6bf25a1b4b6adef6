package main

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakePassword is "fakepassword", by bcrypt.
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
	got := new(bench).run(t, "status", "--listen", listen)
	wantContains(t, "status", got.stderr, "--web-config-file", "curl")
	if got.code != exitError {
		t.Errorf("status: code %d", got.code)
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
