package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy/configfile"
)

// binaries are the paths of the HAProxy programs to test with: those of HAPROXY_BINARIES (separated by colons), or the haproxy
// of PATH.
func binaries(t *testing.T) (paths []string) {
	t.Helper()
	for name := range strings.SplitSeq(cmp.Or(os.Getenv("HAPROXY_BINARIES"), "haproxy"), ":") {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatalf("%v: the tests need HAProxy (make deps installs it); HAPROXY_BINARIES names others", err)
		}
		paths = append(paths, path)
	}
	return paths
}

// place is a directory whose path is short enough for sockets, and init's flags for it.
func place(t *testing.T) (dir string, flags []string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hapsync")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, []string{"init", "--base-file", dir + "/haproxy.cfg", "--managed-file", dir + "/hapsync.cfg",
		"--run-dir", dir + "/run", "--bind", freeAddr(t), "--stats-bind", freeAddr(t)}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestInitWritesWhatHAProxyTakesWithoutAWarning(t *testing.T) {
	for _, binary := range binaries(t) {
		t.Run(binary, func(t *testing.T) {
			dir, flags := place(t)
			got := new(bench).run(t, append(flags, "--haproxy-bin", binary)...)
			if got.code != exitOK || got.stderr != "" {
				t.Fatalf("code %d: %s", got.code, got.stderr)
			}
			wantContains(t, "output", got.stdout, "created  "+dir+"/haproxy.cfg", "created  "+dir+"/hapsync.cfg",
				"accepts the configuration", " -W -S "+dir+"/run/haproxy-master.sock -f "+dir+"/haproxy.cfg -f "+dir+"/hapsync.cfg",
				"hapsync sync --haproxy-bin "+binary+" --base-file "+dir+"/haproxy.cfg --managed-file "+dir+"/hapsync.cfg")
			out, err := exec.CommandContext(t.Context(), binary, "-c", "-f", dir+"/haproxy.cfg", "-f", dir+"/hapsync.cfg").CombinedOutput()
			if err != nil || complains(string(out)) {
				t.Errorf("haproxy -c: %v\n%s", err, out)
			}
			if said := start(t, binary, dir); complains(said) {
				t.Errorf("haproxy -W:\n%s", said)
			}
		})
	}
}

func complains(output string) bool {
	return strings.Contains(output, "WARNING") || strings.Contains(output, "ALERT")
}

// start runs HAProxy as init says, and returns what it printed by the time that it answers.
func start(t *testing.T, binary, dir string) string {
	t.Helper()
	defer launch(t, binary, dir)()
	return read(t, dir+"/log")
}

// launch runs HAProxy as init says, and returns when its Runtime API answers at level admin, and its master does.
func launch(t *testing.T, binary, dir string) (stop func()) {
	t.Helper()
	log, err := os.Create(dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(binary, "-W", "-S", dir+"/run/haproxy-master.sock", "-f", dir+"/haproxy.cfg", "-f", dir+"/hapsync.cfg")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()                          // it is ended by a signal
	}
	eventually(t, "the Runtime API and the master answer", func() error {
		if !strings.Contains(ask(t.Context(), dir+"/run/haproxy.sock", "show cli level"), "admin") ||
			!strings.Contains(ask(t.Context(), dir+"/run/haproxy-master.sock", "show proc"), "worker") {
			return errors.New("not yet: " + read(t, dir+"/log"))
		}
		return nil
	})
	return stop
}

// eventually waits until f returns nil, for 30 seconds.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

func ask(ctx context.Context, socket, command string) string {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte(command + ";quit\n")); err != nil {
		return ""
	}
	var reply bytes.Buffer
	_, _ = reply.ReadFrom(conn)
	return reply.String()
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// mapRule is the line of a frontend that reads the map beside the managed file of a folder.
func mapRule(dir string) string {
	return "    " + configfile.MapRule(dir+"/hapsync.domains.map", true) + "\n"
}

