package configfile

import (
	"context"
	"fmt"
	"slices"
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
	staticDomains bool
	spares        haproxy.Spares
	checker       checker
	waits         *haproxy.Waits
	resolver      resolver      // nil for that of the system
	mu            stdsync.Mutex // guards all that follows
	// list are the files and directories that HAProxy is started with, in its order; the managed one is among them.
	list []string
	// last is what was read last: neither file is taken apart again while its bytes are the same.
	last Reading
	// previous is what there was before the last commit; nil before one, and after a reload.
	previous *previous
	// edits is whether a transaction can edit the file of a digest.
	edits struct {
		digest haproxy.Digest
		line   int
		ok     bool
	}
	// conditions are those of .if lines that HAProxy was asked about.
	conditions map[string]verdict
	names      map[string]lookup // what host names of bind lines lead to
	// variables are those of HAProxy's process.
	variables map[string]string
	// master is the address of the master's socket, as far as the files do not say it.
	master string
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
	f := &Files{Base: base, Managed: managed, frontends: s.Frontends, binary: s.Binary, staticDomains: s.StaticDomains, spares: s.Spares, checker: c, waits: w, list: []string{base, managed}, master: s.MasterSocket}
	f.checker.env = f.lacking
	if f.OneFile() {
		f.list = f.list[:1]
	}
	if _, err := loads(s.Files); err != nil {
		return nil, err
	}
	if len(s.Files) > 0 && !f.Use(s.Files) {
		return nil, fmt.Errorf("the files of HAProxy that are named lack %s or %s; name all, in HAProxy's order", base, managed)
	}
	return f, nil
}

// Use takes the files and directories that HAProxy is started with, in its order. It is false, and changes nothing, where
// the base file or the managed file is not among them.
func (c *Files) Use(list []string) bool {
	resolved, err := resolveAll(list)
	if err != nil || !c.Names(list) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = resolved
	return true
}

// Names reports whether the base file and the managed file are among files and directories.
func (c *Files) Names(list []string) bool {
	all, err := loads(list)
	return err == nil && slices.Contains(all, c.Base) && slices.Contains(all, c.Managed)
}

// Reversed reports whether HAProxy reads the managed file before the base file.
func (c *Files) Reversed(list []string) bool {
	all, err := loads(list)
	return err == nil && slices.Index(all, c.Managed) < slices.Index(all, c.Base)
}

// expanded are the files that HAProxy reads, in its order.
func (c *Files) expanded() ([]string, error) {
	c.mu.Lock()
	list := c.list
	c.mu.Unlock()
	return expand(list)
}

// OneFile reports whether the operator's configuration and the managed part share a file.
func (c *Files) OneFile() bool { return c.Base == c.Managed }

// A Reading is what was read of the files at one time.
type Reading struct {
	// marks are the signs of the files' last change, from before they were read, in the order of sources; behind them the map file's,
	// and keyedFile's.
	marks []mark
	Text  string
	// Digest is that of the managed file, BaseDigest that of the others.
	Digest, BaseDigest haproxy.Digest
	doc                Document // of the managed file, or of what a new one would be
	// sources are all files in HAProxy's order; the managed one is at.
	sources  []source
	at       int
	defaults []defaultsSection
	Managed  Managed
	Base     Base
	keyed    string // the text of keyedFile
	mapText  string // that of the map file, if a rule reads it
	mapThere bool
	// Unclaimed is set where there is no such file yet.
	Unclaimed bool
}

// Read reads the files. A missing managed file reads as a new one.
func (c *Files) Read() (Reading, error) {
	list, err := c.expanded()
	if err != nil {
		return Reading{}, err
	}
	f := Reading{marks: c.marks(list)}
	texts := make([]string, len(list))
	var others []string
	for i, path := range list {
		text, digest, err := ReadText(path)
		if err != nil {
			return Reading{}, err
		}
		texts[i] = text
		if path == c.Managed {
			f.Text, f.Digest, f.at = text, digest, i
			continue
		}
		if digest == "" && path == c.Base {
			return Reading{}, fmt.Errorf("%s is missing; name HAProxy's own configuration with --base-file, or let hapsync init write one", c.Base)
		}
		others = append(others, path, string(digest))
	}
	if len(others) == 2 {
		f.BaseDigest = haproxy.Digest(others[1])
	} else if len(others) > 2 {
		f.BaseDigest = digestOf(strings.Join(others, "\n"))
	}
	claimed := false
	if f.keyed, claimed, err = ReadBeside(c.keyedFile()); err != nil {
		return Reading{}, err
	}
	f.Unclaimed = !claimed
	if f.mapText, f.mapThere, err = c.readMapFile(f.Text); err != nil {
		return Reading{}, err
	}
	if last := c.lastRead(); last.doc.lines != nil && last.Digest == f.Digest && last.keyed == f.keyed && last.mapText == f.mapText && last.mapThere == f.mapThere && last.Unclaimed == f.Unclaimed && last.BaseDigest == f.BaseDigest && len(last.sources) == len(list) {
		last.marks = f.marks
		last.Base.Binds.Local = localAddresses()
		c.keep(last)
		return last, nil
	}
	if err := c.take(&f, list, texts); err != nil {
		return Reading{}, err
	}
	c.keep(f)
	return f, nil
}

