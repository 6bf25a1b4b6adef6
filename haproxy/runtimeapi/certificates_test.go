package runtimeapi

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNoErrorAboutACertificateHasItsKey(t *testing.T) {
	t.Parallel()
	const silence = "until the time is over"
	const payload = "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n"
	for name, answer := range map[string]string{"no answer": "", "silence": silence, "cut off": "Transaction", "denied": "Permission denied\n", "refused": "Can't load the payload\n\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 4096))
					if answer == silence {
						t.Cleanup(func() { _ = conn.Close() })
						continue
					}
					_, _ = conn.Write([]byte(answer))
					_ = conn.Close()
				}
			}()
			for _, err := range []error{
				Client{Socket: socket, timeout: 100 * time.Millisecond}.SetCertificate(t.Context(), "/c.pem", payload),
				Client{Socket: socket, timeout: 100 * time.Millisecond}.AddCertificate(t.Context(), "/c", "/c/c.pem", payload),
			} {
				if err == nil || strings.Contains(err.Error(), "SECRET") {
					t.Errorf("%v", err)
				}
			}
		})
	}
	const want = "a key is sent to a socket of this machine's file system only"
	if err := (Client{Socket: "127.0.0.1:1"}).SetCertificate(t.Context(), "/c.pem", payload); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a key on TCP: %v", err)
	}
}
