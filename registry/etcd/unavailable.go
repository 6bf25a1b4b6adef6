package etcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hapsync/hapsync/registry"
)

// unavailableError says why etcd could not be read, and what to do about it.
type unavailableError struct {
	text  string
	cause error
}

func (e *unavailableError) Error() string { return e.text }

func (e *unavailableError) Unwrap() []error {
	if denied(e.cause) {
		return []error{registry.ErrUnavailable, registry.ErrDenied, e.cause}
	}
	return []error{registry.ErrUnavailable, e.cause}
}

// explain returns an error that wraps ErrUnavailable, or the error of the context if that has ended.
func (c *Client) explain(ctx context.Context, err error) error {
	endpoints := strings.Join(c.conf.Endpoints, ", ")
	if ctx.Err() != nil {
		return fmt.Errorf("read the registry from etcd at %s: %w", endpoints, context.Cause(ctx))
	}
	err = c.orClusters(ctx, c.last.cause(err))
	what := registry.ErrUnavailable.Error()
	if errors.Is(err, rpctypes.ErrNoSpace) {
		what = "registry not writable" // it can still be read
	}
	return &unavailableError{fmt.Sprintf("%s: etcd at %s: %s", what, endpoints, c.why(err)), err}
}

// why is the reason and the way out.
func (c *Client) why(err error) string { return cmp.Or(c.refused(err), c.unreached(err)) }

// refused explains an error that etcd sent.
func (c *Client) refused(err error) string {
	switch {
	case errors.Is(err, rpctypes.ErrAuthFailed):
		return fmt.Sprintf("it refuses user %s or the password: check both with etcdctl", registry.Quote(c.conf.User))
	case errors.Is(err, rpctypes.ErrUserEmpty):
		return "it wants a user and a password: give them"
	case denied(err):
		return fmt.Sprintf("%s may not read %[2]s/: grant it with `etcdctl role grant-permission <role> read %[2]s/ --prefix`",
			c.conf.user(), c.conf.Prefix)
	case errors.Is(err, rpctypes.ErrCompacted):
		return "its revisions are compacted faster than they can be read: compact less often"
	case errors.Is(err, rpctypes.ErrNoLeader):
		return "it has no leader: check that more than half of its members run"
	case errors.Is(err, errLearner):
		return "each member that can be reached is a learner, which answers no request: " +
			"give the endpoints of voting members, too, or promote it with `etcdctl member promote`"
	case errors.Is(err, rpctypes.ErrNoSpace):
		return "it takes no writes, because it is over its quota (NOSPACE): compact it, defragment it, then `etcdctl alarm disarm`"
	case errors.Is(err, rpctypes.ErrTooManyRequests):
		return "it has too many requests to take another one: it is overloaded, or its disk is too slow (`etcdctl endpoint status --cluster`)"
	case errors.Is(err, rpctypes.ErrCorrupt):
		return "its members do not agree (CORRUPT): find the one that differs with `etcdctl endpoint hashkv --cluster` and replace it"
	case errors.Is(err, errClusters):
		return "the endpoints belong to different clusters: give those of one only"
	}
	var etcd rpctypes.EtcdError
	if errors.As(err, &etcd) {
		return fmt.Sprintf("it answers %s: check its health with `etcdctl endpoint health`", registry.OneLine(etcd.Error()))
	}
	return ""
}

// unreached explains an error of the connection.
func (c *Client) unreached(err error) string {
	reason := reasonOf(err)
	said := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(reason, word) })
	}
	switch {
	case reason == "":
		return fmt.Sprintf("no answer in time (dial timeout %s, request timeout %s): check that it runs there, and that nothing between drops the packets",
			c.conf.DialTimeout, c.conf.RequestTimeout)
	case notEtcd(err):
		return reason + ": it is not etcd that answers there: check the port, and what is between"
	case tooLarge(err):
		return fmt.Sprintf("a key has a value of more than %d bytes: delete it", maxPage)
	case said("remote error: tls:"), said("broken pipe", "connection reset") && strings.HasPrefix(c.conf.Endpoints[0], "https:"):
		// With TLS 1.3 the server's alert may be lost, because the client writes before it reads.
		if outdated := c.conf.outdated(time.Now()); outdated != "" {
			return reason + ": " + outdated
		}
		return reason + ": it seems not to accept the client certificate: give one that its CA has signed, and the key"
	case said("x509:"):
		return reason + ": give the CA certificate that has signed its certificate, and endpoints by the names in it"
	case said("handshake failed: EOF", "first record does not look like a TLS handshake"):
		return reason + ": it seems to have no TLS there: write http:// endpoints without certificate files"
	case said("server preface"):
		return reason + ": it does not speak etcd's protocol there: check the port, and write https:// if it has TLS"
	}
	return reason + ": check that it runs there and that the endpoints are right"
}

// lastError keeps the error of the last attempt. etcd's client retries until the timeout, and then returns only the timeout.
type lastError struct {
	mu  sync.Mutex
	err error
	at  time.Time
}

// recent is how long ago an attempt of the same request may have been.
const recent = time.Second

func (l *lastError) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(rpctypes.Error(err), context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded {
		if l.err != nil && time.Since(l.at) < recent {
			return // the attempt before says more than a timeout
		}
	}
	l.err, l.at = err, time.Now()
}

// cause returns the error of the last attempt if err is only a timeout.
func (l *lastError) cause(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(err, context.DeadlineExceeded) && l.err != nil {
		return rpctypes.Error(l.err)
	}
	return err
}

// reasonOf returns the reason of a broken connection, on one line; empty if there was no answer.
func reasonOf(err error) string {
	text := status.Convert(err).Message()
	text, _, _ = strings.Cut(text, "\ndata: ") // a page of a web server
	text, goaway, _ := strings.Cut(text, ", received prior goaway: ")
	if strings.Contains(goaway, "graceful_stop") || strings.Contains(text, "server is draining the connection") {
		return "it is shutting down"
	}
	if _, desc, ok := strings.Cut(text, `desc = "`); ok {
		text = strings.TrimSuffix(desc, `"`)
		if plain, err := strconv.Unquote(`"` + text + `"`); err == nil {
			text = plain
		}
	}
	for _, layer := range []string{"closing transport due to: ", "latest balancer error: ", "transport: ", "Error while dialing: "} {
		text = strings.TrimPrefix(text, layer)
	}
	if strings.Contains(text, context.DeadlineExceeded.Error()) {
		return ""
	}
	if goaway != "" {
		text += ", after GOAWAY with " + goaway
	}
	return registry.OneLine(text)
}
