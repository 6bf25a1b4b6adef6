package etcd

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// Agents reads the reports below a prefix. Errors wrap ErrUnavailable, but for those of the context.
func (c *Client) Agents(ctx context.Context, prefix string) (registry.Roster, error) {
	root := prefix + "/"
	page, err := c.get(ctx, c.conf.DialTimeout, root, clientv3.WithPrefix())
	if err != nil {
		return registry.Roster{}, c.explainRead(ctx, err, prefix)
	}
	var all registry.Roster
	for _, kv := range page.Kvs {
		report, err := registry.DecodeReport(strings.TrimPrefix(string(kv.Key), root), kv.Value)
		switch {
		case err != nil:
			all.Problems = append(all.Problems, registry.NewProblem(string(kv.Key), err))
		case report.Prefix != c.conf.Prefix:
			all.Others++
		default:
			report.Lease = kv.Lease
			all.Agents = append(all.Agents, report)
		}
	}
	return all, nil
}

// Heard is how long ago etcd has heard from the agent, to the second and by etcd's own clock. An agent whose lease has ended
// since its report was read is gone.
func (c *Client) Heard(ctx context.Context, a registry.AgentReport) (ago time.Duration, gone bool, err error) {
	left, whole, err := c.timeOf(ctx, clientv3.LeaseID(a.Lease))
	if err != nil {
		return 0, false, c.explain(ctx, err)
	}
	return max(0, whole-left), whole == 0, nil
}

// LastChange is the revision of the last change of a key below the client's prefix that is still there: deletions do not
// show. It is 0 where there is no key.
func (c *Client) LastChange(ctx context.Context) (registry.Revision, error) {
	page, err := c.get(ctx, c.conf.DialTimeout, c.conf.Prefix+"/", append(clientv3.WithLastRev(), clientv3.WithPrefix(), clientv3.WithKeysOnly())...)
	if err != nil {
		return 0, c.explain(ctx, err)
	}
	if len(page.Kvs) == 0 {
		return 0, nil
	}
	return registry.Revision(page.Kvs[0].ModRevision), nil
}
