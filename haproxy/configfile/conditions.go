package configfile

import (
	"context"
	"errors"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// A branch is a branch of an .if block.
type branch struct {
	outer bool // HAProxy does not skip the block itself
	taken bool // one of the block's branches so far was taken
	read  bool // HAProxy does not skip this branch
}

// decide marks the lines that HAProxy skips in a file with conditions. It asks HAProxy (haproxy -cc, 2.5 and later), with the environment of
// this process. Without an answer it marks nothing: the lines of all branches count.
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

// A verdict is HAProxy's answer to a condition.
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
	var refused *haproxy.InvalidConfigError // its Output is empty if the condition is false
	v = verdict{holds: err == nil, unknown: err != nil && (!errors.As(err, &refused) || refused.Output != "")}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conditions == nil {
		c.conditions = map[string]verdict{}
	}
	c.conditions[condition] = v
	return v.holds
}

// ForgetAnswers is for a new process of HAProxy. Conditions are asked again, since another program or environment may give another answer.
// Host names are looked up again, since HAProxy has done so. changed means that the files must be read again.
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

// undecided reports whether HAProxy gave no answer to a condition. The next reading asks again.
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
