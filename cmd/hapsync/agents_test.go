package main

import (
	"bytes"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestAgentsAreShownToAUserWhoMayNotReadTheServices(t *testing.T) {
	addr := freeAddr(t)
	server, _ := startEtcd(t, t.TempDir(), addr)
	s, ctx := server.Server, t.Context()
	lease, err := s.LeaseGrant(ctx, &etcdserverpb.LeaseGrantRequest{TTL: 60})
	if err != nil {
		t.Fatal(err)
	}
	report := `{"version":1,"prefix":"/services/web","heard":9,"applied":7,"behind_seconds":3}`
	reports := &authpb.Permission{PermType: authpb.READ, Key: []byte("/hapsync/agents/"), RangeEnd: []byte("/hapsync/agents0")}
	for _, do := range []func() error{
		func() error {
			_, err := s.Put(ctx, &etcdserverpb.PutRequest{Key: []byte("/hapsync/agents/box1"), Value: []byte(report), Lease: lease.ID})
			return err
		},
		func() error {
			_, err := s.Put(ctx, &etcdserverpb.PutRequest{Key: []byte("/hapsync/agents/odd"), Value: []byte("?")})
			return err
		},
		func() error {
			_, err := s.UserAdd(ctx, &etcdserverpb.AuthUserAddRequest{Name: "root", Password: "s3cret", Options: &authpb.UserAddOptions{}})
			return err
		},
		func() error {
			_, err := s.UserGrantRole(ctx, &etcdserverpb.AuthUserGrantRoleRequest{User: "root", Role: "root"})
			return err
		},
		func() error {
			_, err := s.UserAdd(ctx, &etcdserverpb.AuthUserAddRequest{Name: "team", Password: "s3cret", Options: &authpb.UserAddOptions{}})
			return err
		},
		func() error { _, err := s.RoleAdd(ctx, &etcdserverpb.AuthRoleAddRequest{Name: "team"}); return err },
		func() error {
			_, err := s.RoleGrantPermission(ctx, &etcdserverpb.AuthRoleGrantPermissionRequest{Name: "team", Perm: reports})
			return err
		},
		func() error {
			_, err := s.UserGrantRole(ctx, &etcdserverpb.AuthUserGrantRoleRequest{User: "team", Role: "team"})
			return err
		},
		func() error { _, err := s.AuthEnable(ctx, &etcdserverpb.AuthEnableRequest{}); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	p := new(bench).program(&stdout, &stderr)
	if code := p.run(ctx, []string{"hapsync", "agents", "--endpoints", addr, "--user", "team:s3cret"}); code != exitOK {
		t.Fatalf("code %d: %s", code, &stderr)
	}
	p.dial = dial
	stderr.Reset()
	if code := p.run(ctx, []string{"hapsync", "list", "--answers", "--endpoints", addr, "--user", "team:s3cret"}); code != exitOK {
		t.Errorf("list --answers of a user who may not read the domain: code %d: %s", code, &stderr)
	}
	if code := p.run(ctx, []string{"hapsync", "list", "--answers", "--endpoints", addr, "--user", "team:wrong"}); code != exitRegistry {
		t.Errorf("list --answers with a wrong password: code %d: %s", code, &stderr)
	}
	wantContains(t, "agents", stdout.String(), "box1", "over 3s", "revision 9 below /services/web, 1 agent; this user of etcd may not read /services/web")

	stdout.Reset()
	args := []string{"hapsync", "agents", "--endpoints", addr, "--user", "team:s3cret", "--prefix", "/other"}
	if code := p.run(ctx, args); code != exitOK {
		t.Errorf("of a prefix without agents: code %d: %s", code, &stderr)
	}
	wantContains(t, "agents of a prefix without agents", stdout.String(), "problem  /hapsync/agents/odd: ", "unknown revision below /other, 0 agents; 1 more of other prefixes; this user")
	stdout.Reset()
	if code := p.run(ctx, append(args, "-o", "json")); code != exitOK || !strings.Contains(stdout.String(), `"denied": true`) {
		t.Errorf("as JSON: code %d: %s", code, &stdout)
	}
	wantContains(t, "agents as JSON", stdout.String(), `"key": "/hapsync/agents/odd"`, `"reason": "`)
}
