package netns

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// prefix is the one of docs/.
const prefix = "/services/web/"

// A member is a machine with an etcd.
type member struct {
	*machine
	dir string
	*harness.Process
}

func (m *member) client() string { return "http://" + m.ip + ":2379" }
func (m *member) peer() string   { return "http://" + m.ip + ":2380" }

// start starts the member of a cluster that is new, or that knows it already.
func (m *member) start(t *testing.T, state string, cluster []*member) {
	t.Helper()
	m.Process = m.machine.start(t, nil, programs.etcd, "--name", m.name, "--data-dir", m.dir,
		"--listen-client-urls", m.client(), "--advertise-client-urls", m.client(),
		"--listen-peer-urls", m.peer(), "--initial-advertise-peer-urls", m.peer(),
		"--initial-cluster", peers(cluster), "--initial-cluster-state", state, "--initial-cluster-token", "hapsync",
		"--unsafe-no-fsync", "--log-level", "error")
}

// peers is the list of members as --initial-cluster takes it.
func peers(cluster []*member) string {
	var words []string
	for _, m := range cluster {
		words = append(words, m.name+"="+m.peer())
	}
	return strings.Join(words, ",")
}

// answerTimeout is when a member that is cut off is given up; another one is asked then.
const answerTimeout = 3 * time.Second

// An etcd is a cluster of three members, and a client that knows them all.
type etcd struct {
	members []*member
	admin   *machine // where etcdctl runs
	*clientv3.Client
}

func newEtcd(t *testing.T, n *network, admin *machine) *etcd {
	t.Helper()
	e := &etcd{admin: admin}
	for i := range 3 {
		m := n.machine(t, fmt.Sprintf("etcd%d", i+1), 11+i)
		e.members = append(e.members, &member{machine: m, dir: filepath.Join(t.TempDir(), m.name)})
	}
	e.Client = e.client(t, e.members...)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// client is one that knows some of the members.
func (e *etcd) client(t *testing.T, members ...*member) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: strings.Split(endpoints(members), ","), Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(e.admin.dialTCP)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// endpoints are the client URLs of all members, as --endpoints takes them.
func (e *etcd) endpoints() string { return endpoints(e.members) }

func endpoints(members []*member) string {
	var urls []string
	for _, m := range members {
		urls = append(urls, m.client())
	}
	return strings.Join(urls, ",")
}

// form starts the three members at once.
func (e *etcd) form(t *testing.T) {
	t.Helper()
	for _, m := range e.members {
		m.start(t, "new", e.members)
	}
	e.healthy(t)
}

// healthy waits until every member answers.
func (e *etcd) healthy(t *testing.T) {
	t.Helper()
	for _, m := range e.members {
		m.Eventually(t, m.name+" is healthy", func() error {
			_, err := e.try(t, m, "endpoint", "health")
			return err
		})
	}
}

// try runs etcdctl with one member.
func (e *etcd) try(t *testing.T, at *member, args ...string) (string, error) {
	t.Helper()
	return e.admin.output(e.admin.command(t.Context(), "etcdctl", append([]string{"--endpoints", at.client()}, args...)...))
}

// leader is the one of the members at hand that says it leads, as soon as there is one.
func (e *etcd) leader(t *testing.T, atHand ...*member) *member {
	t.Helper()
	var leader *member
	harness.Eventually(t, "there is a leader", func() error {
		for _, m := range atHand {
			status, err := e.status(t, m)
			if err != nil {
				return err
			}
			if status.Leader == status.Header.MemberId {
				leader = m
				return nil
			}
		}
		return fmt.Errorf("nobody of %d says that it leads", len(atHand))
	})
	return leader
}

// status is what a member says of itself and its cluster.
func (e *etcd) status(t *testing.T, m *member) (*clientv3.StatusResponse, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerTimeout)
	defer cancel()
	return e.Status(ctx, m.client())
}

// others are the members but one.
func (e *etcd) others(but *member) []*member {
	return slices.DeleteFunc(slices.Clone(e.members), func(m *member) bool { return m == but })
}

// put writes the two keys of a host ("a.abc.com/server1").
func (e *etcd) put(t *testing.T, host, ip string) {
	t.Helper()
	e.txn(t, clientv3.OpPut(prefix+host+"/ip", ip), clientv3.OpPut(prefix+host+"/port", "80"))
}

// remove deletes all that is below a host or a domain.
func (e *etcd) remove(t *testing.T, what string) {
	t.Helper()
	e.txn(t, clientv3.OpDelete(prefix+what+"/", clientv3.WithPrefix()))
}

func (e *etcd) txn(t *testing.T, ops ...clientv3.Op) {
	t.Helper()
	harness.Eventually(t, "etcd takes a write", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), answerTimeout)
		defer cancel()
		_, err := e.Txn(ctx).Then(ops...).Commit()
		return err
	})
}

// known are the keys that begin so, as one member knows them by itself.
func (e *etcd) known(t *testing.T, at *member, keys string) (*clientv3.GetResponse, error) {
	t.Helper()
	client := e.client(t, at)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), answerTimeout)
	defer cancel()
	return client.Get(ctx, keys, clientv3.WithPrefix(), clientv3.WithSerializable())
}

// agree waits until every member by itself knows what is put now: all have caught up.
func (e *etcd) agree(t *testing.T) {
	t.Helper()
	const key = "/agreed" // outside the prefix, where no agent looks
	value := rand.Text()
	e.txn(t, clientv3.OpPut(key, value))
	for _, m := range e.members {
		harness.Eventually(t, m.name+" has caught up", func() error {
			got, err := e.known(t, m, key)
			if err == nil && (len(got.Kvs) != 1 || string(got.Kvs[0].Value) != value) {
				err = fmt.Errorf("it knows %v", got.Kvs)
			}
			return err
		})
	}
}

// hosts are the hosts with their leases, a line each, as the first member knows them by itself.
func (e *etcd) hosts(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	harness.Eventually(t, e.members[0].name+" tells the hosts", func() error {
		got, err := e.known(t, e.members[0], prefix)
		if err != nil {
			return err
		}
		for _, kv := range got.Kvs {
			if name, ok := strings.CutSuffix(string(kv.Key), "/ip"); ok {
				fmt.Fprintf(&text, "%s %s lease %x since revision %d\n", strings.TrimPrefix(name, prefix), kv.Value, kv.Lease, kv.CreateRevision)
			}
		}
		return nil
	})
	return text.String()
}