// paths are those of the files that were read.
func (f Reading) paths() []string {
	paths := make([]string, len(f.sources))
	for i, s := range f.sources {
		paths[i] = s.path
	}
	return paths
}

// unchanged reports whether the files have the marks that they had before they were read.
func (c *Files) unchanged(f Reading) bool {
	if f.doc.lines == nil || f.marks[f.at] == (mark{}) {
		return false
	}
	list, err := c.expanded()
	return err == nil && slices.Equal(list, f.paths()) && slices.Equal(f.marks, c.marks(list))
}

// Reread is Read, without a look into files that are by all signs as they were.
func (c *Files) Reread() (Reading, error) {
	if last := c.lastRead(); c.unchanged(last) {
		return last, nil
	}
	return c.Read()
}

// Unchanged is what was read last; ok is false where a file is not as it was then.
func (c *Files) Unchanged() (f Reading, ok bool) {
	f = c.lastRead()
	return f, c.unchanged(f)
}

// Validate has haproxy -c look at the files as they stand, and returns what it warns of.
func (c *Files) Validate(ctx context.Context) (warnings []string, err error) {
	list, err := c.expanded()
	if err != nil {
		return nil, err
	}
	return c.checker.check(ctx, list...)
}

// Loaded reads the managed part of a text that the managed file had, beside the other files of f.
func (c *Files) Loaded(f Reading, text string) Managed {
	if text == f.Text {
		return f.Managed
	}
	f = c.with(f, text)
	f.defaults = readDefaults(f.sources)
	return c.readManaged(f.doc, f)
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
func (c *Files) take(f *Reading, list, texts []string) (err error) {
	text := f.Text
	if strings.TrimSpace(text) == "" {
		if c.OneFile() {
			return fmt.Errorf("%s is missing or empty; hapsync init writes one", c.Managed)
		}
		text = newFile(c.frontends)
	}
	f.sources = make([]source, len(list))
	docs := make([]Document, len(list))
	for i := range list {
		if i != f.at {
			docs[i] = c.decide(parseDocument(texts[i]))
		} else {
			docs[i] = c.decide(parseDocument(text))
		}
	}
	env := c.environment(docs)
	for i, path := range list {
		f.sources[i] = source{path, c.fill(docs[i], env)}
	}
	f.doc = f.sources[f.at].doc
	return c.interpret(f)
}

// interpret reads what the documents say.
func (c *Files) interpret(f *Reading) (err error) {
	if f.Base, err = readBase(f.sources, c.Managed, c.environment(f.documents())); err != nil {
		return err
	}
	c.mu.Lock()
	master := c.master
	c.mu.Unlock()
	f.Base.bind(master, nil, "the master socket "+master)
	c.resolveBinds(&f.Base)
	f.defaults = readDefaults(f.sources)
	f.Managed = c.readManaged(f.doc, *f)
	keyed := readKeyed(f.keyed)
	for i, b := range f.Managed.Config.Backends {
		f.Managed.Config.Backends[i].Typed = keyed.typed(b)
	}
	if err := c.findFrontends(*f); err != nil {
		return err
	}
	c.findStaleMap(f)
	f.Base.Binds.Local = localAddresses()
	f.readDefaults(c.frontends)
	return nil
}

// readManaged reads the managed part of a text of the managed file, beside the other files of f.
func (c *Files) readManaged(d Document, f Reading) Managed {
	inherited := func(s section) defaultsSection { return f.inherited(f.at, s) }
	m := readManaged(d, c.frontends, c.Managed, f.Base.Proxies, inherited)
	docs := f.documents()
	docs[f.at] = d
	m.findSpares(docs, f.at, inherited)
	return m
}

// findFrontends refuses a file that lacks a frontend that is to carry the rules.
func (c *Files) findFrontends(f Reading) error {
	for _, name := range c.frontends {
		s, ok := f.Managed.frontends[name]
		switch place := f.Base.frontends[name]; {
		case place != "":
			where, remedy := "another file than the managed one", ""
			if strings.Contains(place, "("+c.Base+":") {
				where, remedy = "the base file", fmt.Sprintf(", or use one file for both (--managed-file %s)", c.Base)
			}
			return fmt.Errorf("%s is in %s, which hapsync does not write; move it to %s%s", place, where, c.Managed, remedy)
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
		mode := lastOf(f.effective(f.at, f.Managed.frontends[name]), "mode")
		if mode != "http" {
			found = append(found, fmt.Sprintf("frontend %s is not in mode http, so that its Host rules and cookies do nothing; write \"mode http\" into the defaults of %s", name, c.Base))
		}
	}
	return slices.Concat(found, f.unknownNames(), c.shadowed(f))
}

// State is what the files say. The process is not asked.
func (c *Files) State() (haproxy.State, error) {
	f, err := c.Read()
	if err != nil {
		return haproxy.State{}, err
	}
	return c.FileState(f, nil), nil
}
