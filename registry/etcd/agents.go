package etcd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// Agents reads the reports below a prefix. Errors wrap ErrUnavailable, but for those of the context.
func (c *Client) Agents(ctx context.Context, prefix string) (registry.Roster, error) {
	var all registry.Roster
	root := prefix + "/"
	from, end, size := root, clientv3.GetPrefixRangeEnd(root), int64(reportsAtOnce)
	for {
		page, err := c.get(ctx, c.conf.DialTimeout, from, clientv3.WithRange(end), clientv3.WithLimit(size))
		if tooLarge(err) && size > 1 {
			size /= 2
			continue
		}
		if err != nil {
			return registry.Roster{}, c.explainRead(ctx, err, prefix)
		}
		for _, kv := range page.Kvs {
			c.addReport(&all, root, kv)
		}
		if !page.More || len(page.Kvs) == 0 {
			return all, nil
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}

// reportsAtOnce are read with one request.
const reportsAtOnce = 64

func (c *Client) addReport(all *registry.Roster, root string, kv *mvccpb.KeyValue) {
	report, err := registry.DecodeReport(strings.TrimPrefix(string(kv.Key), root), kv.Value)
	if err != nil && kv.Lease != 0 {
		all.Unreadable = append(all.Unreadable, fmt.Sprintf("%s: an agent lives there, and its report cannot be read: %v", registry.OneLine(strings.TrimPrefix(string(kv.Key), root)), err))
	}
	if err == nil && kv.Lease == 0 {
		// An agent's ends with its lease, this one never would.
		err = fmt.Errorf("the report has no lease, so that no living agent has written it, and --wait passes over it: `etcdctl del %s`", registry.OneLine(string(kv.Key)))
	}
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
