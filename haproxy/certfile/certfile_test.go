package certfile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// issue makes a certificate for names, and its key, as the two parts of a file.
func issue(t *testing.T, from, until time.Time, names ...string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: strings.Join(names, "")}, NotBefore: from, NotAfter: until, DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes}))
}

func TestAFileIsTakenOnlyAsAWhole(t *testing.T) {
	t.Parallel()
	now := time.Now()
	cert, key := issue(t, now.Add(-time.Hour), now.Add(time.Hour), "a.abc.com", "*.abc.com")
	chain, otherKey := issue(t, now.Add(-time.Hour), now.Add(time.Hour), "ca")
	expired, expiredKey := issue(t, now.Add(-2*time.Hour), now.Add(-time.Hour), "a.abc.com")
	early, earlyKey := issue(t, now.Add(time.Hour), now.Add(2*time.Hour), "a.abc.com")
	nameless, namelessKey := issue(t, now.Add(-time.Hour), now.Add(time.Hour))
	old := strings.ReplaceAll(chain, "CERTIFICATE", "X509 CERTIFICATE")
	damaged := strings.Replace(cert, "M", "A", 1)
	for text, want := range map[string]string{
		cert + key:                          "",
		cert + chain + key:                  "",
		key + cert + chain:                  "",
		cert + old + key:                    "",
		"a comment\n\n" + cert + "\n" + key: "",
		"":                                  "it has no certificate",
		key:                                 "it has no certificate",
		cert:                                "it has no private key",
		cert + key[:len(key)-30]:            "it is half written",
		key + cert + chain[:len(chain)/2]:   "it is half written",
		cert[:len(cert)/2] + key:            "it is half written",
		cert + otherKey:                     "its private key does not belong to its first certificate",
		chain + cert + key:                  "its private key does not belong to its first certificate",
		cert + key + otherKey:               "it has more than one private key",
		damaged + key:                       "its certificate cannot be read",
		expired + expiredKey:                "it expired on ",
		early + earlyKey:                    "it is not valid before ",
		nameless + namelessKey:              "it is for no name",
		cert + strings.Repeat(chain, 600):   "it has more than 262144 bytes",
		cert + strings.ReplaceAll(key, "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"): "its key has a passphrase",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "a.pem")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files, err := Read(dir, now.Add(time.Minute))
		if err != nil || len(files) != 1 {
			t.Fatalf("%v, %v", files, err)
		}
		f := files[0]
		if want == "" && (f.Problem != "" || f.State != haproxy.CertificateUnknown || strings.Join(f.Names, " ") != "a.abc.com *.abc.com") ||
			want != "" && (!strings.HasPrefix(f.Problem, want) || f.State != haproxy.CertificateBad) {
			t.Errorf("%q and more: %+v, want %q", text[:min(40, len(text))], f, want)
		}
		payload, err := f.Load(now)
		if (err == nil) != (want == "") {
			t.Errorf("%q: loaded with %v", want, err)
		}
		complete := strings.HasPrefix(payload, cert) && strings.Contains(payload, key) &&
			(!strings.Contains(text, "X509") || strings.Contains(payload, chain))
		if want == "" && (!complete || strings.Contains(payload, "\n\n")) {
			t.Errorf("what HAProxy is sent: %q", payload)
		}
		for _, line := range strings.Split(key+otherKey, "\n") {
			if len(line) > 10 && line[0] != '-' && strings.Contains(f.Problem, line) {
				t.Errorf("a key is told: %q", f.Problem)
			}
		}
	}
}

