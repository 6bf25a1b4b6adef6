package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoChildGetsAPassword starts all that hapsync starts: the validator, the reload command, a check and a wrapped command.
func TestNoChildGetsAPassword(t *testing.T) {
	t.Parallel()
	b := startBox(t, firstHAProxy(t))
	one := startHost(t, "one")
	b.env = append(b.env, "HAPSYNC_USER=root:s3cret-1", "HAPSYNC_PASSWORD=s3cret-2", "ETCDCTL_USER=root:s3cret-3", "ETCDCTL_PASSWORD=s3cret-4", "SHOWN=yes")
	b.wrap(t, "env > "+b.dir+"/env.validate")
	b.register(t, "a.abc.com/server1", one.addr)
	b.must(t, "sync")
	check := filepath.Join(b.dir, "check")
	if err := os.WriteFile(check, fmt.Appendf(nil, "#!/bin/sh\nenv > %s/env.check\n", b.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	b.startRegister(t, "a.abc.com/server2", one.addr, "--check", "exec:"+check, "--interval", "50ms", "--",
		"/bin/sh", "-c", "env > "+b.dir+"/env.command; exec sleep 60")
	for _, name := range []string{"env.validate", "env.check", "env.command"} {
		eventually(t, name+" is written", func() error {
			text, err := os.ReadFile(filepath.Join(b.dir, name))
			if err == nil && !strings.Contains(string(text), "SHOWN=yes") {
				err = errors.New("it is not whole")
			}
			if err == nil && strings.Contains(string(text), "s3cret") {
				t.Fatalf("%s has a password:\n%s", name, text)
			}
			return err
		})
	}
}

func TestTheStatisticsPageAsksForThePasswordOfTheBaseFile(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		_, after, _ := strings.Cut(read(t, b.baseFile), "stats auth hapsync:")
		password, _, _ := strings.Cut(after, "\n")
		for path, without := range map[string]int{"/": http.StatusOK, "/stats": http.StatusUnauthorized, "/stats;csv": http.StatusUnauthorized} {
			for user, want := range map[string]int{"": without, "hapsync": http.StatusOK} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+b.stats+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				if user != "" {
					req.SetBasicAuth(user, password)
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if resp.Body.Close(); err != nil || resp.StatusCode != want || want != http.StatusOK && strings.Contains(string(body), "webin") {
					t.Errorf("%s as %q: %s, want %d, %v\n%s", path, user, resp.Status, want, err, body)
				}
			}
		}
	})
}
