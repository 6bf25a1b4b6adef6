package etcd

import (
	"context"
	"errors"
	"slices"
	"strings"
	stdsync "sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/hapsync/hapsync/registry"
)

// errLearner is a learner's answer to any request.
var errLearner = rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner)

// tryNextMember reports whether another member may carry out a request that this one refused before it began: this one is a
// learner, has no leader, is overloaded, or is not etcd. (A proxy may have passed a write on before it failed. To repeat it does
// no harm: a transaction compares again, and a lease that is not kept alive ends.)
func tryNextMember(err error) bool {
	err = rpctypes.Error(err)
	return errors.Is(err, errLearner) || errors.Is(err, rpctypes.ErrNoLeader) || errors.Is(err, rpctypes.ErrTooManyRequests) || notEtcd(err)
}

// notEtcd reports whether an endpoint speaks HTTP/2, but not etcd's protocol: a web server, a proxy whose etcd is away, or
// another program with gRPC. The first three texts are gRPC's for an answer without gRPC, the last one is that of a gRPC server.
func notEtcd(err error) bool {
	text := status.Convert(err).Message()
	return slices.ContainsFunc([]string{
		"unexpected HTTP status code received from server", "malformed header: missing HTTP", "transport: received unexpected content-type",
		"unknown service etcdserverpb.",
	}, func(start string) bool { return strings.HasPrefix(text, start) })
}

// denied reports whether the user has no permission.
func denied(err error) bool { return errors.Is(err, rpctypes.ErrPermissionDenied) }

// unwritable reports whether etcd answers, but refuses a put. It may still allow a delete.
func unwritable(err error) bool {
	return errors.Is(err, rpctypes.ErrNoSpace) || denied(err)
}

// answered reports whether etcd sent the error.
func answered(err error) bool {
	var sent rpctypes.EtcdError
	return errors.As(err, &sent)
}

// memberPauses are the pauses before the next member is asked; none for one endpoint. The connections to the others may not be
// up yet.
func (c *Client) memberPauses() []time.Duration {
	const first, longest, least = time.Millisecond, 160 * time.Millisecond, 10
	if len(c.conf.Endpoints) == 1 {
		return nil
	}
	pauses := make([]time.Duration, max(least, 2*len(c.conf.Endpoints)))
	for i := range pauses {
		pauses[i] = min(first<<i, longest)
	}
	return pauses
}

// askNext calls ask until a member takes the request. gRPC sends each call to the next connected member.
func (c *Client) askNext(ctx context.Context, ask func() error) error {
	err := ask()
	for _, pause := range c.memberPauses() {
		if !tryNextMember(err) || wait(ctx, pause) != nil {
			break
		}
		err = ask()
	}
	return err
}

// intercept retries a request on the next member, and notes its error.
func (c *Client) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	return c.askNext(ctx, func() error {
		err := invoke(ctx, method, req, reply, cc, opts...)
		if err == nil {
			err = sameCluster(ctx, reply)
		}
		c.last.note(err)
		if own, ok := ctx.Value(ownError{}).(*lastError); ok {
			own.note(err)
		}
		return err
	})
}

// ownError is the key of a context for a lastError of one request, beside that of all requests.
type ownError struct{}

// A Member is the status of the member at an endpoint.
type Member struct {
	Endpoint string
	// Err is why the member does not answer; then the rest is empty.
	Err error
	// Cluster is the ID of its cluster.
	Cluster uint64
	// Learner is set for a member that answers no requests until it is promoted.
	Learner bool
	// NoLeader is set for a member without a leader.
	NoLeader bool
	// Alarms are those of the cluster, such as NOSPACE.
	Alarms []string
}

// Members asks each endpoint for its status.
func (c *Client) Members(ctx context.Context) []Member {
	members := make([]Member, len(c.conf.Endpoints))
	var asking stdsync.WaitGroup
	for i, endpoint := range c.conf.Endpoints {
		asking.Go(func() { members[i] = c.member(ctx, endpoint) })
	}
	asking.Wait()
	return members
}

func (c *Client) member(ctx context.Context, endpoint string) Member {
	m := Member{Endpoint: endpoint}
	ctx, cancel := context.WithTimeout(ctx, c.conf.DialTimeout)
	defer cancel()
	client, err := c.connected(ctx)
	if err != nil {
		m.Err = err
		return m
	}
	last := new(lastError)
	status, err := client.Status(context.WithValue(ctx, ownError{}, last), endpoint)
	if err != nil {
		m.Err = errors.New(c.why(last.cause(rpctypes.Error(err))))
		return m
	}
	m.Cluster = status.Header.GetClusterId()
	m.Learner, m.NoLeader = status.IsLearner, status.Leader == 0
	for _, text := range status.Errors { // as "memberID:1 alarm:NOSPACE "
		if _, alarm, ok := strings.Cut(text, "alarm:"); ok {
			m.Alarms = append(m.Alarms, registry.OneLine(strings.TrimSpace(alarm)))
		}
	}
	slices.Sort(m.Alarms)
	m.Alarms = slices.Compact(m.Alarms)
	return m
}
