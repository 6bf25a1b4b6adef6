package netns

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// section returns the text of a page below a heading, up to the next one.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(harness.Read(t, filepath.Join("../../docs", page)), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", page, heading)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	return rest
}

// commands are the indented lines of a text, without those that a test machine cannot follow: what it returns is a script.
func commands(text string, without ...string) string {
	var lines []string
	for line := range strings.Lines(text) {
		command, ok := strings.CutPrefix(line, "    ")
		for _, w := range without {
			ok = ok && !strings.Contains(command, w)
		}
		if ok {
			lines = append(lines, command)
		}
	}
	return strings.Join(lines, "")
}

// block is the block of a text in a language; a page shows a file so.
func block(t *testing.T, text, language string) string {
	t.Helper()
	found := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no block of %s in:\n%s", language, text)
	}
	return found[1]
}

// onFreshMachine runs a script as root, with Debian's HAProxy, in namespaces of its own, and returns what it printed.
func onFreshMachine(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"bin", "upper"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(programs.hapsync, filepath.Join(dir, "bin/hapsync")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "script")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh, err := filepath.Abs("testdata/fresh.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
		"timeout", "60", "sh", fresh, path, dir, programs.etcd)
	cmd.Env = harness.CleanEnv()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return string(out)
}

func TestEveryCommandOfTheInstallPageWorks(t *testing.T) {
	needsRoot(t)
	haproxy := section(t, "install.md", "HAProxy")
	agent := section(t, "install.md", "The agent")
	ownFiles, _, _ := strings.Cut(haproxy, "or keep yours")
	_, then, _ := strings.Cut(haproxy, "\nThen:\n")
	before, after, ok := strings.Cut(agent, "    cd /\n")
	if !ok {
		t.Fatal("the page does not check what the agent's user may do")
	}
	out := onFreshMachine(t, strings.Join([]string{
		commands(section(t, "install.md", "hapsync"), "git clone", "cd hapsync", "make build"),
		"cat >/etc/haproxy/haproxy.cfg </dev/null", // Debian's
		commands(ownFiles),
		"cat >/etc/default/haproxy <<'END'\n" + block(t, haproxy, "sh") + "END",
		"etcdctl put /services/web/a.abc.com/server1/ip 10.0.0.1",
		"etcdctl put /services/web/a.abc.com/server1/port 10000",
		commands(then, "sudo haproxy -W"),
		commands(before),
		commands("    cd /\n" + after),
		"ls -l /var/lib/hapsync",
		"for at in /var/lib/hapsync /var/lib/hapsync/* /var/lib/haproxy; do ! runuser -u haproxy -- test -w $at || { echo \"HAProxy's workers may write $at\"; exit 1; }; done",
		"etcdctl put /services/web/b.abc.com/server1/ip 10.0.0.1",
		"etcdctl put /services/web/b.abc.com/server1/port 10000",
		"until_true grep 'server server1 10.0.0.1:10000 cookie server1 check' /var/lib/hapsync/hapsync.cfg",
		"until_true grep is_b.abc.com /var/lib/hapsync/hapsync.cfg",
		"stat -c %U:%G /etc/haproxy | grep root:root",
		commands(section(t, "monitoring.md", "The agent's port")),
		"hapsync agents",
		"hapsync plan",
	}, "\n"))
	for _, want := range []string{"created  /etc/haproxy/hapsync.cfg", "applied: transaction=3 reload=1", "\nready\n", "hapsync_ready 1\n", "\nin line: "} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing prints %q:\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		found := strings.HasPrefix(line, "fail ") || strings.HasPrefix(line, "warn ")
		// The capabilities of Debian's HAProxy are what they are, and the page says that the rule of the moved file is named.
		if found && !strings.HasPrefix(line, "warn capabilities") && !strings.HasPrefix(line, "warn map file: ") {
			t.Errorf("hapsync check finds something: %s", line)
		}
	}
}

// classic is the file of confd's classic template, with an operator's lines.
const classic = `global
    maxconn 1000
    # my stats
    stats socket /run/haproxy/admin.sock mode 660 level admin
    setenv HAPSYNC_MASTER_SOCKET /run/haproxy/haproxy-master.sock

defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s

frontend webin
    bind *:80
    acl is_a.abc.com hdr(host) -i a.abc.com
    use_backend a.abc.com_cluster if is_a.abc.com

backend a.abc.com_cluster
    balance roundrobin
    cookie SERVERID insert indirect nocache
    server server1 10.0.0.1:10000 cookie server1 check
`

func TestEveryCommandOfTheMigrationPageWorks(t *testing.T) {
	needsRoot(t)
	_, steps, _ := strings.Cut(harness.Read(t, "../../docs/migrate-from-confd.md"), "\n## Switch\n") // a shadow does not end by itself
	steps, _, _ = strings.Cut(steps, "\n## Switch back\n")
	first, split, ok := strings.Cut(steps, "5. When you like")
	if !ok {
		t.Fatal("the page has no fifth step")
	}
	defaults := "CONFIG=/etc/haproxy/haproxy.cfg\nEXTRAOPTS='-S /run/haproxy/haproxy-master.sock%s'\n"
	out := onFreshMachine(t, strings.Join([]string{
		"install -m 755 bin/hapsync /usr/bin/hapsync",
		"cat >/etc/haproxy/haproxy.cfg <<'END'\n" + classic + "END",
		"printf \"" + strings.ReplaceAll(defaults, "%s", "") + "\" >/etc/default/haproxy",
		"HAPSYNC_FLAGS='--managed-file /etc/haproxy/haproxy.cfg'",
		"etcdctl put /services/web/a.abc.com/server1/ip 10.0.0.1",
		"etcdctl put /services/web/a.abc.com/server1/port 10000",
		"systemctl restart haproxy",
		commands(strings.ReplaceAll(first, "       sudo", "    sudo")),
		"echo split",
		commands(strings.ReplaceAll(split, "       ", "    ")),
		"printf \"" + strings.ReplaceAll(defaults, "%s", " -f /etc/haproxy/hapsync.cfg") + "\" >/etc/default/haproxy",
		"HAPSYNC_FLAGS=",
		"systemctl restart haproxy",
		"hapsync plan",
	}, "\n"))
	whole, afterSplit, _ := strings.Cut(out, "\nsplit\n")
	if strings.Count(whole, "\nin line: ") != 3 || strings.Count(afterSplit, "\nin line: ") != 1 {
		t.Errorf("adopt, the plan and the sync of the whole file, and the plan of the two, are not in line:\n%s", out)
	}
}
