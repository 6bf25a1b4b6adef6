package e2e

import (
	"cmp"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
	product "github.com/hapsync/hapsync/haproxy"
)

// A haproxy is a binary to test with.
type haproxy struct {
	path    string
	version int                  // 302 for 3.2
	can     product.Capabilities // what a test may expect of it
}

func (h haproxy) String() string { return fmt.Sprintf("%d.%d", h.version/100, h.version%100) }

// eachHAProxy runs f, in parallel, on each binary of HAPROXY_BINARIES (separated by colons; haproxy of PATH without it).
func eachHAProxy(t *testing.T, f func(t *testing.T, h haproxy)) {
	t.Helper()
	eachHAProxyThat(t, func(product.Capabilities) bool { return true }, f)
}

// eachHAProxyThat is eachHAProxy for those that can do something. make test says that there may be none.
func eachHAProxyThat(t *testing.T, can func(product.Capabilities) bool, f func(t *testing.T, h haproxy)) {
	t.Helper()
	t.Parallel()
	those := slices.DeleteFunc(allHAProxy(t), func(h haproxy) bool { return !can(h.can) })
	if len(those) == 0 {
		t.Skip("no HAProxy of HAPROXY_BINARIES can do what is tested")
	}
	for _, h := range those {
		t.Run(h.String(), func(t *testing.T) {
			if len(those) > 1 { // a single one need not queue up behind all other tests again
				t.Parallel()
			}
			f(t, h)
		})
	}
}

// latestHAProxy is the newest of the binaries, for what is the same on each version.
func latestHAProxy(t testing.TB) haproxy {
	t.Helper()
	return slices.MaxFunc(allHAProxy(t), func(a, b haproxy) int { return cmp.Compare(a.version, b.version) })
}

// firstHAProxy is the first of the binaries, for what is the same on each version.
func firstHAProxy(t testing.TB) haproxy {
	t.Helper()
	return allHAProxy(t)[0]
}

func allHAProxy(t testing.TB) (all []haproxy) {
	t.Helper()
	for _, h := range harness.HAProxies(t) {
		version := product.Version{Major: h.Version / 100, Minor: h.Version % 100}
		all = append(all, haproxy{h.Path, h.Version, product.CapabilitiesOf(version)})
	}
	return all
}

// A box is a machine with HAProxy and hapsync, and the part of the registry that it follows.
type box struct {
	haproxy haproxy
	dir     string // short, because a socket's path is
	prefix  string
	web     string // where the frontend webin listens
	stats   string
	// baseFile and managedFile may be one file, runtimeSocket and masterSocket are HAProxy's.
	baseFile, managedFile       string
	runtimeSocket, masterSocket string
	// env is hapsync's environment, beside the system's: NAME=VALUE. program is the binary.
	env     []string
	program string

	master *process
}

// newBox is a box on which nothing has been written or started.
func newBox(t testing.TB, h haproxy) *box {
	t.Helper()
	dir := harness.Dir(t)
	b := &box{
		haproxy: h, dir: dir, prefix: world.etcd.prefix(), program: world.hapsync,
		web: freeAddr(t), stats: freeAddr(t),
		runtimeSocket: filepath.Join(dir, "run/haproxy.sock"),
		masterSocket:  filepath.Join(dir, "run/haproxy-master.sock"),
	}
	b.env = []string{"HAPSYNC_ENDPOINTS=" + world.etcd.endpoint(t), "HAPSYNC_PREFIX=" + b.prefix, "HAPSYNC_REPORT_PREFIX=" + b.reports(), "HAPSYNC_HAPROXY_BIN=" + h.path,
		"HAPSYNC_ALLOW_LOOPBACK=true",
		"HAPSYNC_DYNAMIC_DOMAINS=off"} // so that reloads are alike on all versions; dynamic_test.go has the others
	b.files(filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "hapsync.cfg"))
	return b
}

// files chooses the two files, which may be one.
func (b *box) files(base, managed string) {
	b.baseFile, b.managedFile = base, managed
	b.env = append(b.env, "HAPSYNC_BASE_FILE="+base, "HAPSYNC_MANAGED_FILE="+managed)
}

// startBox is a box as a newcomer sets it up: what hapsync init writes, then HAProxy with it.
func startBox(t testing.TB, h haproxy) *box {
	t.Helper()
	b := newBox(t, h)
	b.prepare(t)
	b.start(t)
	return b
}

