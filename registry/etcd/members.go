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

	"github.com/hapsync/hapsync/registry"
)

// errLearner is the answer of a member that only learns.
var errLearner = rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner)

// elsewhere reports whether another member may answer what one has refused, and has not begun to do: a learner, a member that has
// lost the others, one with too much to do.
func elsewhere(err error) bool {
	err = rpctypes.Error(err)
	return errors.Is(err, errLearner) || errors.Is(err, rpctypes.ErrNoLeader) || errors.Is(err, rpctypes.ErrTooManyRequests)
}

// denied reports whether the user may not do what was asked.
func denied(err error) bool { return errors.Is(err, rpctypes.ErrPermissionDenied) }

// unwritable reports whether etcd answers, but does not let a key be put. It may let it be deleted.
func unwritable(err error) bool {
	return errors.Is(err, rpctypes.ErrNoSpace) || denied(err)
}

// answered reports whether the error is one that etcd has sent.
func answered(err error) bool {
	var sent rpctypes.EtcdError
	return errors.As(err, &sent)
}

// turns are the pauses after which the next member is asked; one endpoint has none. The connections to the others may be on their
// way still.
func (c *Client) turns() []time.Duration {
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

// askNext calls ask until a member takes the request. Each call goes to the next one that is connected.
func (c *Client) askNext(ctx context.Context, ask func() error) error {
	err := ask()
	for _, pause := range c.turns() {
		if !elsewhere(err) || wait(ctx, pause) != nil {
			break
		}
		err = ask()
	}
	return err
}

// intercept asks the next member where one cannot answer.
func (c *Client) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	return c.askNext(ctx, func() error {
		err := invoke(ctx, method, req, reply, cc, opts...)
		c.last.note(err)
		return err
	})
}

// A Member is what the member at an endpoint says of itself.
type Member struct {
	Endpoint string
	// Err is why it says nothing; the rest is empty then.
	Err error
	// Learner is set for one that answers no requests until it is promoted.
	Learner bool
	// NoLeader is set for one that has lost the others.
	NoLeader bool
	// Alarms are those of the cluster, such as NOSPACE.
	Alarms []string
}

// Members asks each endpoint how it is.
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
	status, err := client.Status(ctx, endpoint)
	if err != nil {
		m.Err = errors.New(registry.OneLine(err.Error()))
		return m
	}
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
