// Package packages installs, upgrades and removes the packages in containers that run a real systemd. `make package-test` runs it;
// without the variable HAPSYNC_PACKAGES, which names the directories of the older and the newer packages, it does nothing.
package packages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// packages are the directories of the older and the newer packages.
func packages(t *testing.T) (older, newer string) {
	t.Helper()
	older, newer, ok := strings.Cut(os.Getenv("HAPSYNC_PACKAGES"), ":")
	if !ok {
		t.Skip("make package-test runs this")
	}
	return older, newer
}

// theOnly returns the one file that matches.
func theOnly(t *testing.T, pattern ...string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q: %v %v", pattern, found, err)
	}
	return found[0]
}

// A machine is a container with Debian, systemd, HAProxy and etcd, all of which run.
type machine struct{ id, ip string }

func startMachine(t *testing.T, suite string) *machine {
	t.Helper()
	builder := exec.CommandContext(t.Context(), "../../.ci/debian-image", suite)
	builder.Stderr = os.Stderr
	image, err := builder.Output()
	if err != nil {
		t.Fatalf("no image of Debian %s: %v", suite, err)
	}
	// The units' own sandboxes need SYS_ADMIN, keepalived NET_ADMIN.
	m := &machine{id: harness.Docker(t, "run", "-d", "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
		"--cgroupns", "host", "--tmpfs", "/run", "--tmpfs", "/run/lock", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw", strings.TrimSpace(string(image)), "/sbin/init")}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("docker", "exec", m.id, "journalctl", "--no-pager", "-n", "100", "-u", "hapsync-agent").CombinedOutput()
			t.Logf("the journal ends with:\n%s", out)
		}
		_ = exec.Command("docker", "rm", "-f", "-v", m.id).Run()
	})
	m.ip = harness.Docker(t, "inspect", "-f", "{{.NetworkSettings.IPAddress}}", m.id)
	m.until(t, "systemctl is-system-running | grep -x -e running -e degraded") // some units of a machine do not run in a container
	m.until(t, "systemctl is-active haproxy etcd && ETCDCTL_API=3 etcdctl endpoint health")
	return m
}

// try runs a script as root.
func (m *machine) try(script string) (string, error) {
	out, err := exec.Command("docker", "exec", "-e", "ETCDCTL_API=3", m.id, "bash", "-ec", "sudo() { \"$@\"; }\n"+script).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	return string(out), err
}

// run runs a script as root, which must succeed.
func (m *machine) run(t *testing.T, script string) string {
	t.Helper()
	out, err := m.try(script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// until runs a script until it succeeds.
func (m *machine) until(t *testing.T, script string) {
	t.Helper()
	harness.Eventually(t, script, func() error {
		_, err := m.try(script)
		return err
	})
}

// copies puts a file into the machine, with the name.
func (m *machine) copies(t *testing.T, file, name string) {
	t.Helper()
	harness.Docker(t, "cp", file, m.id+":/root/"+name)
}

// files are all that are there, without those of dpkg, apt and logs, and without what each boot and each start writes.
func (m *machine) files(t *testing.T) string {
	t.Helper()
	return m.run(t, `find /etc /usr /var /opt -xdev ! -path '/var/lib/dpkg/*' ! -path '/var/log/*' ! -path '/var/cache/*' ! -path '/var/lib/apt/*' \
		! -path '/var/lib/etcd/*' ! -path '/var/lib/systemd/*' ! -path '/var/tmp/*' ! -name 'passwd*' ! -name 'group*' ! -name '*shadow*' ! -name 'sub?id*' ! -name '.pwd.lock' | sort`)
}
