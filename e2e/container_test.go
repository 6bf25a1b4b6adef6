package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// A harbour is a machine with a real Docker engine and an etcd. The engine may have containers of others; those of the
// test serve domains that nobody else has.
type harbour struct {
	*box
	etcd  *ownEtcd
	image string
}

// needDocker skips the test where no engine runs; not so where CI is set.
func needDocker(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", "info", "--format", "{{.ServerVersion}}").CombinedOutput()
	if err == nil {
		return
	}
	why := fmt.Sprintf("the test needs a Docker engine: docker info: %v: %s", err, firstLine(out))
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func firstLine(text []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return line
}

// newHarbour makes the image of the test's containers, which goes with the test.
func newHarbour(t *testing.T, instructions ...string) *harbour {
	t.Helper()
	h := &harbour{box: newBox(t, firstHAProxy(t)), etcd: newEtcd(t)}
	h.env = append(h.env, "HAPSYNC_ENDPOINTS="+h.etcd.listen.String(), "HAPSYNC_HOST=box1")
	h.image = "hapsync-e2e-" + filepath.Base(h.dir) + ":test"
	h.makeImage(t, instructions...)
	return h
}

func (h *harbour) makeImage(t *testing.T, instructions ...string) {
	t.Helper()
	program, err := world.container()
	if err != nil {
		t.Fatal(err)
	}
	tar, err := exec.CommandContext(t.Context(), "tar", "-c", "-C", filepath.Dir(program), filepath.Base(program)).Output()
	if err != nil {
		t.Fatalf("tar: %v", err)
	}
	args := []string{"import", "-c", `ENTRYPOINT ["/container"]`, "-c", "EXPOSE 8080"}
	for _, i := range instructions {
		args = append(args, "-c", i)
	}
	load := exec.CommandContext(t.Context(), "docker", append(args, "-", h.image)...)
	load.Stdin = bytes.NewReader(tar)
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", load, err, out)
	}
	t.Cleanup(func() { docker(t, "rmi", "-f", h.image) })
}

// buildContainer builds what runs in the containers.
func buildContainer(dir string) (path string, err error) {
	path = filepath.Join(dir, "container")
	return path, harness.Build(path, "./testdata/container", []string{"CGO_ENABLED=0"})
}

// containerName is unique on the engine.
func (h *harbour) containerName(name string) string { return filepath.Base(h.dir) + "-" + name }

// run starts a container that serves the domain and answers with its name.
func (h *harbour) run(t *testing.T, name, domain string, args ...string) {
	t.Helper()
	full := h.containerName(name)
	words := append([]string{"run", "-d", "--name", full, "-e", "WORD=" + name, "-l", "hapsync.domain=" + domain}, args...)
	t.Cleanup(func() {
		_ = exec.Command("docker", "rm", "-f", full).Run() // it may have gone
	})
	bring(t, full, append(words, h.image)...)
}

// bring runs the docker command that starts a container. Docker publishes a port without a look at the connections of the machine: it
// may be the local port of one. Then it is told to start the container again, and takes the next port.
func bring(t *testing.T, full string, words ...string) {
	t.Helper()
	eventually(t, full+" has started", func() error {
		out, err := exec.CommandContext(t.Context(), "docker", words...).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "address already in use") {
			t.Fatalf("docker %s: %v\n%s", strings.Join(words, " "), err, out)
		}
		words = []string{"start", full}
		return err
	})
}

// domain is one that no other test has.
func (h *harbour) domain(name string) string { return name + "." + filepath.Base(h.dir) + ".abc.com" }

// serve starts hapsync register --docker.
func (h *harbour) serve(t *testing.T, args ...string) *process {
	t.Helper()
	words := []string{"register", "--docker", "--resync", "1h", "--drain", "0s"}
	return h.startServer(t, fmt.Sprintf("docker-%d.log", time.Now().UnixNano()), append(words, args...)...)
}

// keys are those of a container's host.
func (h *harbour) keys(t *testing.T, name, domain string) (map[string]string, int64) {
	t.Helper()
	return keysOf(t, h.etcd.client, h.box, domain+"/box1_"+h.containerName(name))
}

