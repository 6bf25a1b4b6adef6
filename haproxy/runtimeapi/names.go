package runtimeapi

import (
	"maps"
	"strings"
	"sync/atomic"
)

// Names translates between hapsync's names of backends and the worker's names, if they differ. Callers use hapsync's names only; the
// worker's are only on the wire. Any goroutine may use it. nil and the zero Names translate nothing.
type Names struct{ current atomic.Pointer[names] }

// names belong to one worker. wire is by own name, own by name on the wire.
type names struct {
	worker    Worker
	wire, own map[string]string
}

// Set replaces all names by those of a worker: the names on the wire, by own name.
func (n *Names) Set(w Worker, wire map[string]string) {
	next := names{worker: w, wire: maps.Clone(wire), own: make(map[string]string, len(wire))}
	for name, on := range wire {
		next.own[on] = name
	}
	n.current.Store(&next)
}

func (n *Names) load() names {
	if n == nil {
		return names{}
	}
	if current := n.current.Load(); current != nil {
		return *current
	}
	return names{}
}

// of are the names if they belong to the worker.
func (n names) of(w Worker) names {
	if n.worker.Same(w) {
		return n
	}
	return names{}
}

// fromWire is hapsync's name for one on the wire.
func (n names) fromWire(name string) string {
	if own, ok := n.own[name]; ok {
		return own
	}
	return name
}

// fromMap is hapsync's name for a value of a map. If the value is itself a name of hapsync's that differs on the wire, the process has no
// backend of that name. The added text then makes it unlike any name.
func (n names) fromMap(name string) string {
	if _, other := n.wire[name]; other {
		return name + " (not in the process)"
	}
	return n.fromWire(name)
}

// namesBackend are the starts of commands before a backend's name. namesValue are those of commands that end with one.
var (
	namesBackend = []string{
		"add server ", "del server ", "set server ", "set maxconn server ", "enable server ", "enable health ", "enable agent ",
		"show servers state ", "show stat ",
	}
	namesValue = []string{"add map ", "set map "}
)

// toWire is a line of commands as it is sent.
func (n names) toWire(line string) string {
	if len(n.wire) == 0 || strings.Contains(line, "\n") { // a payload contains no names
		return line
	}
	commands := strings.Split(line, ";")
	for i, command := range commands {
		commands[i] = n.command(command)
	}
	return strings.Join(commands, ";")
}

func (n names) command(command string) string {
	for _, begin := range namesBackend {
		if rest, ok := strings.CutPrefix(command, begin); ok {
			end := strings.IndexAny(rest+" ", " /")
			if wire, other := n.wire[rest[:end]]; other {
				return begin + wire + rest[end:]
			}
			return command
		}
	}
	for _, begin := range namesValue {
		if strings.HasPrefix(command, begin) {
			at := strings.LastIndexByte(command, ' ') + 1
			if wire, other := n.wire[command[at:]]; other {
				return command[:at] + wire
			}
		}
	}
	return command
}
