package runtimeapi

import (
	"maps"
	"strings"
	"sync/atomic"
)

// Names are the backends that a worker has under another name than the one that is spoken of: commands are made, and answers are read, with
// the names spoken of, and the names of the worker are on the wire alone. Any goroutine may use them; nil, and the zero Names, have none.
type Names struct{ current atomic.Pointer[names] }

// names are those of one worker: the one on the wire by the one spoken of, and the other way round.
type names struct {
	worker       Worker
	wire, spoken map[string]string
}

// Set replaces them by those of a worker: the names on the wire by the names spoken of.
func (n *Names) Set(w Worker, wire map[string]string) {
	next := names{worker: w, wire: maps.Clone(wire), spoken: make(map[string]string, len(wire))}
	for name, on := range wire {
		next.spoken[on] = name
	}
	n.current.Store(&next)
}

func (n *Names) now() names {
	if n == nil {
		return names{}
	}
	if current := n.current.Load(); current != nil {
		return *current
	}
	return names{}
}

// of are the names if the worker is the one that has them.
func (n names) of(w Worker) names {
	if n.worker.Same(w) {
		return n
	}
	return names{}
}

// heard is the name spoken of for one on the wire.
func (n names) heard(name string) string {
	if spoken, ok := n.spoken[name]; ok {
		return spoken
	}
	return name
}

// value is what a map says for a name on the wire. A name spoken of that has another one on the wire is no backend of the process: with more
// behind it, it is none that is spoken of.
func (n names) value(name string) string {
	if _, other := n.wire[name]; other {
		return name + " (not in the process)"
	}
	return n.heard(name)
}

// namesBackend are the beginnings of commands that a backend's name follows, namesValue those of which it is the last word.
var (
	namesBackend = []string{
		"add server ", "del server ", "set server ", "set maxconn server ", "enable server ", "enable health ", "enable agent ",
		"show servers state ", "show stat ",
	}
	namesValue = []string{"add map ", "set map "}
)

// line is a line of commands as it goes over the wire.
func (n names) line(line string) string {
	if len(n.wire) == 0 || strings.Contains(line, "\n") { // a payload names no backend
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
