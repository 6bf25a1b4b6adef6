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
	// Base is the base file, Managed the managed file. Symbolic links are resolved.
	Base, Managed string
	frontends     []string
	binary        string
	staticDomains bool
	spares        haproxy.Spares
	checker       checker
	waits         *haproxy.Waits
	resolver      resolver      // nil means the system's
	mu            stdsync.Mutex // guards all that follows
	// list has the files and directories that HAProxy is started with, in its order. It includes the managed file.
	list []string
	// last is the last reading. It is reused while the bytes of the files are the same.
	last Reading
	// previous is the content before the last commit; nil before the first one, and after a reload.
	previous *previous
	// edits says whether a transaction can edit the file with the digest.
	edits struct {
		digest haproxy.Digest
		line   int
		ok     bool
	}
	// conditions are HAProxy's answers to conditions of .if lines.
	conditions map[string]verdict
	names      map[string]lookup // of host names in bind lines
	// variables are the environment variables of HAProxy's process.
	variables map[string]string
	// master is the address of the master's socket, from the settings or from the process.
	master string
}

// OpenFiles expects checked settings. It reads no file.
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
	f := &Files{
		Base: base, Managed: managed, frontends: s.Frontends, binary: s.Binary, staticDomains: s.StaticDomains, spares: s.Spares,
		checker: c, waits: w, list: []string{base, managed}, master: s.MasterSocket,
	}
	f.checker.env = f.missingVariables
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

// Use sets the files and directories that HAProxy is started with, in its order. It returns false and changes nothing if the base file or
// the managed file is not among them.
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

// Names reports whether a list of files and directories includes the base file and the managed file.
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

// Validate checks the current files with haproxy -c, and returns its warnings.
func (c *Files) Validate(ctx context.Context) (warnings []string, err error) {
	list, err := c.expanded()
	if err != nil {
		return nil, err
	}
	return c.checker.check(ctx, list...)
}

// findFrontends returns an error if the file lacks one of the frontends that get the rules.
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
			return fmt.Errorf("%s:%d: frontend %s stands between .if and .endif, where hapsync does not write; move it out",
				c.Managed, s.head+1, name)
		case ok:
		default:
			if place := c.listenOf(f, name); place != "" {
				return fmt.Errorf("%s is a listen section, and hapsync writes its rules into a frontend alone; "+
					"split it into a frontend with its bind line, in %s, and a backend", place, c.Managed)
			}
			return fmt.Errorf("%s has no frontend %s; add it with its bind line, or name yours with --frontend", c.Managed, name)
		}
	}
	return nil
}

// listenOf is the place of the listen section with a name; empty if there is none.
func (c *Files) listenOf(f Reading, name string) string {
	for _, src := range f.sources {
		for _, s := range src.doc.sections {
			if s.kind == "listen" && s.name == name && !s.off {
				return fmt.Sprintf("%s (%s:%d)", name, src.path, s.head+1)
			}
		}
	}
	return ""
}
