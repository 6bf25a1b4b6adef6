package e2e

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// soon makes an agent look at everything again every second, which it else does every minute.
var soon = []string{"--resync", "1s"}

func TestAgentBringsARestartedHAProxyInLine(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, a := startFollowed(t, h)
		moved, fresh := startHost(t, "moved"), startHost(t, "fresh")

		b.master.end(t) // by SIGKILL
		b.txn(t, addrOf(t, "a.abc.com/server1", moved.addr))
		a.unready(t, "haproxy")
		b.start(t) // as its supervisor does
		b.comes(t, "a.abc.com", "server1", moved)
		a.ready(t)
		b.settles(t)

		b.txn(t, addrOf(t, "a.abc.com/server1", b.a1.addr))
		b.comes(t, "a.abc.com", "server1", b.a1)
		b.master.end(t) // the file may not have followed yet
		b.start(t)
		b.register(t, "c.abc.com/server1", fresh.addr)
		b.comes(t, "c.abc.com", "server1", fresh)
		b.comes(t, "a.abc.com", "server1", b.a1)
		b.settles(t)
		a.ready(t)
	})
}

func TestAgentBringsAHAProxyInLineThatSomeoneElseReloads(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, a := startFollowed(t, h, soon...)
		moved := startHost(t, "moved")
		for range 3 {
			b.txn(t, addrOf(t, "a.abc.com/server1", moved.addr))
			b.comes(t, "a.abc.com", "server1", moved)
			b.reload(t) // with the file as it was, or as it is going to be
			b.comes(t, "a.abc.com", "server1", moved)
			b.settles(t)
			b.comes(t, "a.abc.com", "server1", moved)

			b.txn(t, addrOf(t, "a.abc.com/server1", b.a1.addr))
			b.comes(t, "a.abc.com", "server1", b.a1)
			b.reload(t)
			b.comes(t, "a.abc.com", "server1", b.a1)
		}
		b.settles(t)
		a.ready(t)
	})
}

func TestAgentKeepsLinesOfAnOperatorsAndRepairsItsOwn(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, a := startFollowed(t, h, soon...)
		const rule = "    http-request set-header X-Edited yes\n"
		operator(t, b.managedFile, "frontend webin\n", "frontend webin\n"+rule)
		operator(t, b.managedFile, b.a1.addr, "127.0.0.9:9")
		eventually(t, "the server's line is repaired", func() error {
			if text := read(t, b.managedFile); !strings.Contains(text, "server1 "+b.a1.addr) {
				return fmt.Errorf("the file is\n%s", text)
			}
			return nil
		})
		b.settles(t)
		if text := read(t, b.managedFile); strings.Count(text, rule) != 1 {
			t.Errorf("the operator's line is lost:\n%s", text)
		}
		b.comes(t, "a.abc.com", "server1", b.a1)

		for _, ours := range []string{
			"    acl is_b.abc.com hdr(host),host_only -i b.abc.com\n", "    use_backend b.abc.com_cluster if is_b.abc.com\n",
			"\nbackend b.abc.com_cluster\n    balance roundrobin\n    cookie SERVERID insert indirect nocache\n" +
				"    server server1 " + b.b1.addr + " cookie server1 check\n",
		} {
			operator(t, b.managedFile, ours, "")
		}
		b.reload(t)
		b.comes(t, "b.abc.com", "server1", b.b1)
		b.settles(t)
		a.ready(t)
	})
}

func TestAgentHoldsAnEmptyRegistryUntilConfirmed(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b, a := startFollowed(t, h, soon...)
		file, before := footprintOf(t, b.managedFile), b.generation(t)
		b.txn(t, nil, "")
		a.unready(t, "held", "no key below the prefix")
		for range 3 { // whole passes go by, and change nothing
			b.exits(t, 5, "plan")
		}
		b.serves(t, "a.abc.com", "server1", b.a1)
		b.serves(t, "b.abc.com", "", b.b1)
		if footprintOf(t, b.managedFile) != file {
			t.Errorf("the file was written:\n%s", read(t, b.managedFile))
		}
		b.notReloaded(t, before)

		b.must(t, "sync", "--allow-mass-removal")
		b.unknown(t, "a.abc.com")
		a.ready(t)
		b.settles(t)
		b.managed(t)
		b.register(t, "a.abc.com/server1", b.a1.addr)
		b.comes(t, "a.abc.com", "server1", b.a1)
	})
}

func TestAgentResumesWhereAHeldRegistryRecovers(t *testing.T) {
	t.Parallel()
	b, a := startFollowed(t, firstHAProxy(t))
	b.txn(t, nil, "")
	a.unready(t, "held", "no key below the prefix")
	moved := startHost(t, "moved")
	b.txn(t, addrOf(t, "a.abc.com/server1", moved.addr))
	b.txn(t, addrOf(t, "a.abc.com/server2", b.a2.addr))
	b.txn(t, addrOf(t, "b.abc.com/server1", b.b1.addr))
	b.comes(t, "a.abc.com", "server1", moved)
	a.ready(t)
	b.settles(t)
}

