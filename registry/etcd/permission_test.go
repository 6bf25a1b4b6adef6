package etcd

import (
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// startTeam returns an etcd where the user team may do everything with the keys of a.abc.com, and root's client.
func startTeam(t *testing.T) (at string, root *clientv3.Client) {
	t.Helper()
	at = closedPort(t)
	etcd, err := startEtcd(filepath.Join(t.TempDir(), "grants"), url.URL{Scheme: "http", Host: at}, transport.TLSInfo{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	admin := writer(t, "http://"+at)
	for _, do := range []func() error{
		func() error { _, err := admin.UserAdd(t.Context(), "root", "s3cret"); return err },
		func() error { _, err := admin.UserGrantRole(t.Context(), "root", "root"); return err },
		func() error { _, err := admin.UserAdd(t.Context(), "team", "s3cret"); return err },
		func() error { _, err := admin.RoleAdd(t.Context(), "team"); return err },
		func() error {
			_, err := admin.RoleGrantPermission(t.Context(), "team", teamKeys, clientv3.GetPrefixRangeEnd(teamKeys), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := admin.UserGrantRole(t.Context(), "team", "team"); return err },
		func() error { _, err := admin.AuthEnable(t.Context()); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	root, err = clientv3.New(clientv3.Config{Endpoints: []string{at}, Username: "root", Password: "s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return at, root
}

const teamKeys = registry.DefaultPrefix + "/a.abc.com/"

func TestATeamHasWhatItMayAndIsToldTheNarrowGrantForTheRest(t *testing.T) {
	t.Parallel()
	at, root := startTeam(t)
	client := dial(t, Config{Endpoints: []string{at}, User: "team", Password: "s3cret"})
	g := register(t, client, root, server1())
	g.comes(t, ready)
	if s, err := client.Domain(t.Context(), "A.abc.com"); err != nil || len(s.Domains) != 1 || s.Keys != 3 || len(s.Domains[0].Hosts) != 1 {
		t.Errorf("its own domain: %+v, %v", s, err)
	}
	_, err := client.Domain(t.Context(), "b.abc.com")
	wantError(t, err, `user "team" may not read below /services/web/b.abc.com/: grant it with`+
		" `etcdctl role grant-permission <role> read /services/web/b.abc.com/ --prefix`")
	_, err = client.Keys(t.Context(), "b.abc.com")
	wantError(t, err, "<role> read /services/web/b.abc.com/ --prefix`")
	_, err = client.SetHost(t.Context(), "b.abc.com", "server1", "weight", "7")
	wantError(t, err, "<role> readwrite /services/web/b.abc.com/ --prefix`")

	conf := server1()
	conf.Domain = "b.abc.com"
	other := register(t, client, root, conf)
	err = other.refused()
	wantError(t, err, `user "team" may not write below /services/web/b.abc.com/: grant it with`+
		" `etcdctl role grant-permission <role> readwrite /services/web/b.abc.com/ --prefix`")
	if !errors.Is(err, registry.ErrUnavailable) {
		t.Error("it is not ErrUnavailable")
	}
	conf.Patient = true
	said := new(buffer)
	conf.Logger = slog.New(slog.NewTextHandler(said, nil))
	register(t, client, root, conf)
	until(t, "a patient host says why it waits", func() bool { return strings.Contains(said.String(), "readwrite /services/web/b.abc.com/") })

	reports := make(chan registry.AgentReport, 1)
	reports <- registry.AgentReport{Prefix: registry.DefaultPrefix}
	go client.Announce(t.Context(), AnnounceConfig{Prefix: registry.DefaultReportPrefix, Name: "box1", Logger: conf.Logger}, reports)
	until(t, "the agent says which key it may not write", func() bool {
		return strings.Contains(said.String(), "<role> readwrite /hapsync/agents/box1`")
	})
}

func TestAHostWhosePermissionIsTakenAwayLeavesOrSaysWhy(t *testing.T) {
	t.Parallel()
	at, root := startTeam(t)
	client := dial(t, Config{Endpoints: []string{at}, User: "team", Password: "s3cret"})
	conf := server1()
	conf.TTL = time.Hour
	g := register(t, client, root, conf)
	g.comes(t, ready)
	g.end()
	if _, err := root.RoleRevokePermission(t.Context(), "team", teamKeys, clientv3.GetPrefixRangeEnd(teamKeys)); err != nil {
		t.Fatal(err)
	}
	if err := g.Leave(t.Context(), time.Minute); err != nil {
		wantError(t, err, `user "team" may not write`)
	} else if keys, _ := g.keys(t); keys != "" {
		t.Errorf("it is still there: %s", keys)
	}
}

func TestAUserThatIsTheNameInACertificateIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := writeCertificates(dir); err != nil {
		t.Fatal(err)
	}
	path := filesIn(t, dir)
	etcd, err := startEtcd(filepath.Join(dir, "named"), url.URL{Scheme: "https", Host: "127.0.0.1:0"}, transport.TLSInfo{
		CertFile: path("server.crt"), KeyFile: path("server.key"), TrustedCAFile: path("ca.crt"), ClientCertAuth: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	conf := Config{Endpoints: []string{"https://" + etcd.Clients[0].Addr().String()}, CACert: path("ca.crt"), Cert: path("client.crt"), Key: path("client.key")}
	client := dial(t, conf)
	snapshot(t, client)
	admin := client.etcd.Load()
	for _, do := range []func() error{
		func() error { _, err := admin.UserAdd(t.Context(), "root", "s3cret"); return err },
		func() error { _, err := admin.UserGrantRole(t.Context(), "root", "root"); return err },
		func() error { _, err := admin.UserAdd(t.Context(), "client", "s3cret"); return err },
		func() error { _, err := admin.AuthEnable(t.Context()); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	named := "the user of the certificate " + conf.Cert + ` ("client") may not `
	_, err = client.Snapshot(t.Context())
	wantError(t, err, named+"read /services/web/: grant it with `etcdctl role grant-permission")
	_, err = client.SetHost(t.Context(), "a.abc.com", "server1", "weight", "7")
	wantError(t, err, named+"write below /services/web/a.abc.com/: grant it")
}
