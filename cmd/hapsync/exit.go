package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/registrar"
	"github.com/hapsync/hapsync/sync"
)

// Exit codes.
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

// An exitMeaning says what an exit code means.
type exitMeaning struct {
	code    int
	meaning string
}

// exitMeanings are all exit codes.
func exitMeanings() []exitMeaning {
	return []exitMeaning{
		{exitOK, "in line, or brought in line"},
		{exitError, "error"},
		{exitUsage, "usage: unknown command or flag, bad value, stray argument"},
		{exitRegistry, "registry not reachable"},
		{exitHAProxy, "HAProxy not reachable, or it refused"},
		{exitHeld, "held by a safeguard: nothing was touched, or all but the removals that are held"},
		{exitLeftOut, "applied, but some domain or host is left out"},
		{exitNotYet, "not in effect: with --wait, some agent has not applied it in time, or there is none; explain: some host gets no requests"},
		{exitChanges, "only with plan or adopt --detailed-exitcode: there are changes"},
		{exitInterrupted, "interrupted"},
	}
}

// exitCodeHelp is the part of --help about exit codes.
func exitCodeHelp() string {
	var b strings.Builder
	b.WriteString("\nEXIT CODES:\n")
	for _, e := range exitMeanings() {
		fmt.Fprintf(&b, "   %-4d %s\n", e.code, e.meaning)
	}
	return b.String()
}

// Results of a command without a failure.
var (
	errChanges = errors.New("there are changes")
	errLeftOut = errors.New("applied, but some domain or host is left out: " +
		"the problems above name the keys to fix (hapsync plan shows them again)")
	errNotRunning = errors.New("the file is in line, but no running HAProxy was reached")
	errNotReached = errors.New("the running HAProxy was not reached, so that only the file is compared")
)

// exitCode is the exit code of a command that returned err. ctx ends only by a signal.
func exitCode(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if cli.IsUsage(err) {
		return exitUsage
	}
	var child registrar.ChildError
	if errors.As(err, &child) {
		return child.Code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) { // otherwise the pass was finished despite the signal
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
		{errNotReached, exitHAProxy},
		{haproxy.ErrDown, exitHAProxy},
		{haproxy.ErrRefused, exitHAProxy},
		{haproxy.ErrNotReloaded, exitHAProxy},
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

// explain prints the error on standard error, with a remedy.
func (p program) explain(code int, err error) {
	var child registrar.ChildError
	if code == exitOK || code == exitChanges || errors.As(err, &child) && child.Err == nil {
		return
	}
	message := err.Error()
	switch code {
	case exitHeld:
		message += "\nwhat is held was not touched; if this removal is meant, confirm it: hapsync sync --allow-mass-removal"
	case exitInterrupted:
		message = "interrupted (" + message + "); the next hapsync sync completes what is left"
	}
	var usage cli.UsageError
	if errors.As(err, &usage) {
		message += "\n" + usage.Hint()
	}
	_, _ = fmt.Fprintf(p.stderr, "hapsync: %s\n", message)
}
