package netns

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// A network is a bridge in a namespace of its own, and the machines on it. The namespaces have no names: each ends with
// its last process and its thread, so that a test leaves none behind, however it ends.
type network struct{ bridge *machine }

// A machine is a thread that lives in a network namespace of its own. What is started by it lives there, too.
type machine struct {
	name, ip string
	thread   harness.Thread
	path     string // of its namespace, for as long as the tests run
	ns       int    // the same, open
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{newMachine(t, "bridge", "")}
	n.bridge.run(t, "ip", "link", "add", "br0", "type", "bridge")
	n.bridge.run(t, "ip", "link", "set", "br0", "up")
	return n
}

// machine puts a machine on the network; the last number of its address is its own.
func (n *network) machine(t *testing.T, name string, number int) *machine {
	t.Helper()
	m := newMachine(t, name, fmt.Sprintf("10.0.0.%d", number))
	n.bridge.run(t, "ip", "link", "add", name, "master", "br0", "up", "type", "veth", "peer", "name", "eth0", "netns", m.path)
	m.run(t, "ip", "address", "add", m.ip+"/24", "dev", "eth0")
	m.run(t, "ip", "link", "set", "eth0", "up")
	m.run(t, "ip", "link", "set", "lo", "up")
	err := m.thread.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0) })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newMachine(t *testing.T, name, ip string) *machine {
	t.Helper()
	m := &machine{name: name, ip: ip, thread: harness.NewThread()}
	t.Cleanup(func() { close(m.thread) })
	err := m.thread.Do(func() error {
		m.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		return unix.Unshare(unix.CLONE_NEWNET)
	})
	if err == nil {
		m.ns, err = unix.Open(m.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		t.Fatalf("a network namespace: %v", err)
	}
	t.Cleanup(func() { _ = unix.Close(m.ns) })
	return m
}

// start starts a server on the machine.
func (m *machine) start(t *testing.T, env []string, name string, args ...string) *harness.Process {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(harness.CleanEnv(), env...)
	return m.thread.StartProcess(t, filepath.Join(t.TempDir(), m.name+".log"), cmd)
}

// command is one that will run on the machine when try starts it, in a clean environment.
func (m *machine) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(harness.CleanEnv(), "ETCDCTL_API=3")
	return cmd
}

// output runs a command on the machine to its end and returns all that it printed.
func (m *machine) output(cmd *exec.Cmd) (string, error) {
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := m.thread.Do(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		err = fmt.Errorf("%s: %s: %w\n%s", m.name, cmd, err, out.String())
	}
	return out.String(), err
}

// run runs a command on the machine, which must succeed.
func (m *machine) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := m.output(m.command(t.Context(), name, args...))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// dial connects from the machine. The connection stays in its namespace; the thread that made it ends.
func (m *machine) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = unix.Setns(m.ns, unix.CLONE_NEWNET); err == nil {
			conn, err = (&net.Dialer{Timeout: harness.Patience}).DialContext(ctx, network, addr)
		}
	}()
	<-done
	return conn, err
}

func (m *machine) dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	return m.dial(ctx, "tcp", addr)
}
