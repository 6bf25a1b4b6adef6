package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
)

// errNotYet is wrapped if something is not in effect.
var errNotYet = errors.New("not in effect")

// waitPoll is how often the agents' reports are read.
const waitPoll = 200 * time.Millisecond

// waitUntilApplied is the usage of --wait for commands that write to the registry.
const waitUntilApplied = "wait until every agent that reports has applied it"

func waitFlags(usage string) []cli.Flag {
	return []cli.Flag{
		cli.Toggle(cli.Spec{Name: "wait", Usage: usage}),
		cli.Text(cli.Spec{Name: "wait-timeout", Value: "30s", Check: cli.Duration, Usage: "`TIME` after which --wait has failed"}),
		reportPrefixFlag(),
	}
}

// A waiter waits for agents; nil does not wait.
type waiter struct {
	prefix  string
	timeout time.Duration
	// stands begins an error: what was written stays although it is not in effect. Empty if it does not stay.
	stands string
}

// newWaiter is what the flags ask for.
func newWaiter(c *cli.Context) (*waiter, error) {
	if !c.Bool("wait") {
		return nil, nil
	}
	prefix, err := reportPrefix(c)
	return &waiter{prefix: prefix, timeout: c.Duration("wait-timeout")}, err
}

// wait returns when every agent has acknowledged the write, and how many agents there are. An error that wraps errNotYet names
// the missing ones. Meanwhile the terminal shows them.
func (w *waiter) wait(ctx context.Context, client *etcd.Client, ack registry.Ack, line *progress) (agents int, err error) {
	var lacks atomic.Value
	lacks.Store("the agents' reports")
	defer line.begin(func(took time.Duration) string {
		return fmt.Sprintf("waiting for %s; %s left", lacks.Load(), seconds(w.timeout-took))
	})()
	deadline := time.NewTimer(w.timeout)
	defer deadline.Stop()
	poll := time.NewTicker(waitPoll)
	defer poll.Stop()
	missing := []string{"no report could be read"}
	for began := false; ; {
		roster, err := client.Agents(ctx, w.prefix)
		if err == nil {
			if !began && len(roster.Agents)+len(roster.Unreadable) == 0 {
				return 0, w.noAgents(roster)
			}
			began = true
			if missing = append(ack.Missing(roster.Agents), roster.Unreadable...); len(missing) == 0 {
				return len(roster.Agents), nil
			}
			lacks.Store(first(missing))
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-deadline.C:
			if err != nil {
				return 0, err
			}
			return 0, fmt.Errorf("%w after %s: %s%s:\n  %s", errNotYet, w.timeout, w.stands, notDone(len(missing)),
				strings.Join(missing, "\n  "))
		case <-poll.C:
		}
	}
}

// first is the first line, and how many more there are.
func first(lines []string) string {
	if more := len(lines) - 1; more > 0 {
		return fmt.Sprintf("%s, and %d more", lines[0], more)
	}
	return lines[0]
}

func notDone(n int) string {
	if n == 1 {
		return "1 agent has not done it"
	}
	return fmt.Sprintf("%d agents have not done it", n)
}

func (w *waiter) noAgents(roster registry.Roster) error {
	why := "is hapsync agent running, and may it write there?"
	if roster.Others > 0 {
		why = fmt.Sprintf("%s there follow another --prefix", registry.Count(roster.Others, "agent"))
	}
	return fmt.Errorf("%w: %sno agent reports below %s: %s", errNotYet, w.stands, w.prefix, why)
}

// await waits if --wait says so, and prints the result.
func (p program) await(c *cli.Context, client *etcd.Client, w *waiter, ack registry.Ack) error {
	if w == nil {
		return nil
	}
	w.stands = fmt.Sprintf("the write stands at revision %d, but ", ack.Revision)
	n, err := w.wait(c.Context, client, ack, p.progress)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("applied by %s at revision %d", registry.Count(n, "agent"), ack.Revision)
	if ack.Finished {
		text += ", no session is left"
	}
	p.say("%s\n", text)
	return nil
}