func (b *box) init(t testing.TB, flags ...string) outcome {
	t.Helper()
	args := []string{"init", "--bind", b.web, "--stats-bind", b.stats, "--run-dir", filepath.Dir(b.runtimeSocket)}
	o := b.must(t, append(args, flags...)...)
	b.write(t, b.baseFile, strings.Replace(read(t, b.baseFile), "global\n", "global\n"+harness.NoCertificates, 1))
	return o
}

// start starts HAProxy in master-worker mode with the box's files and returns when its worker answers.
func (b *box) start(t testing.TB) {
	t.Helper()
	files := []string{b.baseFile}
	if b.managedFile != b.baseFile {
		files = append(files, b.managedFile)
	}
	b.startWith(t, files...)
}

// startWith starts HAProxy with these files.
func (b *box) startWith(t testing.TB, files ...string) {
	t.Helper()
	args := []string{"-W", "-S", b.masterSocket}
	for _, f := range files {
		args = append(args, "-f", f)
	}
	b.master = startProcess(t, filepath.Join(b.dir, "haproxy.log"), b.haproxy.path, args...)
	b.master.Eventually(t, "HAProxy answers on "+b.runtimeSocket, func() error {
		_, err := b.pid()
		return err
	})
}

// An outcome is what a person sees of a run of hapsync.
type outcome struct {
	command        string
	code           int
	stdout, stderr string
}

func (o outcome) String() string {
	return fmt.Sprintf("hapsync %s: exit code %d\n%s%s", o.command, o.code, o.stdout, o.stderr)
}

// hapsync runs the binary.
func (b *box) hapsync(t testing.TB, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), b.program, args...)
	cmd.Env = append(cleanEnv(), b.env...)
	code, stdout, stderr := world.thread.Run(t, cmd)
	return outcome{strings.Join(args, " "), code, stdout, stderr}
}

// must is hapsync where another exit code than 0 ends the test.
func (b *box) must(t testing.TB, args ...string) outcome {
	t.Helper()
	o := b.hapsync(t, args...)
	if o.code != 0 {
		t.Fatal(o)
	}
	return o
}

// runtime sends one line to HAProxy's stats socket, by the plainest means.
func (b *box) runtime(line string) (string, error) { return ask(b.runtimeSocket, line) }

func (b *box) pid() (int, error) {
	reply, err := b.runtime("show info")
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^Pid: (\d+)$`).FindStringSubmatch(reply)
	if found == nil {
		return 0, fmt.Errorf("no Pid in %q", reply)
	}
	return strconv.Atoi(found[1])
}

// A generation tells which process serves, and how often HAProxy has been reloaded.
type generation struct {
	worker  int // its process id
	reloads int // those that the master has carried out
}

func (b *box) generation(t testing.TB) generation {
	t.Helper()
	var g generation
	eventually(t, "HAProxy tells its generation", func() (err error) {
		if g.worker, err = b.pid(); err != nil {
			return err
		}
		reply, err := ask(b.masterSocket, "show proc")
		if err != nil {
			return err // it takes no connection while it reloads
		}
		found := regexp.MustCompile(`(?m)^\d+\s+master\s+(\d+)`).FindStringSubmatch(reply)
		if found == nil {
			return fmt.Errorf("no master in %q", reply)
		}
		g.reloads, err = strconv.Atoi(found[1])
		return err
	})
	return g
}

// takesServers fails the test unless servers were added since without a reload where a running process takes their
// cookies, and by exactly one reload where it does not.
func (b *box) takesServers(t testing.TB, since generation) {
	t.Helper()
	if b.haproxy.can.CookieLive {
		b.notReloaded(t, since)
		return
	}
	b.reloadedOnce(t, since)
}

// notReloaded fails the test where HAProxy has been reloaded since.
func (b *box) notReloaded(t testing.TB, since generation) {
	t.Helper()
	if now := b.generation(t); now != since {
		t.Errorf("HAProxy was reloaded: %+v, and now %+v", since, now)
	}
}

// reloadedOnce fails the test unless HAProxy has been reloaded exactly once since.
func (b *box) reloadedOnce(t testing.TB, since generation) {
	t.Helper()
	if now := b.generation(t); now.reloads != since.reloads+1 || now.worker == since.worker {
		t.Errorf("not reloaded exactly once: %+v, and now %+v", since, now)
	}
}
