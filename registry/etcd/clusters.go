package etcd

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

var errClusters = errors.New("endpoints of different clusters")

// clusterSeen is the key of a context for the ID of the cluster that has answered.
type clusterSeen struct{}

// inOneCluster returns a context for requests that belong together: each fails with errClusters if another cluster answers it
// than the first. It is for a short time only, because an operator may replace the cluster.
func inOneCluster(ctx context.Context) context.Context {
	return context.WithValue(ctx, clusterSeen{}, new(atomic.Uint64))
}

func sameCluster(ctx context.Context, reply any) error {
	seen, ok := ctx.Value(clusterSeen{}).(*atomic.Uint64)
	if !ok {
		return nil
	}
	answer, ok := reply.(interface {
		GetHeader() *etcdserverpb.ResponseHeader
	})
	if !ok || answer.GetHeader().GetClusterId() == 0 { // of no cluster
		return nil
	}
	id := answer.GetHeader().GetClusterId()
	if !seen.CompareAndSwap(0, id) && seen.Load() != id {
		return errClusters
	}
	return nil
}

// orClusters returns errClusters instead of an error that comes from it: what one cluster has, another does not know.
func (c *Client) orClusters(ctx context.Context, err error) error {
	const patience = time.Second
	if len(c.conf.Endpoints) == 1 || !misses(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if Clusters(c.Members(ctx)) > 1 {
		return errClusters
	}
	return err
}

// misses reports whether an error says that something is not there, or is there no more.
func misses(err error) bool {
	for _, miss := range []error{
		ErrNoHost, errChanged, errNotKept, rpctypes.ErrLeaseNotFound, rpctypes.ErrFutureRev, rpctypes.ErrCompacted,
	} {
		if errors.Is(err, miss) {
			return true
		}
	}
	return false
}

// Clusters returns to how many clusters the members belong, as far as they answer.
func Clusters(members []Member) int {
	ids := map[uint64]bool{}
	for _, m := range members {
		if m.Cluster != 0 {
			ids[m.Cluster] = true
		}
	}
	return len(ids)
}
