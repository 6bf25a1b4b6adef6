package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/registrar"
	"github.com/hapsync/hapsync/sync"
)

// The exit codes.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitRegistry    = 3
	exitHAProxy     = 4
	exitHeld        = 5
	exitLeftOut     = 6
	exitNotYet      = 7
	exitChanges     = 10
	exitInterrupted = 130
)

// What a command ends with though nothing went wrong on the way.
var (
	errChanges    = errors.New("there are changes")
	errLeftOut    = errors.New("applied, but some domain or host is left out: the problems above name the keys to mend (hapsync plan shows them again)")
	errNotRunning = errors.New("the file is in line, but no running HAProxy was reached")
)

// A usageError is a command line, an environment variable or a config file that cannot be followed.
type usageError struct {
	command string // empty before a command is known
	err     error
}

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(c *cli.Context, format string, args ...any) error {
	return usageError{command: commandName(c), err: fmt.Errorf(format, args...)}
}

// exitCode is that of a command that returned err, if ctx ends with a signal only.
func exitCode(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if isUsage(err) {
		return exitUsage
	}
	var child registrar.ChildError
	if errors.As(err, &child) {
		return child.Code
	}
	if ctx.Err() != nil {
		return exitInterrupted
	}
	for _, known := range []struct {
		err  error
		code int
	}{
		{errChanges, exitChanges},
		{errLeftOut, exitLeftOut},
		{errNotYet, exitNotYet},
		{registry.ErrUnavailable, exitRegistry},
		{errNotRunning, exitHAProxy},
		{haproxy.ErrDown, exitHAProxy},
		{haproxy.ErrRefused, exitHAProxy},
	} {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	return exitCodeOfType(err)
}

func exitCodeOfType(err error) int {
	var check checkError
	var ready notReadyError
	var held *sync.HeldError
	var invalid *haproxy.InvalidConfigError
	switch {
	case errors.As(err, &check):
		return check.code
	case errors.As(err, &ready):
		return ready.code
	case errors.As(err, &held):
		return exitHeld
	case errors.As(err, &invalid):
		return exitHAProxy
	}
	return exitError
}

// isUsage: urfave's own exit errors are all about usage ("hapsync help nothing").
func isUsage(err error) bool {
	var usage usageError
	var exit cli.ExitCoder
	return errors.As(err, &usage) || errors.As(err, &exit)
}

// explain says on standard error what went wrong, once, and the way out.
func (p program) explain(code int, err error) {
	var child registrar.ChildError
	if code == exitOK || code == exitChanges || errors.As(err, &child) && child.Err == nil {
		return
	}
	message := err.Error()
	switch code {
	case exitHeld:
		message += "\nnothing was touched; if this removal is meant, confirm it: hapsync sync --allow-mass-removal"
	case exitInterrupted:
		message = "interrupted (" + message + "); the next hapsync sync completes what is left"
	}
	var usage usageError
	if errors.As(err, &usage) {
		message += "\n" + usage.hint()
	}
	_, _ = fmt.Fprintf(p.stderr, "hapsync: %s\n", message)
}

// hint is one line of usage, and one on where to read more.
func (e usageError) hint() string {
	if e.command == "" {
		return "usage: hapsync [flags] command [flags]\nsee hapsync --help"
	}
	return fmt.Sprintf("usage: hapsync %s [flags]\nsee hapsync %[1]s --help", e.command)
}
