package haproxy

import (
	"slices"
	"strings"
)

// Descriptors are the file descriptors of a process. HAProxy does not start if the limit is below what it may need, and haproxy -c does
// not tell. It reserves some for the checks of each server, two for each connection of its maxconn, and some for itself.
type Descriptors struct {
	// Limit is the process's limit; 0 if it is not known.
	Limit int
	// Other is how many HAProxy needs at a start or reload, except for the checks of managed servers.
	Other int
}

// Room is how many are left for the checks of managed servers; known is false if the limit is not known.
func (d Descriptors) Room() (n int, known bool) { return max(0, d.Limit-d.Other), d.Limit > 0 }

// Descriptors is how many HAProxy reserves for the checks of all servers.
func (c Config) Descriptors() int {
	n := 0
	for _, b := range c.Backends {
		n += b.Descriptors()
	}
	return n
}

// Descriptors is how many HAProxy reserves for the checks of the backend's servers.
func (b Backend) Descriptors() int {
	n := 0
	for _, s := range b.Servers {
		n += b.DescriptorsOf(s)
	}
	return n
}

// DescriptorsOf is how many HAProxy reserves for a server: one for its check, one for its agent-check, and one more if its own line has
// the word agent-check (measured on 2.6 to 3.4).
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

// LastWord reports whether a flag is on after some words: the last occurrence of word or "no-"+word counts. on is the value before them.
func LastWord(on bool, words, word string) bool {
	for _, w := range strings.Fields(words) {
		on = w == word || on && w != "no-"+word
	}
	return on
}
