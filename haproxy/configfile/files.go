package configfile

import (
	"context"
	"fmt"
	"strings"

	"github.com/hapsync/hapsync/haproxy"

	stdsync "sync"
)

// Files are HAProxy's configuration files. Any goroutine may read them; one at a time may write.
type Files struct {
	// Base is the base file, Managed the managed file, links resolved.
	Base, Managed string
	frontends     []string
	binary        string
	checker       checker
	waits         *haproxy.Waits
	mu            stdsync.Mutex // guards last, previous and edits
	// last is what was read last: neither file is taken apart again while its bytes are the same.
	last Reading
	// previous is the managed file's text before the last commit; nil before one, and after a reload.
	previous *string
	// edits is whether a transaction can edit the file of a digest.
	edits struct {
		digest haproxy.Digest
		line   int
		ok     bool
	}
}

// OpenFiles takes checked settings. It reads no file.
func OpenFiles(s haproxy.Settings, w *haproxy.Waits) (*Files, error) {
	base, err := resolve(s.BaseFile)
	if err != nil {
		return nil, err
	}
	managed, err := resolve(s.ManagedFile)
	if err != nil {
		return nil, err
	}
	c := checker{binary: s.Binary, timeout: s.CheckTimeout, waits: w, program: new(program)}
	if s.Background {
		c.nice = 10
	}
	return &Files{Base: base, Managed: managed, frontends: s.Frontends, binary: s.Binary, checker: c, waits: w}, nil
}

// OneFile reports whether the operator's configuration and the managed part share a file.
func (c *Files) OneFile() bool { return c.Base == c.Managed }

// A Reading is what was read of the two files at one time.
type Reading struct {
	// marks are the signs of the two files' last change, from before they were read.
	marks      [2]mark
	Text       string
	Digest     haproxy.Digest
	BaseDigest haproxy.Digest
	doc        Document // of the managed file, or of what a new one would be
	Managed    Managed
	Base       Base
	baseDoc    Document
}

// Read reads both files. A missing managed file reads as a new one.
func (c *Files) Read() (Reading, error) {
	f := Reading{marks: c.marks()}
	var baseText string
	var err error
	if f.Text, f.Digest, err = ReadText(c.Managed); err != nil {
		return Reading{}, err
	}
	if !c.OneFile() {
		if baseText, f.BaseDigest, err = ReadText(c.Base); err != nil {
			return Reading{}, err
		}
	}
	if last := c.lastRead(); last.doc.lines != nil && last.Digest == f.Digest && last.BaseDigest == f.BaseDigest {
		last.marks = f.marks
		c.keep(last)
		return last, nil
	}
	if err := c.take(&f, baseText); err != nil {
		return Reading{}, err
	}
	c.keep(f)
	return f, nil
}

// unchanged reports whether the files have the marks that they had before they were read.
func (f Reading) unchanged(now [2]mark) bool { return f.marks[0] != (mark{}) && f.marks == now }

// Reread is read, without a look into files that are by all signs as they were.
func (c *Files) Reread() (Reading, error) {
	last := c.lastRead()
	if last.doc.lines == nil || !last.unchanged(c.marks()) {
		return c.Read()
	}
	return last, nil
}

// Unchanged is what was read last; ok is false where a file is not as it was then.
func (c *Files) Unchanged() (f Reading, ok bool) {
	f = c.lastRead()
	return f, f.doc.lines != nil && f.unchanged(c.marks())
}

// Validate has haproxy -c look at the files as they stand, and returns what it warns of.
func (c *Files) Validate(ctx context.Context) (warnings []string, err error) {
	if c.OneFile() {
		return c.checker.check(ctx, c.Managed)
	}
	return c.checker.check(ctx, c.Base, c.Managed)
}

// Loaded reads the managed part of a text that the managed file had, beside the base file of f.
func (c *Files) Loaded(f Reading, text string) Managed {
	if text == f.Text {
		return f.Managed
	}
	return c.readManaged(parseDocument(text), f.Base)
}

// DefaultServer are the words of the default-server lines that hold for a backend.
func (f Reading) DefaultServer(backend string) string {
	s, ok := f.Managed.backends[backend]
	if !ok {
		return f.Base.defaultServer
	}
	return strings.TrimSpace(f.Base.defaultServer + " " + defaultServerWords(f.doc.body(s)))
}

func (c *Files) lastRead() Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *Files) keep(f Reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = f
}

// take takes the files apart.
func (c *Files) take(f *Reading, baseText string) error {
	text := f.Text
	if strings.TrimSpace(text) == "" {
		if c.OneFile() {
			return fmt.Errorf("%s is missing or empty; hapsync init writes one", c.Managed)
		}
		text = newFile(c.frontends)
	}
	f.doc = parseDocument(text)
	f.baseDoc = f.doc
	if !c.OneFile() {
		if f.BaseDigest == "" {
			return fmt.Errorf("%s is missing; name HAProxy's own configuration with --base-file, or let hapsync init write one", c.Base)
		}
		f.baseDoc = parseDocument(baseText)
	}
	var err error
	if f.Base, err = readBase(f.baseDoc, c.Base); err != nil {
		return err
	}
	f.Managed = c.readManaged(f.doc, f.Base)
	return c.findFrontends(*f)
}

// readManaged reads the managed part of a text of the managed file.
func (c *Files) readManaged(d Document, b Base) Managed {
	var taken map[string]string
	if !c.OneFile() {
		taken = b.Proxies
	}
	return readManaged(d, c.frontends, c.Managed, taken)
}

// findFrontends refuses a file that lacks a frontend that is to carry the rules.
func (c *Files) findFrontends(f Reading) error {
	for _, name := range c.frontends {
		s, ok := f.Managed.frontends[name]
		switch place := f.Base.frontends[name]; {
		case !c.OneFile() && place != "":
			return fmt.Errorf("%s is in the base file, which hapsync does not write; move it to %s, or use one file for both (--managed-file %s)", place, c.Managed, c.Base)
		case ok && f.doc.lines[s.head].conditional:
			return fmt.Errorf("%s:%d: frontend %s stands between .if and .endif, where hapsync does not write; move it out", c.Managed, s.head+1, name)
		case ok:
		default:
			return fmt.Errorf("%s has no frontend %s; add it with its bind line, or name yours with --frontend", c.Managed, name)
		}
	}
	return nil
}

// Warnings are what makes a configuration that HAProxy accepts do something else than it says.
func (c *Files) Warnings(f Reading) []string {
	var found []string
	for _, name := range c.frontends {
		s := f.Managed.frontends[name]
		mode := f.Base.mode
		for _, l := range f.doc.body(s) {
			if w := splitWords(l.raw); len(w) == 2 && w[0] == "mode" {
				mode = w[1]
			}
		}
		if mode != "http" {
			found = append(found, fmt.Sprintf("frontend %s is not in mode http, so that its Host rules and cookies do nothing; write \"mode http\" into the defaults of %s", name, c.Base))
		}
	}
	return found
}

// Foreign names, by domain, the ACLs and backends of the files that bear a name of ours without our shape, with their
// place: such a domain is left alone. The process is not asked.
func (c *Files) Foreign() (map[string]string, error) {
	f, err := c.Read()
	if err != nil {
		return nil, err
	}
	return f.Managed.Foreign, nil
}