// becomes waits until the host of a container has the state, "" for no key at all, and returns its address.
func (h *harbour) becomes(t *testing.T, name, domain, state string) (addr string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s is in the registry as %q", name, state), func() error {
		keys, _ := h.keys(t, name, domain)
		if keys["state"] != state || state == "" && len(keys) > 0 {
			return fmt.Errorf("got %v", keys)
		}
		addr = net.JoinHostPort(keys["ip"], keys["port"])
		return nil
	})
	return addr
}

// answers waits until the address answers with the word.
func answers(t *testing.T, addr, path, word string) {
	t.Helper()
	eventually(t, addr+path+" answers "+word, func() error {
		out, err := exec.CommandContext(t.Context(), lookPath(t, "curl"), "-sS", "-m", "3", "http://"+addr+path).CombinedOutput()
		if err != nil || string(out) != word {
			return fmt.Errorf("got %q, %w", out, err)
		}
		return nil
	})
}

// mine reports whether a key is that of a container of the test.
func (h *harbour) mine(key []byte) bool {
	return strings.Contains(string(key), "."+filepath.Base(h.dir)+".abc.com/")
}

// only waits until the test's containers have so many keys and leases, and there is no lease without a key.
func (h *harbour) only(t *testing.T, keys, leases int) {
	t.Helper()
	eventually(t, fmt.Sprintf("there are %d keys and %d leases", keys, leases), func() error {
		all, err := h.etcd.client.Leases(t.Context())
		if err != nil {
			return err
		}
		haveKeys, haveLeases := 0, 0
		for _, lease := range all.Leases {
			of, err := h.etcd.client.TimeToLive(t.Context(), lease.ID, clientv3.WithAttachedKeys())
			if err != nil {
				return err
			}
			mine := 0
			for _, key := range of.Keys {
				if h.mine(key) {
					mine++
				}
			}
			haveKeys += mine
			if mine > 0 || len(of.Keys) == 0 {
				haveLeases++
			}
		}
		if haveKeys != keys || haveLeases != leases {
			return fmt.Errorf("there are %d and %d", haveKeys, haveLeases)
		}
		return nil
	})
}

// said waits until the process has printed a line with all the words.
func (p *process) said(t *testing.T, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("it says %q", words), func() error {
		for line := range strings.Lines(p.printed()) {
			n := 0
			for _, w := range words {
				if strings.Contains(line, w) {
					n++
				}
			}
			if n == len(words) {
				return nil
			}
		}
		return fmt.Errorf("it has printed:\n%s", p.printed())
	})
}

// A ferry is a way to the engine that a test can cut, as a restart of the engine does.
type ferry struct {
	path string

	mu     sync.Mutex
	listen net.Listener
	conns  map[net.Conn]bool
	done   sync.WaitGroup
}

func newFerry(t *testing.T, dir string) *ferry {
	t.Helper()
	f := &ferry{path: filepath.Join(dir, "docker.sock"), conns: map[net.Conn]bool{}}
	f.open(t)
	t.Cleanup(f.cut)
	return f
}

func (f *ferry) open(t *testing.T) {
	t.Helper()
	listen, err := net.Listen("unix", f.path)
	if err != nil {
		t.Fatal(err)
	}
	f.listen = listen
	f.done.Go(func() {
		for {
			conn, err := listen.Accept()
			if err != nil {
				return
			}
			engine, err := net.Dial("unix", strings.TrimPrefix(engineSocket(), "unix://"))
			if err != nil {
				_ = conn.Close()
				continue
			}
			f.carry(conn, engine)
			f.carry(engine, conn)
		}
	})
}

// engineSocket is where the real engine is.
func engineSocket() string {
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		return host
	}
	return "/var/run/docker.sock"
}

func (f *ferry) carry(from, to net.Conn) {
	f.mu.Lock()
	f.conns[from] = true
	f.mu.Unlock()
	f.done.Go(func() {
		_, _ = io.Copy(to, from)
		_ = to.Close()
	})
}

// cut ends all connections, and nobody can connect any more.
func (f *ferry) cut() {
	_ = f.listen.Close()
	f.mu.Lock()
	for conn := range f.conns {
		_ = conn.Close()
	}
	clear(f.conns)
	f.mu.Unlock()
	f.done.Wait()
}
