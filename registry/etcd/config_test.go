package etcd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hapsync/hapsync/registry"
)

func TestAnEmptyConfigHasTheDocumentedDefaults(t *testing.T) {
	t.Parallel()
	have, err := Config{}.checked()
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Endpoints: []string{"http://127.0.0.1:2379"}, Prefix: "/services/web",
		DialTimeout: 5 * time.Second, RequestTimeout: 10 * time.Second, PageSize: 2000,
		Settle: 100 * time.Millisecond, MaxKeys: 50_000,
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
}

func TestAConfigIsBroughtIntoOneForm(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(" s:cret \r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		have Config
		want func(c Config) bool
	}{
		"a slash at the end of the prefix is dropped": {
			Config{Prefix: "/a/b//"}, func(c Config) bool { return c.Prefix == "/a/b" },
		},
		"an endpoint without a scheme is http": {
			Config{Endpoints: []string{" a:1 ", "b:2"}}, func(c Config) bool { return strings.Join(c.Endpoints, " ") == "http://a:1 http://b:2" },
		},
		"an endpoint without a scheme is https where certificates are given": {
			Config{Endpoints: []string{"[::1]:1"}, CACert: "ca"}, func(c Config) bool { return c.Endpoints[0] == "https://[::1]:1" },
		},
		"a slash at the end of an endpoint is dropped": {
			Config{Endpoints: []string{"HTTPS://a:1/"}}, func(c Config) bool { return c.Endpoints[0] == "https://a:1" },
		},
		"a user has the password after the first colon": {
			Config{User: "u:p:q"}, func(c Config) bool { return c.User == "u" && c.Password == "p:q" },
		},
		"a user with a password has it all in the name": {
			Config{User: "u:p", Password: "q"}, func(c Config) bool { return c.User == "u:p" && c.Password == "q" },
		},
		"a password file has a password and a line end": {
			Config{User: "u", PasswordFile: secret}, func(c Config) bool { return c.User == "u" && c.Password == " s:cret " },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c, err := test.have.checked(); err != nil || !test.want(c) {
				t.Errorf("have %+v, %v", c, err)
			}
		})
	}
}

// refused is a bad Config and its error; "..." separates the parts of the error.
type refused struct {
	conf Config
	want string
}

func wantRefused(t *testing.T, tests map[string]refused) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, err := New(test.conf)
			if err == nil {
				_ = client.Close()
				t.Fatal("it is taken")
			}
			wantError(t, err, test.want)
			if errors.Is(err, registry.ErrUnavailable) {
				t.Errorf("it is told from an etcd that is away by nothing: %v", err)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("it tells the password: %v", err)
			}
		})
	}
}

