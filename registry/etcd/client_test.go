package etcd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/registrytest"
)

func TestSnapshotHasWhatIsBelowThePrefix(t *testing.T) {
	t.Parallel()
	at := started(t, etcds.plain)
	etcd := writer(t, at)
	prefix := etcds.prefix()
	put(t, etcd, prefix, `
		/services/web/a.abc.com/server1/ip 10.0.0.1
		/services/web/a.abc.com/server1/port 10000
		/services/web/a.abc.com/server2/port 10001
		/services/web/b.abc.com/server1/port abc
		/services/web itself
		/services/web2/c.abc.com/server1/ip 10.0.0.1
		/services/web-x/c.abc.com/server1/ip 10.0.0.1
		/services/web0 1
		/services 1
	`)
	last, err := etcd.Put(t.Context(), prefix+"/services/zzz", "1")
	if err != nil {
		t.Fatal(err)
	}
	s := snapshot(t, dial(t, Config{Endpoints: []string{at}, Prefix: prefix + "/services/web/"}))
	want := `a.abc.com
  server1 10.0.0.1:10000 weight=1 maxconn=0 backup=false ready
  server2 pending: no ip
b.abc.com
  server1 held
! /services/web
    the key is the prefix itself: only keys below it mean something, delete it
! /services/web/b.abc.com/server1/port
    port "abc" is not a number of 1 to 65535
    holds b.abc.com/server1
`
	if diff := cmp.Diff(want, strings.ReplaceAll(registrytest.Describe(s.Domains, s.Problems), prefix, "")); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
	if s.Keys != 4 || s.ClusterID != last.Header.ClusterId || int64(s.Revision) < last.Header.Revision {
		t.Errorf("have %d keys of cluster %x at %d; want 4 of %x at %d at least",
			s.Keys, s.ClusterID, s.Revision, last.Header.ClusterId, last.Header.Revision)
	}
}

func TestAWrongPrefixIsAnEmptySnapshot(t *testing.T) {
	t.Parallel()
	s := snapshot(t, dial(t, Config{Endpoints: []string{started(t, etcds.plain)}, Prefix: "/wrong"}))
	if len(s.Domains)+len(s.Problems)+s.Keys != 0 || s.Revision == 0 || s.ClusterID == 0 {
		t.Errorf("have %+v", s)
	}
}

func TestPagesNeitherSkipNorRepeatAKey(t *testing.T) {
	t.Parallel()
	at, prefix := started(t, etcds.plain), etcds.prefix()
	etcd := writer(t, at)
	for _, key := range []string{"/", "/a.com", "/a.com/check", "/a.com/check\x00", "/a.com/check\x00\x00", "/a.com/check/ip", "/a.com\xff", "/\xff\xff"} {
		mustPut(t, etcd, prefix+key, "tcp")
	}
	want := snapshot(t, dial(t, Config{Endpoints: []string{at}, Prefix: prefix}))
	for size := range 9 {
		have := snapshot(t, dial(t, Config{Endpoints: []string{at}, Prefix: prefix, PageSize: size}))
		if diff := cmp.Diff(registrytest.Describe(want.Domains, want.Problems), registrytest.Describe(have.Domains, have.Problems)); diff != "" || have.Keys != 8 {
			t.Errorf("pages of %d: %d keys, -want +have:\n%s", size, have.Keys, diff)
		}
	}
}

// A hookedKV calls the hook before each read, with its number.
type hookedKV struct {
	clientv3.KV
	reads int
	hook  func(ctx context.Context, read int) error
	seen  func(*clientv3.GetResponse)
}

// on wraps the client's KV.
func (kv *hookedKV) on(under clientv3.KV) clientv3.KV {
	kv.KV = under
	return kv
}

func (kv *hookedKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	kv.reads++
	if err := kv.hook(ctx, kv.reads); err != nil {
		return nil, err
	}
	page, err := kv.KV.Get(ctx, key, opts...)
	if kv.seen != nil && err == nil {
		kv.seen(page)
	}
	return page, err
}

