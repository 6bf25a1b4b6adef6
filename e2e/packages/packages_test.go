package packages

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

const domain = "a.abc.com"

// steps are the commands of the install page that lead from the package to a running agent.
func steps(t *testing.T) string {
	t.Helper()
	_, section, _ := strings.Cut(harness.Read(t, "../../docs/install.md"), "Three commands lead to a running agent:\n")
	section, _, _ = strings.Cut(section, "\nThe first one")
	var lines []string
	for line := range strings.Lines(section) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			lines = append(lines, command)
		}
	}
	if len(lines) != 3 {
		t.Fatalf("the install page has not three commands: %q", lines)
	}
	return strings.Join(lines, "")
}

func TestAPackageIsInstalledUpgradedAndRemovedUnderTraffic(t *testing.T) {
	older, newer := packages(t)
	commands := steps(t)
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			m := startMachine(t, suite)
			before := m.files(t)
			m.copies(t, theOnly(t, older, "*_amd64.deb"), "older.deb")
			m.copies(t, theOnly(t, newer, "*_amd64.deb"), "newer.deb")
			install(t, m, commands)
			l := (&harness.Load{
				Client:  func() *harness.Client { return &harness.Client{Addr: net.JoinHostPort(m.ip, "80")} },
				Domains: []string{domain}, Clients: 4, Pause: 20 * time.Millisecond,
			}).Start(t)
			upgrade(t, m)
			l.GoesOn(t)
			m.run(t, "dpkg --remove hapsync")
			if out := m.run(t, "! systemctl is-active hapsync-agent; ! test -e /usr/bin/hapsync; systemctl reload haproxy"); strings.Contains(out, "\nactive") {
				t.Errorf("the agent runs without its package: %s", out)
			}
			l.GoesOn(t)
			l.EndsLosing(t, 0)
			purge(t, m, before)
		})
	}
}

// install goes from nothing to a served domain.
func install(t *testing.T, m *machine, commands string) {
	t.Helper()
	m.run(t, "apt-get install -y -q --no-install-recommends /root/older.deb")
	m.run(t, "! systemctl is-active hapsync-agent && ! systemctl is-enabled hapsync-agent")
	m.run(t, "systemd-analyze verify hapsync-agent.service hapsync-agent@second.service hapsync-sync.service hapsync-sync.timer")
	for i, port := range []string{"8001", "8002"} {
		m.run(t, fmt.Sprintf("mkdir /srv/%s && echo %[1]s >/srv/%[1]s/index.html && systemd-run -q busybox httpd -f -p %[1]s -h /srv/%[1]s", port))
		m.run(t, fmt.Sprintf("etcdctl put /services/web/%s/server%d/ip %s; etcdctl put /services/web/%[1]s/server%[2]d/port %[4]s", domain, i+1, m.ip, port))
	}
	// What hapsync check advises for Debian's file: without it, a reload closes idle connections, and requests on their way to it are lost.
	m.run(t, "sed -i '/^defaults/a option idle-close-on-response' /etc/haproxy/haproxy.cfg")
	m.run(t, commands)
	m.until(t, "hapsync status")
	harness.Eventually(t, domain+" is served", func() error {
		a, err := harness.Get(net.JoinHostPort(m.ip, "80"), domain, "")
		if err == nil && a.Status != 200 {
			err = fmt.Errorf("%s", a)
		}
		return err
	})
	m.run(t, `test "$(stat -c %U "/proc/$(systemctl show -P MainPID hapsync-agent)")" = hapsync`)
	m.run(t, `test "$(stat -c %U:%G /etc/haproxy)" = root:root`)
	if out, err := m.try("runuser -u hapsync -- hapsync check"); err != nil || !strings.Contains(out, "config file: /etc/hapsync/hapsync.yaml") {
		t.Errorf("hapsync check as the agent's user: %v\n%s", err, out)
	}
}

// upgrade installs the newer package, which restarts the agent and keeps the operator's settings.
func upgrade(t *testing.T, m *machine) {
	t.Helper()
	m.run(t, "echo '# mine' >>/etc/hapsync/hapsync.yaml")
	m.run(t, "apt-get install -y -q --no-install-recommends /root/newer.deb")
	m.run(t, "hapsync version | grep -q '^hapsync v0.0.2$' && hapsync version | grep -q '^date  *2' && hapsync version | grep -qE '^commit +[0-9a-f]{40}$' && grep -q '^# mine$' /etc/hapsync/hapsync.yaml")
	m.until(t, "curl -sS http://127.0.0.1:9101/metrics | grep 'hapsync_build_info.*v0.0.2' && hapsync status")
	m.run(t, "etcdctl put /services/web/b.abc.com/server1/ip "+m.ip+"; etcdctl put /services/web/b.abc.com/server1/port 8001")
	harness.Eventually(t, "a new domain is served", func() error {
		a, err := harness.Get(net.JoinHostPort(m.ip, "80"), "b.abc.com", "")
		if err == nil && a.Status != 200 {
			err = fmt.Errorf("%s", a)
		}
		return err
	})
}

// purge deletes what the package made. While HAProxy starts with the managed file, that stays.
func purge(t *testing.T, m *machine, before string) {
	t.Helper()
	if out := m.run(t, "dpkg --purge hapsync 2>&1; systemctl restart haproxy"); !strings.Contains(out, "/var/lib/hapsync stays") {
		t.Errorf("a purge does not say that it keeps the managed file: %s", out)
	}
	m.run(t, "apt-get install -y -q --no-install-recommends /root/newer.deb")
	m.run(t, "rm -r /etc/systemd/system/haproxy.service.d; dpkg --purge hapsync; systemctl restart haproxy")
	after := m.files(t)
	if left := difference(before, after); left != "" {
		t.Errorf("a purge leaves files behind:\n%s", left)
	}
	if gone := difference(after, before); gone != "" {
		t.Logf("files that are no more, as systemd's own work makes and deletes some:\n%s", gone)
	}
}

// difference are the lines of after that before lacks.
func difference(before, after string) string {
	var lines []string
	for line := range strings.Lines(after) {
		if !strings.Contains("\n"+before, "\n"+line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
