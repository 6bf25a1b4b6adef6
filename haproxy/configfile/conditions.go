package configfile

import (
	"context"
	"errors"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// A branch is one of the branches between .if and .endif.
type branch struct {
	outer bool // the block itself stands where HAProxy reads
	taken bool // a branch of the block was taken
	read  bool // HAProxy reads the lines of this one
}

// decide marks what HAProxy leaves out of a file with conditions: it is asked itself (haproxy -cc, 2.5 and later), with the environment
// of this process. If it does not say, nothing is marked, and the lines of all branches count.
func (c *Files) decide(d Document) Document {
	if !d.conditions {
		return d
	}
	blocks := []branch{{outer: true, read: true}}
	off := make([]bool, len(d.lines))
	for i, l := range d.lines {
		b := &blocks[len(blocks)-1]
		keyword, condition := cutWord(l.raw)
		holds := func(may bool) bool { return may && c.holds(strings.TrimSpace(condition)) }
		switch {
		case keyword == ".if":
			is := holds(b.read)
			blocks = append(blocks, branch{outer: b.read, taken: is, read: is})
		case len(blocks) == 1:
		case keyword == ".elif":
			b.read = holds(b.outer && !b.taken)
			b.taken = b.taken || b.read
		case keyword == ".else":
			b.read, b.taken = b.outer && !b.taken, true
		case keyword == ".endif":
			blocks = blocks[:len(blocks)-1]
		}
		off[i] = !blocks[len(blocks)-1].read
	}
	if c.undecided() {
		return d
	}
	for i := range d.lines {
		d.lines[i].off = off[i]
	}
	for i, s := range d.sections {
		d.sections[i].off = off[s.head]
	}
	return d
}

// A verdict is HAProxy's on a condition.
type verdict struct{ holds, unknown bool }

// holds asks HAProxy about a condition, once.
func (c *Files) holds(condition string) bool {
	c.mu.Lock()
	v, known := c.conditions[condition]
	c.mu.Unlock()
	if known {
		return v.holds
	}
	_, err := c.checker.output(context.Background(), []string{"-cc", condition})
	var refused *haproxy.InvalidConfigError // without words where the condition does not hold
	v = verdict{holds: err == nil, unknown: err != nil && (!errors.As(err, &refused) || refused.Output != "")}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conditions == nil {
		c.conditions = map[string]verdict{}
	}
	c.conditions[condition] = v
	return v.holds
}

// ForgetAnswers is for another process: HAProxy is asked again about conditions, because another program, or another environment, may answer
// otherwise, and host names are looked up again, as HAProxy has done. It reports whether that changes what is to be read.
func (c *Files) ForgetAnswers() (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.conditions)+len(c.names) == 0 {
		return false
	}
	c.forgetNames()
	c.conditions, c.last = nil, Reading{}
	return true
}

// undecided reports whether HAProxy gave no answer to a condition; it is asked again at the next reading then.
func (c *Files) undecided() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	unknown := false
	for condition, v := range c.conditions {
		if v.unknown {
			unknown = true
			delete(c.conditions, condition)
		}
	}
	return unknown
}