// TestABigCertificateIsGoodButNotForTheSocket reads a certificate that HAProxy can only load from the file.
func TestABigCertificateIsGoodButNotForTheSocket(t *testing.T) {
	t.Parallel()
	now := time.Now()
	cert, key := issue(t, now.Add(-time.Hour), now.Add(time.Hour), "a.abc.com")
	chain, _ := issue(t, now.Add(-time.Hour), now.Add(time.Hour), "ca")
	dir := t.TempDir()
	headed := strings.Replace(chain, "-----\n", "-----\nProc-Type: none\n\n", 1)
	for name, text := range map[string]string{"big.pem": cert + strings.Repeat(chain, 40) + key, "headed.pem": cert + headed + key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := Read(dir, now.Add(time.Minute))
	if err != nil || len(files) != 2 || files[0].Problem+files[1].Problem != "" {
		t.Fatalf("%+v, %v", files, err)
	}
	if _, err := files[0].Load(now); err == nil || !strings.HasPrefix(err.Error(), "it has more than 15000 bytes with its chain") {
		t.Errorf("loaded with %v", err)
	}
	if payload, err := files[1].Load(now); err != nil || strings.Contains(payload, "\n\n") {
		t.Errorf("loaded with %v: %q", err, payload)
	}
}

func TestFilesOfADirectoryAreTakenAsHAProxyTakesThem(t *testing.T) {
	t.Parallel()
	now := time.Now()
	cert, key := issue(t, now.Add(-time.Hour), now.Add(time.Hour), "a.abc.com")
	dir := t.TempDir()
	put := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	put("apart.pem", cert, 0o600)
	put("apart.pem.key", key, 0o600)
	put("x.ocsp", "x", 0o600)
	put(".hidden", "x", 0o600)
	put("open.pem", cert+key, 0o644)
	put("a;b\n.pem", cert+key, 0o600)
	put("*.abc.com.pem", cert+key, 0o600)
	if err := os.Symlink("open.pem", filepath.Join(dir, "link.pem")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := Read(dir, now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, strings.TrimSpace(f.File+" "+string(f.State)+" "+f.Problem+f.Warning))
	}
	want := []string{
		"*.abc.com.pem unknown",
		`"a;b\n.pem" bad the name of the file has bytes that HAProxy's socket cannot be told: rename it, with letters, digits, and . _ + @ * - only`,
		"apart.pem unknown",
		"link.pem unknown every user of this machine can read its key (mode 0644): chmod o= it",
		"open.pem unknown every user of this machine can read its key (mode 0644): chmod o= it",
		"pipe.pem bad it is no regular file",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if files, err = Read(dir, time.Now()); err != nil || files[0].State != haproxy.CertificateWaiting {
		t.Errorf("a file that was just written: %+v, %v", files, err)
	}
}

func TestBothFilesOfACertificateAndItsKeyCount(t *testing.T) {
	t.Parallel()
	now := time.Now()
	cert, key := issue(t, now.Add(-time.Hour), now.Add(time.Hour), "a.abc.com")
	for name, test := range map[string]struct {
		certMode, keyMode os.FileMode
		certAge, keyAge   time.Duration
		state             haproxy.CertificateState
		warning           string
	}{
		"both are old":                      {0o600, 0o600, time.Minute, time.Minute, haproxy.CertificateUnknown, ""},
		"the certificate is fresh":          {0o600, 0o600, Fresh / 2, time.Minute, haproxy.CertificateWaiting, ""},
		"the key is fresh":                  {0o600, 0o600, time.Minute, Fresh / 2, haproxy.CertificateWaiting, ""},
		"the key is of another time":        {0o600, 0o600, Fresh / 2, -time.Hour, haproxy.CertificateWaiting, ""},
		"every user reads the certificate":  {0o644, 0o600, time.Minute, time.Minute, haproxy.CertificateUnknown, ""},
		"every user reads the key":          {0o600, 0o644, time.Minute, time.Minute, haproxy.CertificateUnknown, "every user of this machine can read its key (mode 0644): chmod o= it"},
		"every user writes the certificate": {0o666, 0o600, time.Minute, time.Minute, haproxy.CertificateUnknown, "others than its owner can write it (mode 0666): chmod go-w it"},
		"the group writes the key":          {0o644, 0o660, time.Minute, time.Minute, haproxy.CertificateUnknown, "others than its owner can write it (mode 0660): chmod go-w it"},
	} {
		dir := t.TempDir()
		put := func(name, text string, mode os.FileMode, age time.Duration) {
			path, at := filepath.Join(dir, name), now.Add(-age)
			if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode), os.Chtimes(path, at, at)); err != nil {
				t.Fatal(err)
			}
		}
		put("a.pem", cert, test.certMode, test.certAge)
		put("a.pem.key", key, test.keyMode, test.keyAge)
		files, err := Read(dir, now)
		if err != nil || len(files) != 1 || files[0].State != test.state || files[0].Warning != test.warning || files[0].Problem != "" {
			t.Errorf("%s: %+v, %v", name, files, err)
		}
	}
}

func TestDirectoriesThatASocketCannotBeToldAreRefused(t *testing.T) {
	t.Parallel()
	for dir, good := range map[string]bool{
		"/etc/haproxy/certs": true, "/etc/haproxy/certs/": true, "certs": false, "": false, "/etc/certs;show info": false,
		"/etc/a b": false, "/etc/a\nb": false, "/etc/../certs": false, `/etc/a\b`: false, "/etc/<<": false,
		"/" + strings.Repeat("a", 1000): true, "/" + strings.Repeat("a", 1001): false, "/": false,
	} {
		if err := CheckDir(dir); (err == nil) != good {
			t.Errorf("%q: %v", dir, err)
		}
	}
}

func TestANameThatIsTooLongIsNotTold(t *testing.T) {
	t.Parallel()
	for length, good := range map[int]bool{0: false, 1: true, 255: true, 256: false} {
		if got := (bundle{leaf: &x509.Certificate{DNSNames: []string{strings.Repeat("a", length)}}}).names(); (len(got) == 1) != good {
			t.Errorf("%d bytes: %q", length, got)
		}
	}
}
