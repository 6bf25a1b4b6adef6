package haproxy

import (
	"errors"
	"fmt"
	"strings"
)

// Errors on which callers decide.
var (
	// ErrConflict: the managed file has changed since it was read. Read it again.
	ErrConflict = errors.New("the managed file was changed by someone else")
	// ErrLocked: another hapsync works on the same file. It is wrapped with the name of that one.
	ErrLocked = errors.New("another hapsync is at work")
	// ErrNoVerdict: haproxy -c did not answer in time. An immediate retry may take as long.
	ErrNoVerdict = errors.New("gave no answer")
	// ErrDown: nothing listens on the stats socket. It is wrapped with the socket's path and what to do.
	ErrDown = errors.New("haproxy does not answer")
	// ErrRuns: HAProxy does not answer on the stats socket, but its master says that it runs.
	ErrRuns = errors.New("HAProxy runs")
	// ErrNotReloaded: a reload failed. It says nothing of the reason.
	ErrNotReloaded = errors.New("HAProxy was not reloaded")
	// ErrRefused: the running process refused a change.
	ErrRefused = errors.New("haproxy refused")
)

// An InvalidConfigError says that a configuration was refused before it was written.
type InvalidConfigError struct {
	// Output is what haproxy -c printed, without repetitions.
	Output string
	// Domains own the refused lines, sorted; empty if no refused line is ours.
	Domains []string
	// Own is set if hapsync itself found the fault and did not ask HAProxy. Output then contains OwnFault.
	Own bool
}

func (e *InvalidConfigError) Error() string { return e.refuses() + e.Output }

// OwnFault is part of Output if the lines to write are wrong.
const OwnFault = "a fault of hapsync's: please report it"

func (e *InvalidConfigError) refuses() string {
	if e.Own {
		return "the file is left as it is: "
	}
	return "haproxy -c refuses the configuration: "
}

// Brief is the error without what HAProxy quotes.
func (e *InvalidConfigError) Brief() string { return e.refuses() + Outline(e.Output) }

// A ReloadError says that HAProxy refused to reload: the old worker continues with the old configuration. It wraps ErrRefused.
type ReloadError struct {
	// Output is what HAProxy said.
	Output string
}

func (e *ReloadError) Error() string {
	return reloadRefused + e.Output
}

const reloadRefused = "haproxy refuses to reload, the old worker stays in service: "

// Brief is the error without what HAProxy quotes.
func (e *ReloadError) Brief() string { return reloadRefused + Outline(e.Output) }

// Unwrap is ErrRefused.
func (e *ReloadError) Unwrap() error { return ErrRefused }

// A CommandError says that the reload command failed. HAProxy may never have seen the managed file, so the file is kept.
type CommandError struct {
	// Command is what was run, Output what it printed.
	Command, Output string
	Err             error
}

func (e *CommandError) Error() string {
	if e.Output == "" {
		return e.text()
	}
	return e.text() + ": " + e.Output
}

// Brief is the error without the command's output, which may quote HAProxy.
func (e *CommandError) Brief() string {
	if e.Output == "" {
		return e.text()
	}
	return e.text() + ": " + Outline(e.Output)
}

func (e *CommandError) text() string {
	return fmt.Sprintf("reload command %q failed, and the managed file waits for the next reload: %v", e.Command, e.Err)
}

// Unwrap is the reason of the failure.
func (e *CommandError) Unwrap() error { return e.Err }

// A Failure is a change that the running process refused.
type Failure struct {
	Change Change
	// Reply is HAProxy's answer, or another reason.
	Reply string
}

// A RunError lists the changes that the running process refused. The others are in effect. It wraps ErrRefused.
type RunError struct{ Failures []Failure }

func (e *RunError) Error() string {
	const shown = 5
	var lines []string
	for _, f := range e.Failures[:min(shown, len(e.Failures))] {
		lines = append(lines, fmt.Sprintf("%s: %s", f.Change, f.Reply))
	}
	if more := len(e.Failures) - shown; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("%v: %s", ErrRefused, strings.Join(lines, "; "))
}

// Unwrap is ErrRefused.
func (e *RunError) Unwrap() error { return ErrRefused }
