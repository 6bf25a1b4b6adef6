package etcd

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/etcdmain"

	"github.com/hapsync/hapsync/registry"
)

// etcdArgs is the variable with etcd's arguments, separated by spaces, if the test binary must run as etcd.
const etcdArgs = "HAPSYNC_TEST_ETCD"

// beEtcd runs etcd or its grpc-proxy if this process was started for that; then it does not return.
func beEtcd() {
	if args, there := os.LookupEnv(etcdArgs); there {
		os.Args = append([]string{"etcd"}, strings.Fields(args)...) // where the proxy reads them
		etcdmain.Main(os.Args)
	}
}

// An etcdProcess is etcd, or its grpc-proxy, as a process of its own.
type etcdProcess struct {
	cmd *exec.Cmd
	url string
}

// startProcess starts etcd, or its proxy, on an address that is free.
func startProcess(t testing.TB, args func(addr string) string) *etcdProcess {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	p := &etcdProcess{cmd: exec.Command(os.Args[0]), url: "http://" + addr}
	p.cmd.Env = append(os.Environ(), etcdArgs+"="+args(addr))
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	return p
}

// cpu is what the process has used.
func (p *etcdProcess) cpu(t testing.TB) time.Duration {
	t.Helper()
	if p == nil {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// megabytes are resident.
func (p *etcdProcess) megabytes(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return pages * os.Getpagesize() >> 20
}

// startProxy starts a grpc-proxy of etcd.
func startProxy(t testing.TB, etcd string) *etcdProcess {
	t.Helper()
	return startProcess(t, func(addr string) string {
		return fmt.Sprintf("grpc-proxy start --endpoints %s --listen-addr %s --data-dir %s", etcd, addr, filepath.Join(t.TempDir(), "proxy"))
	})
}

// TestThroughAProxyOfEtcdAHostIsRegisteredAndFollowed has an agent and a host that know only the proxy, which assigns its own
// watch ids.
func TestThroughAProxyOfEtcdAHostIsRegisteredAndFollowed(t *testing.T) {
	t.Parallel()
	at, prefix := started(t, etcds.plain), etcds.prefix()
	conf := Config{Endpoints: []string{startProxy(t, at).url}, Prefix: prefix}
	etcd := writer(t, at)
	f := follow(t, dial(t, conf))
	f.shows(t, "")
	other := follow(t, dial(t, conf)) // the proxy lets both share a watch
	other.shows(t, "")
	g := register(t, dial(t, conf), etcd, server1())
	f.shows(t, "a.abc.com\n  server1 10.0.0.1:10000 weight=1 maxconn=0 backup=false ready\n")
	for _, port := range []string{"1", "2", "3"} {
		put(t, etcd, prefix, "/b.abc.com/s1/ip 10.0.0.2\n/b.abc.com/s1/port "+port)
		told := f.shows(t, "a.abc.com\n  server1 10.0.0.1:10000 weight=1 maxconn=0 backup=false ready\nb.abc.com\n  s1 10.0.0.2:"+port+" weight=1 maxconn=0 backup=false ready\n")
		page, err := etcd.Get(t.Context(), prefix+"/b.abc.com/s1/port")
		if last := told[len(told)-1].Snapshot.Revision; err != nil || int64(last) != page.Kvs[0].ModRevision {
			t.Errorf("the snapshot is of revision %d, the put of %d, %v", last, page.Kvs[0].ModRevision, err)
		}
	}
	if _, err := etcd.Put(t.Context(), prefix, "the key that is the prefix"); err != nil {
		t.Fatal(err)
	}
	f.until(t, "the key that is the prefix is seen", func(told []registry.Update, _ []error) bool {
		return len(told[len(told)-1].Snapshot.Problems) == 1
	})
	if _, err := etcd.Delete(t.Context(), prefix); err != nil {
		t.Fatal(err)
	}
	g.leave(t, 0)
	for _, f := range []*following{f, other} {
		f.shows(t, "b.abc.com\n  s1 10.0.0.2:3 weight=1 maxconn=0 backup=false ready\n")
		if _, lost := f.all(); len(lost) > 0 {
			t.Errorf("it was lost: %v", lost)
		}
	}
}