func TestABadPrefixEndpointOrNumberIsRefusedWithTheWayOut(t *testing.T) {
	t.Parallel()
	wantRefused(t, map[string]refused{
		"prefix without a slash":     {Config{Prefix: "services/web"}, `prefix "services/web" does not start with a slash...give one such as /services/web`},
		"prefix of slashes":          {Config{Prefix: "//"}, `prefix "/" is all of etcd: give one such as /services/web`},
		"endpoint of another scheme": {Config{Endpoints: []string{"ftp://a:1"}}, `endpoint "ftp://a:1" is neither http nor https`},
		"endpoint without a port":    {Config{Endpoints: []string{"http://a"}}, `endpoint "http://a" is not a host and a port: give one such as http://127.0.0.1:2379`},
		"endpoint without a host":    {Config{Endpoints: []string{":2379"}}, `endpoint ":2379" is not a host and a port`},
		"endpoint of a bad port":     {Config{Endpoints: []string{"http://a:99999"}}, `endpoint "http://a:99999": port "99999" is not a number of 1 to 65535`},
		"endpoint of port 0":         {Config{Endpoints: []string{"a:0"}}, `endpoint "a:0": port "0" is not a number of 1 to 65535`},
		"endpoint with a path":       {Config{Endpoints: []string{"http://a:1/b"}}, `endpoint "http://a:1/b" is not`},
		"endpoint that is no URL":    {Config{Endpoints: []string{"http://a:1\x01"}}, `endpoint "http://a:1\x01" is not a host and a port`},
		"endpoint that is empty":     {Config{Endpoints: []string{""}}, `endpoint "" is not a host and a port`},
		"endpoint with a user":       {Config{Endpoints: []string{"http://u:secret@a:1"}}, `endpoint http://...@a:1 has a user in it: give the user apart`},
		"endpoints of two schemes":   {Config{Endpoints: []string{"http://a:1", "https://b:1"}}, `endpoints http://a:1 and https://b:1 mix http and https`},
		"certificates without TLS":   {Config{Endpoints: []string{"http://a:1"}, CACert: "ca"}, `endpoint "http://a:1" is without TLS...write https://a:1`},
		"negative dial timeout":      {Config{DialTimeout: -1}, `dial timeout -1ns is negative`},
		"negative request timeout":   {Config{RequestTimeout: -1}, `request timeout -1ns is negative`},
		"negative page size":         {Config{PageSize: -1}, `page size -1 is negative`},
		"negative number of keys":    {Config{MaxKeys: -1}, `most keys -1 of a domain is negative`},
		"negative settle time":       {Config{Settle: -1}, `settle time -1ns is negative`},
	})
}

func TestBadCertificateFilesAreRefusedWithTheWayOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := writeCertificates(dir); err != nil {
		t.Fatal(err)
	}
	path := filesIn(t, dir)
	wantRefused(t, map[string]refused{
		"certificate without a key":  {Config{Cert: path("client.crt")}, `client certificate ...client.crt is given without its key`},
		"key without a certificate":  {Config{Key: path("client.key")}, `client key ...client.key is given without its certificate`},
		"certificate of another key": {Config{Cert: path("client.crt"), Key: path("server.key")}, `client.crt and its key ...server.key: tls: private key does not match`},
		"certificate not there":      {Config{Cert: path("x.crt"), Key: path("x.key")}, `read the client certificate ...x.crt...no such file`},
		"CA not there":               {Config{CACert: path("x.crt")}, `read the CA certificate: open ...x.crt: no such file`},
		"CA without a certificate":   {Config{CACert: path("none.crt")}, `none.crt has no certificate in PEM format`},
	})
}

func TestABadUserOrPasswordIsRefusedWithTheWayOut(t *testing.T) {
	t.Parallel()
	path := filesIn(t, t.TempDir())
	wantRefused(t, map[string]refused{
		"user without a password":     {Config{User: "u"}, `user "u" has no password: give a password file, or the user as name:password`},
		"user with an empty password": {Config{User: "u:"}, `user "u" has no password`},
		"password without a user":     {Config{Password: "secret"}, `a password is given without a user`},
		"password file without user":  {Config{PasswordFile: path("lines")}, `a password is given without a user`},
		"two passwords":               {Config{User: "u", Password: "secret", PasswordFile: path("lines")}, `give only one of them`},
		"password file not there":     {Config{User: "u", PasswordFile: path("x")}, `read the password file: open ...x: no such file`},
		"password file empty":         {Config{User: "u", PasswordFile: path("empty")}, `empty is not one line with the password`},
		"password file of two lines":  {Config{User: "u", PasswordFile: path("lines")}, `lines is not one line with the password`},
	})
}

// filesIn writes bad files and returns the path of a name.
func filesIn(t *testing.T, dir string) func(name string) string {
	t.Helper()
	path := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"empty": "\n", "lines": "a\nb\n", "none.crt": "no certificate"} {
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// wantError checks that the error has the parts of want, which "..." separates, in order.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", want)
	}
	rest := err.Error()
	if strings.Contains(rest, "\n") {
		t.Errorf("more than a line: %q", rest)
	}
	for part := range strings.SplitSeq(want, "...") {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			t.Fatalf("have %v\nwant %s", err, want)
		}
		rest = after
	}
}
