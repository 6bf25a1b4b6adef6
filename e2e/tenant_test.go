package e2e

import (
	"errors"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestATenantSeesItsOwnDomain has a user who may read and write the keys of one domain, and no others.
func TestATenantSeesItsOwnDomain(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	g.etcd.put(t, g.box, addrOf(t, "b.abc.com/server9", g.a1.addr))
	root, own := g.etcd.client, g.prefix+"/a.abc.com/"
	err := errors.Join(
		second(root.UserAdd(t.Context(), "shop", "s3cret")),
		second(root.RoleAdd(t.Context(), "shop")),
		second(root.RoleGrantPermission(t.Context(), "shop", own, clientv3.GetPrefixRangeEnd(own), clientv3.PermissionType(clientv3.PermReadWrite))),
		second(root.UserGrantRole(t.Context(), "shop", "shop")))
	if err != nil {
		t.Fatal(err)
	}
	g.env = append(g.env, "HAPSYNC_USER=shop", "HAPSYNC_PASSWORD=s3cret")
	for _, command := range [][]string{{"list", "--domain", "a.abc.com"}, {"explain", "a.abc.com"}, {"explain", "a.abc.com/server1"}} {
		o := g.must(t, command...)
		says(t, o.stdout, "server1")
		if strings.Contains(o.stdout, "server9") || strings.Contains(o.stdout, "b.abc.com") {
			t.Errorf("%v shows others: %s", command, o)
		}
	}
	says(t, g.must(t, "explain", "a.abc.com/server1").stdout, "in rotation: a.abc.com/server1")
	g.must(t, "maint", "a.abc.com/server1")
	eventually(t, "HAProxy has it in maintenance", func() error {
		if o := g.hapsync(t, "explain", "a.abc.com/server1"); o.code != 7 || !strings.Contains(o.stdout, "in maintenance") {
			return errors.New(o.String())
		}
		return nil
	})

	says(t, g.exits(t, 3, "list").stderr, "may not read "+g.prefix+"/", "--domain")
	const grant = "etcdctl role grant-permission <role> "
	for _, command := range []string{"list --domain b.abc.com", "explain b.abc.com"} {
		says(t, g.exits(t, 3, strings.Fields(command)...).stderr, "may not read below "+g.prefix+"/b.abc.com/", grant+"read "+g.prefix+"/b.abc.com/ --prefix`")
	}
	says(t, g.exits(t, 3, "weight", "b.abc.com/server9", "7").stderr, grant+"readwrite "+g.prefix+"/b.abc.com/ --prefix`")
	says(t, g.exits(t, 3, "register", "--domain", "b.abc.com", "--host", "server8", "--ip", "127.0.0.1", "--port", "80").stderr, grant+"readwrite "+g.prefix+"/b.abc.com/ --prefix`")
	says(t, g.exits(t, 3, "agents").stderr, grant+"read "+g.reports()+"/ --prefix`")
}

func second[T any](_ T, err error) error { return err }
