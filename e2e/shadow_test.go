package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// footprints are those of all files in the box's directory and below it, but for logs, and for sockets, which HAProxy has under other names
// while it starts. Directories count by what is in them.
func (b *box) footprints(t *testing.T) map[string]footprint {
	t.Helper()
	found := map[string]footprint{}
	err := filepath.WalkDir(b.dir, func(path string, entry os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasSuffix(path, ".log"), entry.Type()&os.ModeSocket != 0:
		case entry.Type().IsRegular():
			found[path] = footprintOf(t, path)
		case !entry.IsDir():
			found[path] = footprint{mode: entry.Type()}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A shadowing is a box on which confd keeps HAProxy in line, and a shadow watches.
type shadowing struct {
	abc
	confd           *confd
	shadow          *agent
	runtime, master *recorder
}

func startShadowing(t *testing.T, h haproxy) shadowing {
	t.Helper()
	s := shadowing{abc: startConfd(t, h)}
	s.confd = &confd{box: s.box}
	s.confd.start(t)
	s.runtime, s.master = startRecorder(t, s.dir, s.runtimeSocket), startRecorder(t, s.dir, s.masterSocket)
	s.still(t)
	return s
}

// look starts the shadow.
func (s *shadowing) look(t *testing.T, flags ...string) {
	t.Helper()
	s.shadow = s.startAgent(t, append([]string{"--shadow"}, flags...)...)
	s.shadow.ready(t)
}

// still waits until confd has nothing more to do.
func (s *shadowing) still(t *testing.T) {
	t.Helper()
	eventually(t, "confd has rendered the file, and HAProxy has loaded it", func() error {
		if o := s.hapsync(t, "plan", "--detailed-exitcode"); o.code != 0 {
			return fmt.Errorf("%s", o)
		}
		return nil
	})
}

func TestAShadowSaysWhetherConfdDoesTheSame(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		s := startShadowing(t, h)
		files := s.footprints(t)
		s.look(t, "--runtime-socket", s.runtime.path, "--master-socket", s.master.path)
		if got, err := s.shadow.get("/readyz"); err != nil || !strings.Contains(got.body, "shadow") {
			t.Errorf("/readyz: %s, %v", got, err)
		}
		s.tells(t, s.shadow, 0, "agent", "ready, as a shadow")
		s.tells(t, s.shadow, 0, "shadow", "nothing is changed; 0 changes the same, 0 different so far")
		if now := s.footprints(t); !maps.Equal(files, now) {
			t.Errorf("a file was written: %v, and now %v", files, now)
		}

		moved, c1 := startHost(t, "moved"), startHost(t, "c.abc.com server1")
		s.txn(t, addrOf(t, "a.abc.com/server2", moved.addr))
		s.comes(t, "a.abc.com", "server2", moved)
		s.shadow.measures(t, "hapsync_shadow_agreed_total 1", "hapsync_shadow_differed_total 0", "hapsync_shadow_changes 0")
		s.shadow.logs(t, 0, "made the same change", "server=a.abc.com/server2", moved.addr)
		s.txn(t, addrOf(t, "c.abc.com/server1", c1.addr))
		s.comes(t, "c.abc.com", "", c1)
		s.shadow.measures(t, "hapsync_shadow_agreed_total 4", "hapsync_shadow_differed_total 0", "hapsync_shadow_changes 0") // backend, server, rule

		s.confd.stop()
		s.confd.faulty, s.confd.further = "c.abc.com/server2", "\nfrontend other\n    bind "+freeAddr(t)+"\n    default_backend a.abc.com_cluster\n"
		s.confd.start(t)
		s.txn(t, addrOf(t, "c.abc.com/server2", moved.addr))
		s.tells(t, s.shadow, 0, "waiting", "+ server c.abc.com/server2 "+moved.addr)
		s.shadow.logs(t, 0, "would add", "server=c.abc.com/server2", moved.addr)
		s.tells(t, s.shadow, 0, "unanswered", "+ server c.abc.com/server2", "the other tool has changed nothing since")
		s.txn(t, addrOf(t, "b.abc.com/server1", moved.addr)) // what confd acts on shows that it has seen the other
		s.comes(t, "b.abc.com", "", moved)
		s.shadow.measures(t, "hapsync_shadow_agreed_total 5", "hapsync_shadow_differed_total 1", `hapsync_shadow_changes{state="different"} 1`, "hapsync_shadow_changes 1")
		s.tells(t, s.shadow, 0, "different", "+ server c.abc.com/server2", "the other tool has since acted on revision", "has left it")
		s.shadow.logs(t, 0, "level=WARN", "differs", "server=c.abc.com/server2")
		s.shows(t, "/", "shadow: it changes nothing", "c.abc.com/server2", "different")
		s.shows(t, "/plan", "what an agent without --shadow would do", "server2")
		s.shows(t, "/history", "made the same change", "differs")
		s.shows(t, "/api/v1/status", `"different": 1`)

		s.harmless(t)
		s.takenOver(t)
	})
}

// shows fails the test unless the shadow's answer has all the words.
func (s *shadowing) shows(t *testing.T, path string, words ...string) {
	t.Helper()
	if got, err := s.shadow.get(path); err != nil || got.status != http.StatusOK || !containsAll(got.body, words) {
		t.Errorf("%s has not all of %q: %s, %v", path, words, got, err)
	}
}

// harmless fails the test where the shadow has sent HAProxy what is no question, or has a key in the registry.
func (s *shadowing) harmless(t *testing.T) {
	t.Helper()
	for _, socket := range []*recorder{s.runtime, s.master} {
		commands := socket.commands()
		if sent := writes(commands); len(sent) > 0 {
			t.Errorf("the shadow has sent %q", sent)
		}
		if socket == s.runtime && len(commands) == 0 {
			t.Error("the shadow has sent nothing: it was another socket")
		}
	}
	if o := s.hapsync(t, "agents"); strings.Contains(o.stdout, "revision") && !strings.Contains(o.stdout, "no agent") && !strings.Contains(o.stdout, "0 agents") {
		t.Errorf("the shadow reports: %s", o)
	}
	for path := range s.footprints(t) {
		if name := filepath.Base(path); strings.Contains(name, "hapsync") || strings.HasPrefix(name, ".") {
			t.Errorf("there is %s", path)
		}
	}
}

// takenOver has hapsync do what the shadow has said, beside the shadow.
func (s *shadowing) takenOver(t *testing.T) {
	t.Helper()
	s.confd.stop()
	if o := s.hapsync(t, "sync"); o.code != 0 || !strings.Contains(o.stdout, "server c.abc.com_cluster/server2") {
		t.Fatalf("beside the shadow: %s", o)
	}
	s.shadow.logs(t, 0, "no longer differs", "server=c.abc.com/server2")
	s.shadow.measures(t, "hapsync_shadow_changes 0", "hapsync_shadow_differed_total 1")
	s.shadow.terminate(t)
}

func TestAShadowTellsApartWhatKeepsConfdFromActing(t *testing.T) {
	t.Parallel()
	s := startShadowing(t, latestHAProxy(t))
	s.look(t)
	moved := startHost(t, "moved")

	s.confd.stop()
	s.txn(t, addrOf(t, "a.abc.com/server2", moved.addr))
	s.tells(t, s.shadow, 0, "other tool", "has not been seen to change HAProxy yet")
	s.tells(t, s.shadow, 0, "unanswered", "a.abc.com/server2")

	s.box.master.end(t)
	s.shadow.unready(t, "haproxy")
	s.tells(t, s.shadow, 4, "reason", "haproxy")
	s.start(t)
	s.shadow.ready(t)
	s.tells(t, s.shadow, 0, "unanswered", "a.abc.com/server2")

	s.confd.start(t)
	s.comes(t, "a.abc.com", "server2", moved)
	s.shadow.measures(t, "hapsync_shadow_agreed_total 1", "hapsync_shadow_differed_total 0", "hapsync_shadow_changes 0")

	if _, err := s.box.runtime("set server a.abc.com_cluster/server1 state maint"); err != nil {
		t.Fatal(err)
	}
	s.tells(t, s.shadow, 0, "override", "a.abc.com/server1", "maint on the socket")
	s.shadow.measures(t, "hapsync_shadow_differed_total 0", "hapsync_shadow_changes 0")
}

func TestAShadowWritesNothingToEtcd(t *testing.T) {
	t.Parallel()
	b := startABC(t, latestHAProxy(t))
	conf := embed.NewConfig()
	conf.Dir = t.TempDir()
	conf.UnsafeNoFsync = true
	server, err := startEmbedded(conf, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	endpoint := server.Clients[0].Addr().String()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if _, err := client.Put(t.Context(), b.prefix+"/a.abc.com/server1", b.a1.addr); err != nil {
		t.Fatal(err)
	}
	got, err := client.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	a := b.startAgent(t, "--shadow", "--endpoints", "http://"+endpoint)
	a.ready(t)
	eventually(t, "the shadow has looked some times", func() error {
		if n, err := a.metric("hapsync_passes_total"); err != nil || n < 3 {
			return fmt.Errorf("%v, %w", n, err)
		}
		return nil
	})
	if o := b.hapsync(t, "agents", "--endpoints", "http://"+endpoint); strings.Contains(o.stdout, a.listen) || strings.Contains(o.stdout, "lb") {
		t.Errorf("it is among the agents: %s", o)
	}
	after, err := client.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	leases, err := client.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after.Header.Revision != got.Header.Revision || len(leases.Leases) > 0 {
		t.Errorf("etcd was at revision %d, and is at %d with %d leases", got.Header.Revision, after.Header.Revision, len(leases.Leases))
	}
}
