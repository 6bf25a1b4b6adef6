package haproxy

import (
	"slices"
	"strings"
)

// Descriptors are the file descriptors of a process. HAProxy does not start where it may have fewer than it may come to need, and
// haproxy -c does not tell. It reserves some for the checks of each server, two for each connection of its maxconn, and some for
// itself.
type Descriptors struct {
	// Limit is how many it may have; 0 where that is not known.
	Limit int
	// Other is how many it needs for all but the checks of managed servers, at a start or a reload.
	Other int
}

// Room is how many there are for the checks of managed servers; not known where the limit is not.
func (d Descriptors) Room() (n int, known bool) { return max(0, d.Limit-d.Other), d.Limit > 0 }

// Descriptors are how many HAProxy reserves for the checks of all servers.
func (c Config) Descriptors() int {
	n := 0
	for _, b := range c.Backends {
		n += b.Descriptors()
	}
	return n
}

// Descriptors are how many HAProxy reserves for the checks of the servers.
func (b Backend) Descriptors() int {
	n := 0
	for _, s := range b.Servers {
		n += b.DescriptorsOf(s)
	}
	return n
}

// DescriptorsOf is how many HAProxy reserves for the checks of a server: one for its check, one for its agent-check, and another one if its
// own line has the word agent-check (measured on 2.6 to 3.4).
func (b Backend) DescriptorsOf(s Server) int {
	agent := slices.Contains(b.Own, GivenAgent)
	n := 0
	for _, costs := range []bool{s.Check, slices.Contains(strings.Fields(s.Params), agentCheck), LastWord(agent, s.Params, agentCheck)} {
		if costs {
			n++
		}
	}
	return n
}

const agentCheck = "agent-check"

// LastWord reports whether a word is on after others: the last one of it and of the word with "no-" before it counts. on is what holds
// without one.
func LastWord(on bool, words, word string) bool {
	for _, w := range strings.Fields(words) {
		on = w == word || on && w != "no-"+word
	}
	return on
}
