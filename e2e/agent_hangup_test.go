package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// hangUp makes the agent read its config file again, and waits until it logs a line with the words.
func (a *agent) hangUp(t testing.TB, words ...string) {
	t.Helper()
	skip := len(a.printed())
	if err := a.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	a.logs(t, skip, words...)
}

// write writes a file of the operator's.
func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAgentTakesNewSettingsOfItsConfigFileAtHUP(t *testing.T) {
	t.Parallel()
	b := startBox(t, latestHAProxy(t))
	only := startHost(t, "a.abc.com")
	const servers = 10
	for i := range servers {
		b.txn(t, addrOf(t, fmt.Sprintf("a.abc.com/server%d", i), only.addr))
	}
	b.must(t, "sync")
	file := b.dir + "/hapsync.yaml"
	write(t, file, "max-removal: 10\nresync: 1h\n")
	a := b.startAgent(t, "--config-file", file)
	a.ready(t)

	b.txn(t, nil, "a.abc.com/server0/", "a.abc.com/server1/")
	a.unready(t, "held", "2 of 10 managed servers", "10%")
	b.has(t, servers)
	write(t, file, "max-removal: 20\nresync: 1h\n")
	a.hangUp(t, "the agent runs with new settings")
	a.ready(t)
	b.has(t, 8)

	write(t, file, "resync: 1h\nmax-removal: most\n")
	a.hangUp(t, "the new settings cannot be used, the old ones stay", file+":2", "max-removal")
	a.ready(t)
	b.txn(t, nil, "a.abc.com/server2/", "a.abc.com/server3/", "a.abc.com/server4/", "a.abc.com/server5/")
	a.unready(t, "held", "20%")
	b.has(t, 8)
	skip := len(a.printed())
	write(t, file, "resync: 1h\nmax-removal: 100\nlog-level: error\n")
	if err := a.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	a.ready(t)
	b.has(t, 4)
	if text := a.printed()[skip:]; strings.Contains(text, "level=INFO") {
		t.Errorf("the log has more than errors:\n%s", text)
	}
	b.serves(t, "a.abc.com", "server9", only)
	b.inLine(t)
}

// has waits until both the file and the process have so many servers of a.abc.com.
func (b *box) has(t *testing.T, servers int) {
	t.Helper()
	eventually(t, fmt.Sprintf("the file and the process have %d servers", servers), func() error {
		reply, err := b.runtime("show servers state a.abc.com_cluster")
		file, live := strings.Count(read(t, b.managedFile), "    server "), strings.Count(reply, " server")
		if err == nil && (file != servers || live != servers) {
			err = fmt.Errorf("the file has %d, the process %d", file, live)
		}
		return err
	})
}

// TestAgentRepairsAtHUPWhatAResyncWouldRepair has someone change the process in a way that shows only where all is read.
func TestAgentRepairsAtHUPWhatAResyncWouldRepair(t *testing.T) {
	t.Parallel()
	b, a := startFollowed(t, latestHAProxy(t), "--resync", "1h")
	b.settles(t)
	before := b.generation(t)
	if reply, err := b.runtime("set server a.abc.com_cluster/server1 addr 127.0.0.9 port 9"); err != nil {
		t.Fatal(reply, err)
	}
	if reply, err := b.runtime("show servers state a.abc.com_cluster"); err != nil || !strings.Contains(reply, " server1 127.0.0.9 ") {
		t.Fatal(reply, err)
	}
	a.hangUp(t, "the settings are what they were, all is read again")
	b.comes(t, "a.abc.com", "server1", b.a1)
	b.settles(t)
	b.notReloaded(t, before)
	a.ready(t)
}

// TestAShadowBecomesAnAgentAtHUP turns shadow off and on again in the config file.
func TestAShadowBecomesAnAgentAtHUP(t *testing.T) {
	t.Parallel()
	b := startABC(t, latestHAProxy(t))
	file := b.dir + "/hapsync.yaml"
	write(t, file, "shadow: true\n")
	a := b.startAgent(t, "--config-file", file)
	a.ready(t)
	moved := startHost(t, "moved")
	b.txn(t, addrOf(t, "a.abc.com/server2", moved.addr))
	b.tells(t, a, 0, "waiting", "a.abc.com/server2 ")

	write(t, file, "shadow: false\n")
	a.hangUp(t, "the agent runs with new settings")
	b.comes(t, "a.abc.com", "server2", moved)
	a.ready(t)
	b.reporting(t, 1)
	b.settles(t)
	if got, err := a.get("/readyz"); err != nil || strings.Contains(got.body, "shadow") {
		t.Errorf("/readyz: %s, %v", got, err)
	}

	write(t, file, "shadow: true\n")
	a.hangUp(t, "the agent runs with new settings")
	a.ready(t)
	b.txn(t, addrOf(t, "a.abc.com/server2", b.a2.addr))
	b.tells(t, a, 0, "waiting", "a.abc.com/server2 ")
	b.serves(t, "a.abc.com", "server2", moved)
	if o := b.must(t, "agents"); !strings.Contains(o.stdout, "0 agents") {
		t.Errorf("the shadow reports: %s", o)
	}
}
