package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestWhatHAProxyQuotesOfItsFilesIsInTheLogAlone has lines with a password that HAProxy refuses, and quotes.
func TestWhatHAProxyQuotesOfItsFilesIsInTheLogAlone(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"a userlist":    "userlist team\n    user joe insecure-password x groups s3cret\n",
		"a sample":      "frontend f\n    http-request set-header Authorization %[s3cret]\n",
		"a stats login": "frontend f\n    stats s3cret joe:s3cret\n",
	} {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				one := startHost(t, "one")
				b.write(t, b.managedFile, b.frontendLines())
				b.register(t, "a.abc.com/server1", one.addr)
				b.startWith(t, b.baseFile, b.managedFile)
				a := b.startAgent(t)
				a.ready(t)
				base := read(t, b.baseFile)
				b.write(t, b.baseFile, base+line)
				b.register(t, "b.abc.com/server1", one.addr)
				a.logs(t, 0, "level=ERROR", "haproxy -c refuses", "s3cret")
				reason := []string{"haproxy -c refuses the configuration", "log has HAProxy's words"}
				if !strings.HasPrefix(line, "userlist") { // HAProxy names no line of it
					reason = append(reason, fmt.Sprintf("%s:%d: unknown", b.baseFile, strings.Count(base+line, "\n")))
				}
				a.unready(t, reason...)
				b.tells(t, a, 1, append(reason, "reason")...)
				eventually(t, "the report says it", func() error {
					got, err := world.etcd.client.Get(t.Context(), b.reports()+"/", clientv3.WithPrefix())
					if err != nil || len(got.Kvs) != 1 {
						return fmt.Errorf("%v, %w", got, err)
					}
					if report := string(got.Kvs[0].Value); strings.Contains(report, "s3cret") {
						t.Fatal(report)
					} else if !strings.Contains(report, "haproxy -c refuses") {
						return fmt.Errorf("it is %s", report)
					}
					return nil
				})
				for _, path := range []string{"/status", "/readyz", "/metrics"} {
					if got, err := a.get(path); err != nil || strings.Contains(got.body, "s3cret") {
						t.Errorf("%s says %s, %v", path, got, err)
					}
				}
				b.write(t, b.baseFile, base)
				a.signal(t, syscall.SIGHUP)
				b.comes(t, "b.abc.com", "", one)
			})
		})
	}
}