// hosts writes n hosts with the same port, all in one revision.
func hosts(ctx context.Context, client *clientv3.Client, prefix string, n, port int) (int64, error) {
	var puts []clientv3.Op
	for i := range n {
		host := fmt.Sprintf("%s/a.com/server%02d/", prefix, i)
		puts = append(puts, clientv3.OpPut(host+"ip", "10.0.0.1"), clientv3.OpPut(host+"port", fmt.Sprint(port)))
	}
	done, err := client.Txn(ctx).Then(puts...).Commit()
	if err != nil {
		return 0, err
	}
	return done.Header.Revision, nil
}

func wantPort(t *testing.T, s registry.Snapshot, n, port int) {
	t.Helper()
	if len(s.Domains) != 1 || len(s.Domains[0].Hosts) != n || s.Keys != 2*n || len(s.Problems) != 0 {
		t.Fatalf("want %d hosts, have %s", n, registrytest.Describe(s.Domains, s.Problems))
	}
	for _, h := range s.Domains[0].Hosts {
		if int(h.Addr.Port()) != port {
			t.Fatalf("want port %d everywhere, have %s", port, registrytest.Describe(s.Domains, s.Problems))
		}
	}
}

func TestSnapshotIsOfOneRevisionThoughItIsWrittenBetweenItsPages(t *testing.T) {
	t.Parallel()
	at := started(t, etcds.plain)
	etcd, prefix := writer(t, at), etcds.prefix()
	revision, err := hosts(t.Context(), etcd, prefix, 20, 1)
	if err != nil {
		t.Fatal(err)
	}
	client := dial(t, Config{Endpoints: []string{at}, Prefix: prefix, PageSize: 7})
	kv := &hookedKV{hook: func(ctx context.Context, read int) error {
		if read == 1 {
			return nil
		}
		if _, err := etcd.Delete(ctx, prefix+"/a.com/server00/", clientv3.WithPrefix()); err != nil {
			return err
		}
		_, err := hosts(ctx, etcd, prefix, 20+read, read)
		return err
	}}
	client.wrapped = kv.on
	s := snapshot(t, client)
	wantPort(t, s, 20, 1)
	if s.Revision < registry.Revision(revision) || kv.reads != 7 { // 40 keys in 6 pages, and the prefix itself
		t.Errorf("have revision %d in %d reads; want %d or a little more in 7", s.Revision, kv.reads, revision)
	}
}

