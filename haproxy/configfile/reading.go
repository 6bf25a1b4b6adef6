package configfile

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// A Reading is the content of all files at one time.
type Reading struct {
	// fingerprints were taken before the files were read: those of sources, in their order, then of the map file, then of keyedFile.
	fingerprints []fingerprint
	Text         string
	// Restored is set if Text is empty, and the rest is of what HAProxy has loaded last.
	Restored bool
	// Digest is the digest of the managed file, BaseDigest that of the others.
	Digest, BaseDigest haproxy.Digest
	doc                Document // the managed file, or a new one
	// sources are all files in HAProxy's order. The managed one has the index at.
	sources  []source
	at       int
	defaults []defaultsSection
	Managed  Managed
	Base     Base
	keyed    string // the text of keyedFile
	mapText  string // the text of the map file, if a rule reads it
	mapThere bool
	// Unclaimed is set if there is no keyedFile yet.
	Unclaimed bool
}

// Read reads the files. If the managed file is missing, it reads as a new one.
func (c *Files) Read() (Reading, error) {
	if err := cmp.Or(noDirectory("--base-file", c.Base), noDirectory("--managed-file", c.Managed)); err != nil {
		return Reading{}, err
	}
	list, err := c.expanded()
	if err != nil {
		return Reading{}, err
	}
	f := Reading{fingerprints: c.fingerprints(list)}
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
			return Reading{}, fmt.Errorf("%s is missing; %s", c.Base, nameBase)
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
	if last := c.lastRead(); f.sameTexts(last) && len(last.sources) == len(list) {
		last.fingerprints = f.fingerprints
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

// nameBase is what to do if HAProxy's own configuration is not where it should be.
const nameBase = "name the file that HAProxy is started with by --base-file, or let hapsync init write one for a new HAProxy"

func missingOrEmpty(d haproxy.Digest) string {
	if d == "" {
		return "missing"
	}
	return "empty"
}

// noDirectory returns an error if a path is that of a directory. HAProxy may be started with one, but hapsync edits a file.
func noDirectory(flag, path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory; name the file in it by %s", path, flag)
	}
	return nil
}

// sameTexts reports whether last has the same texts, and has been interpreted.
func (f Reading) sameTexts(last Reading) bool {
	return last.doc.lines != nil && last.Digest == f.Digest && last.BaseDigest == f.BaseDigest &&
		last.keyed == f.keyed && last.Unclaimed == f.Unclaimed && last.mapText == f.mapText && last.mapThere == f.mapThere
}

// paths are the paths of the files.
func (f Reading) paths() []string {
	paths := make([]string, len(f.sources))
	for i, s := range f.sources {
		paths[i] = s.path
	}
	return paths
}

// unchanged reports whether the files still have the fingerprints from before the reading.
func (c *Files) unchanged(f Reading) bool {
	if f.doc.lines == nil || f.fingerprints[f.at] == (fingerprint{}) {
		return false
	}
	list, err := c.expanded()
	return err == nil && slices.Equal(list, f.paths()) && slices.Equal(f.fingerprints, c.fingerprints(list))
}

// Reread is Read, but reads the files again only if an inode, size or mtime has changed.
func (c *Files) Reread() (Reading, error) {
	if last := c.lastRead(); c.unchanged(last) {
		return last, nil
	}
	return c.Read()
}

// Unchanged is the last reading; ok is false if a file has changed since.
func (c *Files) Unchanged() (f Reading, ok bool) {
	f = c.lastRead()
	return f, c.unchanged(f)
}

// Loaded reads the managed part of another text of the managed file, together with the other files of f.
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

// take interprets the texts of the files.
func (c *Files) take(f *Reading, list, texts []string) (err error) {
	text := f.Text
	if strings.TrimSpace(text) == "" {
		if text, err = c.lost(f.Digest); err != nil {
			return err
		}
		if f.Restored = text != ""; !f.Restored {
			text = newFile(c.frontends)
		}
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

// lost is the text of a managed file that is missing or empty: the one that HAProxy has loaded last; empty if that is not known.
func (c *Files) lost(digest haproxy.Digest) (string, error) {
	kept, _, err := ReadBeside(c.LoadedFile())
	if err != nil {
		return "", err
	}
	_, text, _ := strings.Cut(kept, "\n")
	if text = strings.TrimSpace(text); c.OneFile() {
		way := nameBase
		if text != "" {
			way = "restore it; below its first line, " + c.LoadedFile() + " has what HAProxy loaded last"
		}
		return "", fmt.Errorf("%s is %s; %s", c.Managed, missingOrEmpty(digest), way)
	}
	if text != "" {
		text += "\n"
	}
	return text, nil
}

// LoadedFile is the path of the copy of the text that HAProxy has loaded, below a first line that names its worker.
func (c *Files) LoadedFile() string { return Beside(c.Managed, "loaded") }

// interpret reads the parsed documents.
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

// readManaged reads the managed part of a document of the managed file, together with the other files of f.
func (c *Files) readManaged(d Document, f Reading) Managed {
	inherited := func(s section) defaultsSection { return f.inherited(f.at, s) }
	m := readManaged(d, c.frontends, c.Managed, f.Base.Proxies, inherited)
	docs := f.documents()
	docs[f.at] = d
	m.findSpares(docs, f.at, inherited)
	return m
}

// State is the state of the files. It does not ask the process.
func (c *Files) State() (haproxy.State, error) {
	f, err := c.Read()
	if err != nil {
		return haproxy.State{}, err
	}
	return c.FileState(f, nil), nil
}

// FileState is the state of the files for some backends, or for all if there are no names.
func (c *Files) FileState(f Reading, names []string) haproxy.State {
	file, m := f.Managed.Config, &f.Managed
	if len(names) > 0 {
		file = file.Only(names, c.frontends)
	}
	return haproxy.State{
		File: file, Digest: f.Digest, BaseDigest: f.BaseDigest, Missing: strings.TrimSpace(f.Text) == "", Unclaimed: f.Unclaimed,
		Foreign: m.Foreign, Behind: m.Behind, Exact: m.Exact, AnyPort: m.AnyPort, StaleMap: m.StaleMap, Wildcards: m.Wildcards,
		Needed: m.Needed, Given: m.Given, Own: m.Own, Binds: f.Base.Binds,
	}
}

// documents are the parsed files.
func (f Reading) documents() []Document {
	docs := make([]Document, len(f.sources))
	for i, src := range f.sources {
		docs[i] = src.doc
	}
	return docs
}

// A fingerprint changes if a file is replaced or written.
type fingerprint struct {
	inode uint64
	size  int64
	time  time.Time
}

// fingerprintOf is the fingerprint of a file; zero if the file cannot be examined.
func fingerprintOf(path string) fingerprint {
	info, err := os.Stat(path)
	if err != nil {
		return fingerprint{}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fingerprint{}
	}
	return fingerprint{stat.Ino, info.Size(), info.ModTime()}
}

// fingerprints are those of the files at paths, then of the map file, then of keyedFile.
func (c *Files) fingerprints(paths []string) []fingerprint {
	mapFile, _ := c.mapFile()
	all := make([]fingerprint, 0, len(paths)+2)
	for _, path := range paths {
		all = append(all, fingerprintOf(path))
	}
	return append(all, fingerprintOf(mapFile), fingerprintOf(c.keyedFile()))
}
