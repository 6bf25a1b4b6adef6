package registry

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A Roster is the agents that live: the key of each ends with its lease.
type Roster struct {
	// Agents follow the client's prefix; they are sorted by name. Others is the number of those that follow another one.
	Agents []AgentReport
	Others int
	// Problems are keys that are no report.
	Problems []Problem
}

// CheckReportPrefix returns the prefix without a slash at its end, or what is wrong with it for those who follow services.
func CheckReportPrefix(prefix, services string) (string, error) {
	prefix, err := checkPrefix(prefix)
	if err != nil {
		return "", err
	}
	services = strings.TrimRight(services, "/")
	if strings.HasPrefix(prefix+"/", services+"/") || strings.HasPrefix(services+"/", prefix+"/") {
		return "", fmt.Errorf("%s and the prefix %s of the services overlap: give one such as %s", quote(prefix), quote(services), DefaultReportPrefix)
	}
	return prefix, nil
}

// Agents reads the reports below a prefix. Errors wrap ErrUnavailable, but for those of the context.
func (c *Client) Agents(ctx context.Context, prefix string) (Roster, error) {
	root := prefix + "/"
	page, err := c.get(ctx, c.conf.DialTimeout, root, clientv3.WithPrefix())
	if err != nil {
		return Roster{}, c.explainRead(ctx, err, prefix)
	}
	var all Roster
	for _, kv := range page.Kvs {
		report, err := decodeReport(strings.TrimPrefix(string(kv.Key), root), kv.Value)
		switch {
		case err != nil:
			all.Problems = append(all.Problems, newProblem(string(kv.Key), err))
		case report.Prefix != c.conf.Prefix:
			all.Others++
		default:
			report.lease = clientv3.LeaseID(kv.Lease)
			all.Agents = append(all.Agents, report)
		}
	}
	return all, nil
}

// Heard is how long ago etcd has heard from the agent, to the second and by etcd's own clock. An agent whose lease has ended
// since its report was read is gone.
func (c *Client) Heard(ctx context.Context, a AgentReport) (ago time.Duration, gone bool, err error) {
	left, whole, err := c.timeOf(ctx, a.lease)
	if err != nil {
		return 0, false, c.explain(ctx, err)
	}
	return max(0, whole-left), whole == 0, nil
}

// LastChange is the revision of the last change of a key below the client's prefix that is still there: deletions do not
// show. It is 0 where there is no key.
func (c *Client) LastChange(ctx context.Context) (Revision, error) {
	page, err := c.get(ctx, c.conf.DialTimeout, c.conf.Prefix+"/", append(clientv3.WithLastRev(), clientv3.WithPrefix(), clientv3.WithKeysOnly())...)
	if err != nil {
		return 0, c.explain(ctx, err)
	}
	if len(page.Kvs) == 0 {
		return 0, nil
	}
	return Revision(page.Kvs[0].ModRevision), nil
}
