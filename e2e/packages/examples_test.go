package packages

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

const playbook = `cd /root/examples/ansible && ansible-playbook -i localhost, -c local site.yml -e hapsync_package=/root/hapsync.deb -e '{"hapsync_settings": %s}'`

// startWithExamples is a machine that has the examples, the package, and a page of HAProxy's own that says whether HAProxy runs.
func startWithExamples(t *testing.T, suite string) *machine {
	t.Helper()
	_, newer := packages(t)
	m := startMachine(t, suite)
	m.copies(t, "../../docs/examples", "examples")
	m.copies(t, theOnly(t, newer, "*_amd64.deb"), "hapsync.deb")
	m.run(t, `printf 'frontend alive\n  bind 127.0.0.1:8404\n  http-request return status 200\n' >>/etc/haproxy/haproxy.cfg`)
	m.run(t, "sed -i '/^defaults/a option idle-close-on-response' /etc/haproxy/haproxy.cfg")
	return m
}

// answers holds that a server gets a request for the domain, by what it says.
func (m *machine) answers(t *testing.T, server, body string) {
	t.Helper()
	harness.Eventually(t, server+" answers", func() error {
		a, err := harness.Get(net.JoinHostPort(m.ip, "80"), domain, server)
		if err == nil && (a.Status != 200 || strings.TrimSpace(a.Body) != body) {
			err = fmt.Errorf("%s", a)
		}
		return err
	})
}

func TestTheExamplesOfAnsibleAndSystemdWork(t *testing.T) {
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			m := startWithExamples(t, suite)
			runsTheRole(t, m)
			runsTheUnits(t, m)
			movesTheAddress(t, m)
		})
	}
}

// runsTheRole holds that the role leads to a running agent, that a second run changes nothing, and that a changed setting reaches the
// agent without a restart of HAProxy.
func runsTheRole(t *testing.T, m *machine) {
	t.Helper()
	m.run(t, fmt.Sprintf(playbook, `{"endpoints": ["http://127.0.0.1:2379"]}`))
	m.run(t, "hapsync status --ready")
	if out := m.run(t, fmt.Sprintf(playbook, `{"endpoints": ["http://127.0.0.1:2379"]}`)); !strings.Contains(out, "changed=0 ") {
		t.Errorf("a second run changes something:\n%s", out)
	}
	process := m.run(t, "systemctl show -P MainPID haproxy")
	m.run(t, fmt.Sprintf(playbook, `{"endpoints": ["http://127.0.0.1:2379"], "drain-timeout": "3s"}`))
	m.run(t, "journalctl -u hapsync-agent | grep -i 'settings'")
	if now := m.run(t, "systemctl show -P MainPID haproxy"); now != process {
		t.Errorf("another process of HAProxy after a change of the agent's settings: %s, was %s", now, process)
	}
}

// runsTheUnits holds that the services of both units get requests, and that one of them stops without a failed request.
func runsTheUnits(t *testing.T, m *machine) {
	t.Helper()
	m.run(t, `mkdir /srv/program /srv/httpd && echo program >/srv/program/index.html && echo httpd >/srv/httpd/index.html
		printf '#!/bin/sh\nexec busybox httpd -f -p 10000 -h /srv/program\n' >/usr/local/bin/server && chmod 755 /usr/local/bin/server
		printf '[Service]\nExecStart=/usr/bin/busybox httpd -f -p 8080 -h /srv/httpd\n[Install]\nWantedBy=multi-user.target\n' >/etc/systemd/system/httpd.service
		install -m 644 /root/examples/systemd/*.service /etc/systemd/system/`)
	m.run(t, "cd /etc/systemd/system && systemd-analyze verify web.service hapsync-register@httpd.service")
	m.run(t, fmt.Sprintf(`mkdir /etc/systemd/system/web.service.d
		printf '[Service]\nEnvironment=HAPSYNC_ENDPOINTS=http://127.0.0.1:2379 HAPSYNC_IP=%[1]s HAPSYNC_HOST=web\n' >/etc/systemd/system/web.service.d/here.conf
		printf 'HAPSYNC_ENDPOINTS=http://127.0.0.1:2379\nHAPSYNC_IP=%[1]s\nHAPSYNC_HOST=httpd\nHAPSYNC_DOMAIN=%s\nHAPSYNC_PORT=8080\nHAPSYNC_CHECK=tcp://127.0.0.1:8080\n' >/etc/hapsync/httpd.env`, m.ip, domain))
	m.run(t, "systemctl daemon-reload && systemctl enable -q web httpd hapsync-register@httpd && systemctl start web httpd")
	m.answers(t, "web", "program")
	m.answers(t, "httpd", "httpd")
	l := (&harness.Load{
		Client:  func() *harness.Client { return &harness.Client{Addr: net.JoinHostPort(m.ip, "80")} },
		Domains: []string{domain}, Clients: 4, Pause: 20 * time.Millisecond,
	}).Start(t)
	l.GoesOn(t)
	for _, service := range []string{"httpd", "web"} {
		m.run(t, "systemctl stop "+service)
		l.GoesOn(t)
		m.run(t, "systemctl start "+service)
		m.answers(t, service, map[string]string{"httpd": "httpd", "web": "program"}[service])
	}
	l.EndsLosing(t, 0)
}

// movesTheAddress holds that keepalived takes its example as it is, and that the address is there while HAProxy answers.
func movesTheAddress(t *testing.T, m *machine) {
	t.Helper()
	m.run(t, "install -m 644 /root/examples/keepalived/keepalived.conf /etc/keepalived/ && systemctl restart keepalived")
	const has, hasNot = "busybox ip addr show eth0 | grep -q 10.0.0.200/24", "! busybox ip addr show eth0 | grep -q 10.0.0.200/24"
	m.until(t, has)
	m.run(t, "systemctl stop haproxy")
	m.until(t, hasNot)
	m.run(t, "systemctl start haproxy")
	m.until(t, has)
	if said := m.run(t, "journalctl --no-pager -u keepalived"); strings.Contains(said, "Unknown keyword") || strings.Contains(said, "SECURITY VIOLATION") || strings.Contains(said, "WARNING") {
		t.Errorf("keepalived complains:\n%s", said)
	}
}

func TestTheExampleOfNomadIsAJob(t *testing.T) {
	packages(t)
	nomad := exec.CommandContext(t.Context(), "go", "run", ".", "../../docs/examples/nomad/web.nomad.hcl")
	nomad.Dir = "../../.ci/nomad"
	if out, err := nomad.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