// An ownEtcd is one that a test may stop.
type ownEtcd struct {
	dir    string
	token  string // tells clusters apart; may be empty
	listen url.URL
	server *embed.Etcd
	client *clientv3.Client
}

// newEtcd starts one on an address that it keeps.
func newEtcd(t *testing.T) *ownEtcd {
	t.Helper()
	e := &ownEtcd{dir: t.TempDir(), listen: url.URL{Scheme: "http", Host: freeAddr(t)}}
	e.start(t)
	var err error
	if e.client, err = clientv3.New(clientv3.Config{Endpoints: []string{e.listen.Host}, Logger: zap.NewNop()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e.client.Close()
		e.stop()
	})
	return e
}

func (e *ownEtcd) start(t *testing.T) {
	t.Helper()
	conf := embed.NewConfig()
	conf.Dir = e.dir
	conf.BcryptCost = 4 // the least: a login is a second of work otherwise, under the race detector
	conf.InitialClusterToken = cmp.Or(e.token, conf.InitialClusterToken)
	var err error
	if e.server, err = startEmbedded(conf, e.listen.Host); err != nil {
		t.Fatalf("start etcd: %v", err)
	}
}

// stop may be called more than once.
func (e *ownEtcd) stop() {
	if e.server != nil {
		e.server.Close()
		e.server = nil
	}
}

func (e *ownEtcd) put(t *testing.T, b *box, puts map[string]string) {
	t.Helper()
	var ops []clientv3.Op
	for key, value := range puts {
		ops = append(ops, clientv3.OpPut(b.prefix+"/"+key, value))
	}
	if _, err := e.client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
		t.Fatalf("put %v: %v", puts, err)
	}
}

func TestAgentKeepsHAProxyAsItIsWhileEtcdIsAway(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		e := newEtcd(t)
		b := startBox(t, h)
		b.env = append(b.env, "HAPSYNC_ENDPOINTS="+e.listen.String())
		a1, moved := startHost(t, "a1"), startHost(t, "moved")
		e.put(t, b, addrOf(t, "a.abc.com/server1", a1.addr))
		a := b.startAgent(t, soon...)
		b.comes(t, "a.abc.com", "server1", a1)
		a.ready(t)
		b.settles(t)
		file, before := footprintOf(t, b.managedFile), b.generation(t)
		l := startLoad(t, b, "a.abc.com")

		e.stop()
		away := time.After(10 * time.Second)
		a.unready(t, "registry", e.listen.Host)
		began, used := time.Now(), a.cpu(t)
		<-away
		t.Logf("without etcd the agent used %s of CPU in %s", a.cpu(t)-used, time.Since(began).Round(time.Second))
		a.unready(t, "registry", e.listen.Host)
		b.serves(t, "a.abc.com", "server1", a1)
		if footprintOf(t, b.managedFile) != file {
			t.Errorf("the file was written:\n%s", read(t, b.managedFile))
		}
		b.notReloaded(t, before)
		follows := e.startWaiting(t, b)
		e.start(t)
		a.ready(t)
		e.put(t, b, addrOf(t, "a.abc.com/server1", moved.addr))
		b.comes(t, "a.abc.com", "server1", moved)
		b.settles(t)
		b.notReloaded(t, before)
		l.endsWithoutFailure(t)
		follows(t)
	})
}

// startWaiting starts an agent on a box of its own while etcd is away, and returns what checks, when etcd is back, that it
// follows the same registry as b.
func (e *ownEtcd) startWaiting(t *testing.T, b *box) (follows func(t *testing.T)) {
	t.Helper()
	other := newBox(t, b.haproxy)
	other.env = append(other.env, "HAPSYNC_ENDPOINTS="+e.listen.String(), "HAPSYNC_PREFIX="+b.prefix)
	other.prepare(t)
	other.start(t)
	file := footprintOf(t, other.managedFile)
	a := other.startAgent(t)
	a.unready(t, "the registry has not been read yet")
	if footprintOf(t, other.managedFile) != file {
		t.Errorf("the file was written:\n%s", read(t, other.managedFile))
	}
	return func(t *testing.T) {
		t.Helper()
		a.ready(t)
		other.settles(t)
	}
}

func TestAgentThatIsEndedLeavesHAProxyAsItIs(t *testing.T) {
	t.Parallel()
	b, a := startFollowed(t, firstHAProxy(t))
	moved := startHost(t, "moved")
	before := b.generation(t)
	b.txn(t, addrOf(t, "a.abc.com/server1", moved.addr))
	b.comes(t, "a.abc.com", "server1", moved)
	a.terminate(t)
	if a.Err != nil {
		t.Errorf("the agent ended with %v", a.Err)
	}
	b.serves(t, "a.abc.com", "server1", moved)
	b.serves(t, "b.abc.com", "", b.b1)
	b.notReloaded(t, before)
	if _, err := os.Stat(b.managedFile); err != nil {
		t.Error(err)
	}
	b.must(t, "sync") // nobody holds the lock
	b.inLine(t)
}
