package haproxy

import (
	"errors"
	"fmt"
	"strings"
)

// What callers decide on.
var (
	// ErrConflict: the managed file is not the one that was read any more. Read again.
	ErrConflict = errors.New("the managed file was changed by someone else")
	// ErrLocked: another hapsync is at work on the same file. It is wrapped with who that is.
	ErrLocked = errors.New("another hapsync is at work")
	// ErrNoVerdict: haproxy -c has not answered in time. It is not to be asked again at once, which may take as long.
	ErrNoVerdict = errors.New("gave no answer")
	// ErrDown: nothing listens on the stats socket. It is wrapped with the socket's path and the way out.
	ErrDown = errors.New("haproxy does not answer")
	// ErrRuns: a HAProxy that does not answer on the stats socket runs all the same, as its master says.
	ErrRuns = errors.New("HAProxy runs")
	// ErrRefused: the running process did not take a change.
	ErrRefused = errors.New("haproxy refused")
)

// An InvalidConfigError is the refusal of a configuration that was about to be written. Nothing was written.
type InvalidConfigError struct {
	// Output is what haproxy -c printed, without what it repeats.
	Output string
	// Domains are those that the refused lines belong to, sorted; empty where no line of ours is named.
	Domains []string
	// Own is set where HAProxy was not asked, because hapsync itself found an OwnFault, which is in Output.
	Own bool
}

func (e *InvalidConfigError) Error() string { return e.refuses() + e.Output }

// OwnFault is in Output where the lines that were about to be written are wrong.
const OwnFault = "a fault of hapsync's: please report it"

func (e *InvalidConfigError) refuses() string {
	if e.Own {
		return "the file is left as it is: "
	}
	return "haproxy -c refuses the configuration: "
}

// Brief is the error without what HAProxy quotes.
func (e *InvalidConfigError) Brief() string { return e.refuses() + Outline(e.Output) }

// A ReloadError is HAProxy's refusal to reload: the old worker goes on with the old configuration. It wraps ErrRefused.
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

// A CommandError is a command for the reload that failed.
type CommandError struct {
	// Command is what was run, Output what it printed.
	Command, Output string
	Err             error
}

func (e *CommandError) Error() string { return e.text() + ": " + e.Output }

// Brief is the error without what the command printed, which may be HAProxy's words.
func (e *CommandError) Brief() string { return e.text() + ": " + Outline(e.Output) }

func (e *CommandError) text() string { return fmt.Sprintf("reload command %q: %v", e.Command, e.Err) }

// Unwrap is why it failed.
func (e *CommandError) Unwrap() error { return e.Err }

// A Failure is a change that the running process did not take.
type Failure struct {
	Change Change
	// Reply is HAProxy's answer, or what stands in the way.
	Reply string
}

// A RunError lists the changes that the running process did not take; the others are in effect. It wraps ErrRefused.
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
