package etcd

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/hapsync/hapsync/registry"
)

// Agents reads the reports below a prefix. Errors wrap ErrUnavailable, except those of the context.
func (c *Client) Agents(ctx context.Context, prefix string) (registry.Roster, error) {
	var all registry.Roster
	root := prefix + "/"
	from, end, size := root, clientv3.GetPrefixRangeEnd(root), int64(reportPage)
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
			c.addReport(&all, root, kv, registry.Revision(page.Header.Revision))
		}
		if !page.More || len(page.Kvs) == 0 {
			return all, nil
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
}

// reportPage is how many reports one request reads.
const reportPage = 64

// addReport adds a report that was read at a revision.
func (c *Client) addReport(all *registry.Roster, root string, kv *mvccpb.KeyValue, at registry.Revision) {
	name := strings.TrimPrefix(string(kv.Key), root)
	report, err := registry.DecodeReport(name, kv.Value)
	if err != nil && kv.Lease != 0 {
		all.Unreadable = append(all.Unreadable,
			fmt.Sprintf("%s: an agent lives there, and its report cannot be read: %v", registry.OneLine(name), err))
	}
	if err == nil && kv.Lease == 0 {
		err = fmt.Errorf("the report has no lease, so that no living agent has written it, and --wait passes over it: `etcdctl del %s`",
			registry.OneLine(string(kv.Key)))
	}
	switch {
	case err != nil:
		all.Problems = append(all.Problems, registry.NewProblem(string(kv.Key), err))
	case report.Prefix != c.conf.Prefix:
		all.Others++
	default:
		report.Lease = kv.Lease
		if report.Heard > at { // the agent still tells of what was there before etcd was restored or replaced
			report.Applied, report.Reached, report.AppliedAt = 0, 0, time.Time{}
			report.Reason = cmp.Or(report.Reason, fmt.Sprintf("it has not read etcd since that was restored or replaced: it tells of revision %d", report.Heard))
		}
		all.Agents = append(all.Agents, report)
	}
}

// Heard is how long ago the agent last kept its lease alive, in seconds, by etcd's own clock. If its lease has ended, it is
// gone.
func (c *Client) Heard(ctx context.Context, a registry.AgentReport) (ago time.Duration, gone bool, err error) {
	left, whole, err := c.leaseTime(ctx, clientv3.LeaseID(a.Lease))
	if err != nil {
		return 0, false, c.explain(ctx, err)
	}
	return max(0, whole-left), whole == 0, nil
}

// LastChange is the revision of the last change below the client's prefix, apart from deletions. It is 0 if there is no key.
func (c *Client) LastChange(ctx context.Context) (registry.Revision, error) {
	newest := append(clientv3.WithLastRev(), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	page, err := c.get(ctx, c.conf.DialTimeout, c.conf.Prefix+"/", newest...)
	if err != nil {
		return 0, c.explain(ctx, err)
	}
	if len(page.Kvs) == 0 {
		return 0, nil
	}
	return registry.Revision(page.Kvs[0].ModRevision), nil
}