func TestInitFiles(t *testing.T) {
	dir, flags := place(t)
	flags = append(flags[:7], "--bind", ":8080", "--haproxy-bin", "/nowhere/haproxy")
	got := new(bench).run(t, flags...)
	if got.code != exitOK {
		t.Fatalf("code %d: %s", got.code, got.stderr)
	}
	wantContains(t, "output", got.stdout, "not checked: there is no /nowhere/haproxy")
	if managed := read(t, dir+"/hapsync.cfg"); managed != "frontend webin\n    bind :8080\n"+mapRule(dir) {
		t.Errorf("managed file:\n%s", managed)
	}
	if domains := read(t, dir+"/hapsync.domains.map"); domains != "" {
		t.Errorf("map file: %q", domains)
	}
	if state := read(t, dir+"/hapsync.state"); state != "1\n" {
		t.Errorf("state file: %q", state)
	}
	wantContains(t, "base file", read(t, dir+"/haproxy.cfg"),
		"stats socket "+dir+"/run/haproxy.sock mode 660", "level admin expose-fd listeners",
		"setenv HAPSYNC_MASTER_SOCKET "+dir+"/run/haproxy-master.sock", "server-state-file "+dir+"/hapsync.state",
		"bind 127.0.0.1:8404", "option idle-close-on-response", "load-server-state-from-file global")
	for name, mode := range map[string]fs.FileMode{"haproxy.cfg": 0o640, "hapsync.cfg": 0o644, "hapsync.state": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	entries, err := fs.Glob(os.DirFS(dir), ".hapsync*")
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %q, %v", entries, err)
	}
}

