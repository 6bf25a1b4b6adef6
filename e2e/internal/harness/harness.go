// Package harness is what the tests of e2e, e2e/compose and e2e/netns share: processes that end with the tests, clients that
// lose no request unseen, loads of them, web servers, and the HAProxy binaries to test with.
package harness

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Within is how long a thing may take that takes milliseconds, or a few seconds, on an idle machine.
const Within = time.Minute

// NoCertificates is a line of HAProxy's global section that spares it to read the system's certificate authorities, for requests
// of its own that no test makes: more than half of what a start, a reload or a "haproxy -c" takes (seen on 2.6 to 3.4).
const NoCertificates = "    httpclient.ssl.verify none\n"

// Eventually polls until try succeeds, and returns how long that took; its last error is the test's when it does not in time.
// The longer it takes, the rarer it polls: many tests wait at the same time, and what they ask costs time that the machine
// needs for the answer.
func Eventually(t testing.TB, what string, try func() error) time.Duration {
	t.Helper()
	start := time.Now()
	deadline := time.After(Within)
	for pause := 5 * time.Millisecond; ; pause = min(pause*5/4, 100*time.Millisecond) {
		began := time.Now()
		err := try()
		if err == nil {
			return time.Since(start)
		}
		const most = time.Second
		rest := min(4*time.Since(began), most) // tests run beside each other: a try that starts a program must not take all of a processor
		select {
		case <-deadline:
			t.Fatalf("%s: not in time: %v", what, err)
		case <-time.After(max(pause, rest)):
		}
	}
}

// CleanEnv is the environment without what would change hapsync, etcdctl or etcd; nor does a config file of this machine.
func CleanEnv() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "HAPSYNC_") || strings.HasPrefix(v, "ETCDCTL_") || strings.HasPrefix(v, "ETCD_")
	})
	return append(env, "HAPSYNC_CONFIG_FILE=/dev/null")
}

// LookPath finds a program that the tests cannot do without.
func LookPath(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} { // where Debian keeps servers, out of a plain user's PATH
		if err != nil && filepath.Base(name) == name {
			path, err = exec.LookPath(filepath.Join(dir, name))
		}
	}
	if err != nil {
		t.Fatalf("the tests need %s: %v (`make deps` installs it)", name, err)
	}
	return path
}

// Build builds a Go program, with env added to the environment.
func Build(to, program string, env []string, flags ...string) error {
	cmd := exec.Command("go", slices.Concat([]string{"build", "-o", to}, flags, []string{program})...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// Docker runs the docker command, which must succeed, and returns what it prints.
func Docker(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Ask sends one line to one of HAProxy's sockets, by the plainest means, and reads the reply.
func Ask(socket, line string) (string, error) {
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", err
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return "", err
	}
	reply, err := io.ReadAll(conn)
	return string(reply), err
}

// Read returns what is in a file.
func Read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Dir makes a directory for the test whose path is short, because that of a socket has to be.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hap")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