func TestSnapshotIsOfOneRevisionWhileAWriterGoesOn(t *testing.T) {
	t.Parallel()
	at := started(t, etcds.plain)
	etcd, prefix := writer(t, at), etcds.prefix()
	if _, err := hosts(t.Context(), etcd, prefix, 20, 1); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	wrote := make(chan error, 1)
	go func() {
		var err error
		for port := 2; err == nil; port++ {
			_, err = hosts(ctx, etcd, prefix, 20, port)
		}
		wrote <- err
	}()
	client := dial(t, Config{Endpoints: []string{at}, Prefix: prefix, PageSize: 7})
	var before registry.Revision
	for range 30 {
		s := snapshot(t, client)
		wantPort(t, s, 20, int(s.Domains[0].Hosts[0].Addr.Port()))
		if s.Revision < before {
			t.Errorf("revision %d after %d", s.Revision, before)
		}
		before = s.Revision
	}
	stop()
	if err := <-wrote; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSnapshotStartsAgainWhenItsRevisionIsCompacted(t *testing.T) {
	t.Parallel()
	at := started(t, etcds.other)
	etcd, prefix := writer(t, at), etcds.prefix()
	if _, err := hosts(t.Context(), etcd, prefix, 20, 1); err != nil {
		t.Fatal(err)
	}
	compact := func(ctx context.Context, port int) error {
		revision, err := hosts(ctx, etcd, prefix, 20, port)
		if err != nil {
			return err
		}
		_, err = etcd.Compact(ctx, revision)
		return err
	}
	client := dial(t, Config{Endpoints: []string{at}, Prefix: prefix, PageSize: 7})
	kv := &hookedKV{hook: func(ctx context.Context, read int) error {
		if read != 3 {
			return nil
		}
		return compact(ctx, read)
	}}
	client.wrapped = kv.on
	wantPort(t, snapshot(t, client), 20, 3)

	kv.hook = func(ctx context.Context, read int) error { return compact(ctx, read) }
	_, err := client.Snapshot(t.Context())
	wantError(t, err, "registry not reachable: etcd at "+at+": its revisions are compacted faster than they can be read")
}

func TestSnapshotIsRefusedWhereItsPagesAreOfTwoClusters(t *testing.T) {
	t.Parallel()
	at, prefix := started(t, etcds.plain), etcds.prefix()
	if _, err := hosts(t.Context(), writer(t, at), prefix, 20, 1); err != nil {
		t.Fatal(err)
	}
	client := dial(t, Config{Endpoints: []string{at}, Prefix: prefix, PageSize: 7})
	kv := &hookedKV{hook: func(context.Context, int) error { return nil }}
	kv.seen = func(page *clientv3.GetResponse) { page.Header.ClusterId += uint64(kv.reads / 3) }
	client.wrapped = kv.on
	_, err := client.Snapshot(t.Context())
	wantError(t, err, "registry not reachable: etcd at "+at+": the endpoints belong to different clusters")
}

func TestAMegabyteOfValueIsAProblemAndNoMore(t *testing.T) {
	t.Parallel()
	at := started(t, etcds.other)
	etcd := writer(t, at)
	prefix := etcds.prefix()
	put(t, etcd, prefix, `
		/a.com/server1/ip 10.0.0.1
		/a.com/server1/port 10000
	`)
	for i := range 20 { // more than a page takes
		mustPut(t, etcd, fmt.Sprintf("%s/a.com/x%02d/port", prefix, i), strings.Repeat("1", 1e6))
	}
	s := snapshot(t, dial(t, Config{Endpoints: []string{at}, Prefix: prefix}))
	if len(s.Domains) != 1 || len(s.Domains[0].Hosts) != 1 || len(s.Domains[0].HeldHosts) != 20 || s.Keys != 22 {
		t.Fatalf("have %s", registrytest.Describe(s.Domains, s.Problems))
	}
	want := `port "` + strings.Repeat("1", 64) + `"... is not a number of 1 to 65535`
	for _, p := range s.Problems {
		if p.Reason != want {
			t.Errorf("have %s\nwant %s", p.Reason, want)
		}
	}
}

func TestOneOfSeveralEndpointsIsEnough(t *testing.T) {
	t.Parallel()
	at := started(t, etcds.plain)
	client := dial(t, Config{Endpoints: []string{closedPort(t), silentPort(t), at}, Prefix: "/several"})
	for range 5 {
		snapshot(t, client)
	}
}

func TestAClientOutlivesARestartOfEtcd(t *testing.T) {
	t.Parallel()
	at := closedPort(t)
	dir := filepath.Join(t.TempDir(), "restarted")
	client := dial(t, Config{Endpoints: []string{at}, DialTimeout: 10 * time.Second})
	for range 2 {
		etcd, err := startEtcd(dir, url.URL{Scheme: "http", Host: at}, transport.TLSInfo{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Snapshot(t.Context())
		etcd.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAClientOutlivesTheRequestThatMadeItConnect(t *testing.T) {
	t.Parallel()
	for name, conf := range map[string]Config{
		"without a user": {Endpoints: []string{started(t, etcds.plain)}},
		"with a login":   {Endpoints: []string{started(t, etcds.auth)}, User: "reader", Password: "s:cret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := dial(t, conf)
			ctx, cancel := context.WithCancel(t.Context())
			if _, err := client.Snapshot(ctx); err != nil {
				t.Fatal(err)
			}
			cancel()
			snapshot(t, client)
		})
	}
}

func TestAClientIsMadeWhileEtcdIsAwayAndLogsInWhenItIsThere(t *testing.T) {
	t.Parallel()
	at := closedPort(t)
	client := dial(t, Config{Endpoints: []string{at}, User: "root", Password: "s3cret", DialTimeout: 5 * time.Second})
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var group stdsync.WaitGroup
	for range 4 { // requests that wait for one login
		group.Go(func() {
			if _, err := client.Snapshot(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("have %v", err)
			}
		})
	}
	group.Wait()
	etcd, err := startEtcd(filepath.Join(t.TempDir(), "late"), url.URL{Scheme: "http", Host: at}, transport.TLSInfo{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	admin := writer(t, "http://"+at)
	for _, do := range []func() error{
		func() error { _, err := admin.UserAdd(t.Context(), "root", "s3cret"); return err },
		func() error { _, err := admin.UserGrantRole(t.Context(), "root", "root"); return err },
		func() error { _, err := admin.AuthEnable(t.Context()); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		snapshot(t, client)
	}
}