func TestInitWithHTTPSWritesWhatHAProxyTakes(t *testing.T) {
	for _, binary := range binaries(t) {
		t.Run(binary, func(t *testing.T) {
			dir, flags := place(t)
			tls := freeAddr(t)
			got := new(bench).run(t, append(flags, "--haproxy-bin", binary, "--https", dir+"/lb/certs", "--https-bind", tls)...)
			if got.code != exitOK || got.stderr != "" {
				t.Fatalf("code %d: %s", got.code, got.stderr)
			}
			wantContains(t, "output", got.stdout, "created  "+dir+"/lb/certs\n", "accepts the configuration")
			wantContains(t, "managed file", read(t, dir+"/hapsync.cfg"), "    bind "+tls+" ssl crt "+dir+"/lb/certs alpn h2,http/1.1",
				"    #http-request redirect scheme https code 301 unless { ssl_fc }\n", "    #http-after-response set-header Strict-Transport-Security ")
			if info, err := os.Stat(dir + "/lb/certs"); err != nil || info.Mode().Perm() != 0o750 {
				t.Errorf("%v, %v", info, err)
			}
			// What stands there as a comment is taken by HAProxy, too.
			for _, file := range []string{dir + "/hapsync.cfg", dir + "/haproxy.cfg"} {
				text := regexp.MustCompile(`(?m)^( *)#((http-|errorfile|default_backend|backend unknown| +http-).*)$`).ReplaceAllString(read(t, file), "$1$2")
				text = strings.ReplaceAll(text, "/etc/haproxy/errors/503.http", dir+"/503.http")
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			answer := "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\n\r\n<h1>Back soon</h1>\n"
			if err := os.WriteFile(dir+"/503.http", []byte(answer), 0o600); err != nil {
				t.Fatal(err)
			}
			wantContains(t, "base file", read(t, dir+"/haproxy.cfg"), "\n    default_backend unknown\n", "\nbackend unknown\n    http-request return status 404")
			if out, err := exec.CommandContext(t.Context(), binary, "-c", "-f", dir+"/haproxy.cfg", "-f", dir+"/hapsync.cfg").CombinedOutput(); err != nil {
				t.Errorf("haproxy -c: %v\n%s", err, out)
			}
		})
	}
}

func TestInitNeverTouchesWhatExists(t *testing.T) {
	dir, flags := place(t)
	const mine = "# mine\nglobal\ndefaults\n    mode http\n    timeout client 1s\n    timeout server 1s\n    timeout connect 1s\n"
	if err := os.WriteFile(dir+"/haproxy.cfg", []byte(mine), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got := new(bench).run(t, flags...)
		if got.code != exitOK {
			t.Fatalf("code %d: %s", got.code, got.stderr)
		}
		wantContains(t, "output", got.stdout, "kept     "+dir+"/haproxy.cfg",
			"setenv HAPSYNC_MASTER_SOCKET "+dir+"/run/haproxy-master.sock")
		if base := read(t, dir+"/haproxy.cfg"); base != mine {
			t.Errorf("base file:\n%s", base)
		}
	}
	if _, err := os.Stat(dir + "/run"); err == nil {
		t.Error("a run directory is created that the base file does not name")
	}
}

func TestInitSaysNothingOfAMasterSocketThatTheBaseFileNames(t *testing.T) {
	_, flags := place(t)
	got := new(bench).run(t, flags...)
	if got.code != exitOK || strings.Contains(got.stdout, "setenv") {
		t.Errorf("code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
}

func TestInitOneFile(t *testing.T) {
	dir, flags := place(t)
	got := new(bench).run(t, append(flags, "--managed-file", dir+"/haproxy.cfg")...)
	if got.code != exitOK || strings.Count(got.stdout, dir+"/haproxy.cfg -f") > 0 {
		t.Errorf("code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
	wantContains(t, "file", read(t, dir+"/haproxy.cfg"), "\nglobal\n", "\nfrontend webin\n    bind 127.0.0.1:")
}

func TestInitSeveralFrontends(t *testing.T) {
	dir, flags := place(t)
	got := new(bench).run(t, append(flags[:7], "--frontend", "webin", "--bind", ":8080", "--frontend", "internal", "--bind", "10.0.0.1:8000")...)
	if got.code != exitOK {
		t.Fatalf("code %d: %s", got.code, got.stderr)
	}
	want := "frontend webin\n    bind :8080\n" + mapRule(dir) + "\nfrontend internal\n    bind 10.0.0.1:8000\n" + mapRule(dir)
	if managed := read(t, dir+"/hapsync.cfg"); managed != want {
		t.Errorf("managed file:\n%s", managed)
	}
	wantContains(t, "output", got.stdout, "hapsync sync --base-file "+dir+"/haproxy.cfg --managed-file "+dir+"/hapsync.cfg --frontend webin,internal")
}

func TestInitRefusesValuesThatWouldBecomeConfiguration(t *testing.T) {
	for _, bad := range [][]string{
		{"--bind", ":80\n    http-request deny"}, {"--bind", ":80 ssl"}, {"--bind", ":80#"}, {"--bind", `":80"`},
		{"--stats-bind", ":1 x"}, {"--run-dir", "/run/a b"}, {"--state-file", "/x\ny"}, {"--run-dir", "/" + strings.Repeat("x", 90)},
		{"--frontend", "a,b"}, {"--frontend", "stats"}, {"--frontend", "a b"},
		{"--bind", "80"}, {"--stats-bind", "8404"}, {"--https", "/etc/a b"}, {"--https-bind", "443"}, {"--https-bind", ":443 quic4@:443"},
	} {
		dir, flags := place(t)
		got := new(bench).run(t, append(flags, bad...)...)
		if bad[0] == "--bind" { // the flag is repeatable: leave out the good one
			got = new(bench).run(t, append(flags[:7], bad...)...)
		}
		if got.code != exitUsage || got.stdout != "" {
			t.Errorf("%q: code %d\n%s%s", bad, got.code, got.stdout, got.stderr)
		}
		if !strings.Contains(got.stderr, bad[0]) {
			t.Errorf("%q: the error does not name the flag: %s", bad, got.stderr)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%q: something was written: %v %v", bad, entries, err)
		}
	}
}

func TestInitCountsAddressesAndFrontends(t *testing.T) {
	_, flags := place(t)
	got := new(bench).run(t, append(flags, "--bind", ":8080")...)
	wantContains(t, "error", got.stderr, "--bind: 2 values for 1 frontend: give one --bind for each --frontend")
}

func TestInitSaysWhatHAProxyRefuses(t *testing.T) {
	dir, flags := place(t)
	if err := os.WriteFile(dir+"/haproxy.cfg", []byte("global\n    bogus\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := new(bench).run(t, flags...)
	if got.code != exitHAProxy {
		t.Errorf("code %d", got.code)
	}
	wantContains(t, "message", got.stderr, "haproxy -c refuses", "bogus")
}

func TestInitWritesNothingThatHAProxyRefuses(t *testing.T) {
	for _, bad := range [][]string{{"--bind", "80"}, {"--bind", ":99999"}, {"--bind", "no.such.host.invalid:80"}, {"--stats-bind", "8404", "--bind", ":80"}, {"--frontend", "internal", "--bind", "10.0.0.1"}} {
		dir, flags := place(t)
		got := new(bench).run(t, append(flags[:7:7], bad...)...)
		if got.code != exitUsage && got.code != exitHAProxy {
			t.Errorf("%q: code %d\n%s%s", bad, got.code, got.stdout, got.stderr)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%q: something was written: %v %v\n%s", bad, entries, err, got.stderr)
		}
	}
}

func TestASecondInitPrintsTheMasterSocketThatTheBaseFileNames(t *testing.T) {
	dir, flags := place(t)
	if got := new(bench).run(t, flags...); got.code != exitOK {
		t.Fatalf("code %d: %s", got.code, got.stderr)
	}
	got := new(bench).run(t, append(flags, "--run-dir", dir+"/other")...)
	named := dir + "/run/haproxy-master.sock"
	if got.code != exitOK || strings.Contains(got.stdout, "/other/haproxy-master.sock") || strings.Count(got.stdout, "-S "+named) != 3 {
		t.Errorf("code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
}

func TestInitPassesOverAMasterSocketInAComment(t *testing.T) {
	dir, flags := place(t)
	text := "global\n    # setenv HAPSYNC_MASTER_SOCKET /run/old.sock\ndefaults\n    mode http\n    timeout client 1s\n    timeout server 1s\n    timeout connect 1s\n"
	if err := os.WriteFile(dir+"/haproxy.cfg", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := new(bench).run(t, flags...)
	if got.code != exitOK || strings.Contains(got.stdout, "/run/old.sock") {
		t.Errorf("code %d: %s\n%s", got.code, got.stderr, got.stdout)
	}
	wantContains(t, "output", got.stdout, "setenv HAPSYNC_MASTER_SOCKET "+dir+"/run/haproxy-master.sock")
}

func TestInitGivesFilesToTheOwnerOfTheirDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("only root can give files away")
		}
		t.Skip("only root can give files away")
	}
	ours, agents := t.TempDir(), t.TempDir()
	if err := os.Chown(agents, 12345, 54321); err != nil {
		t.Fatal(err)
	}
	got := new(bench).run(t, "init", "--base-file", filepath.Join(ours, "haproxy.cfg"), "--managed-file", filepath.Join(agents, "hapsync.cfg"),
		"--state-file", filepath.Join(agents, "hapsync.state"), "--run-dir", filepath.Join(ours, "run"), "--haproxy-bin", "/nowhere/haproxy")
	if got.code != exitOK {
		t.Fatalf("code %d: %s", got.code, got.stderr)
	}
	for path, want := range map[string]uint32{filepath.Join(ours, "haproxy.cfg"): 0, filepath.Join(agents, "hapsync.cfg"): 12345, filepath.Join(agents, "hapsync.state"): 12345} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != want {
			t.Errorf("%s belongs to %d, not to %d", path, owner, want)
		}
	}
}
