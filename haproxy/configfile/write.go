package configfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// editLimit is the size in bytes up to which a transaction is considered. With larger files client-native costs too much: at 2.9 MB, 2.5 s
// and 900 MB, the splice 26 ms and 13 MB (EditBySize in the benchmarks). At 256 kB it takes 0.2 s, the splice 3 ms.
const editLimit = 256 << 10

// NoEdit says why a transaction should not edit a text; empty if it can.
func (c *Files) NoEdit(f Reading) string {
	text, digest := f.Text, f.Digest
	if len(f.Managed.NotOurs) > 0 {
		return "a transaction would not leave servers that are not hapsync's in their place"
	}
	if domain := f.Managed.otherForm; domain != "" {
		return "a transaction would not leave the ACL or the rule of " + domain + " in its form"
	}
	if domain := f.Managed.withNames(); domain != "" {
		return "a transaction would not keep the further names of " + domain + " in their order"
	}
	if i := slices.IndexFunc(f.Managed.Config.Rules, func(r haproxy.Rule) bool { return r.Closed }); i >= 0 {
		return "a transaction would not keep the rule of " + f.Managed.Config.Rules[i].Domain + " shut"
	}
	for _, s := range f.Managed.frontends {
		if len(shadows(f.doc.body(s))) > 0 {
			return "a transaction would not keep hapsync's rules of frontend " + s.name + " above yours"
		}
		if s.from != "" {
			return "a transaction would not give new backends the defaults " + s.from + " of frontend " + s.name
		}
	}
	if len(text) > editLimit {
		return fmt.Sprintf("at %d kB the file is cheaper to write than to edit", len(text)>>10)
	}
	if why := changedByTransaction(f.doc, f.Managed); why != "" {
		return why
	}
	if line, ok := c.reproduces(text, digest); !ok {
		return fmt.Sprintf("client-native would not leave line %d of %s as it is", line, filepath.Base(c.Managed))
	}
	return ""
}

// reproduces caches the result of the function reproduces for the last file.
func (c *Files) reproduces(text string, digest haproxy.Digest) (line int, ok bool) {
	c.mu.Lock()
	known := c.edits
	c.mu.Unlock()
	if digest != "" && known.digest == digest {
		return known.line, known.ok
	}
	line, ok = reproduces(text)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.edits.digest, c.edits.line, c.edits.ok = digest, line, ok
	return line, ok
}

// Lossy is the first line of the managed file that client-native would change; ok is false if there is none, or if the file is too large for
// a transaction anyway.
func (c *Files) Lossy(f Reading) (line int, ok bool) {
	if f.Digest == "" || len(f.Text) > editLimit {
		return 0, false
	}
	line, same := c.reproduces(f.Text, f.Digest)
	return line, !same
}

// Before is called immediately before the new file replaces the old one.
type Before func(ctx context.Context, have Reading) error

// Commit edits the managed file in one client-native transaction, on a copy. A second reader verifies the result, haproxy -c checks it in its
// directory, and a rename puts it in place. The error is ErrConflict if the file no longer has the digest base, and an
// *InvalidConfigError if HAProxy refuses the result. The file is then unchanged.
func (c *Files) Commit(ctx context.Context, want haproxy.Config, base haproxy.Digest, before Before) error {
	f, err := c.readAt(base)
	if err != nil {
		return err
	}
	if line, ok := c.reproduces(f.Text, f.Digest); !ok {
		return fmt.Errorf("edit %s: client-native would not leave line %d as it is; use a rewrite", c.Managed, line)
	}
	if _, err := c.checker.isHAProxy(ctx); err != nil { // client-native runs haproxy -v, too, but without a timeout
		return fmt.Errorf("edit %s: %w", c.Managed, err)
	}
	c.forNewDomains(ctx, &f, want)
	edited, err := transact(ctx, Beside(c.Managed, "transaction"), c.binary, f.Text, f.Managed, want)
	if err != nil {
		return fmt.Errorf("edit %s: %w", c.Managed, err)
	}
	return c.commit(ctx, f, edited, want, before)
}

// Rewrite writes the whole managed file: it splices our lines in, and keeps other lines byte for byte. It checks and installs the file like
// Commit, and has the same errors.
func (c *Files) Rewrite(ctx context.Context, want haproxy.Config, base haproxy.Digest, before Before) error {
	f, err := c.readAt(base)
	if err != nil {
		return err
	}
	c.forNewDomains(ctx, &f, want)
	return refused(c.commit(ctx, f, splice(f.doc, f.Managed, want), want, before))
}

// Preview is the text of the managed file, and the text that Rewrite would write.
func (c *Files) Preview(want haproxy.Config) (have, next string, err error) {
	f, err := c.Read()
	if err != nil {
		return "", "", err
	}
	c.forNewDomains(context.Background(), &f, want)
	return f.Text, splice(f.doc, f.Managed, want), nil
}

func (c *Files) readAt(base haproxy.Digest) (Reading, error) {
	f, err := c.Reread()
	if err != nil {
		return Reading{}, err
	}
	if f.Digest != base {
		return Reading{}, fmt.Errorf("%s: %w", c.Managed, haproxy.ErrConflict)
	}
	return f, nil
}

// Write writes the edit. It is the only function that chooses the method: Commit if a transaction can edit the file without loss and
// e.Rewrite is empty, else Rewrite.
func (c *Files) Write(ctx context.Context, e haproxy.Edit, before Before) error {
	f, err := c.Reread()
	if err != nil {
		return err
	}
	if e.Rewrite != "" || c.NoEdit(f) != "" {
		return c.Rewrite(ctx, e.Want, e.Base, before)
	}
	return c.Commit(ctx, e.Want, e.Base, before)
}

// commit verifies, checks and installs a new text of the managed file. The end of ctx does not interrupt the installation.
func (c *Files) commit(ctx context.Context, f Reading, text string, want haproxy.Config, before Before) error {
	if err := c.findMapFile(want); err != nil {
		return err
	}
	if err := c.keepMapFile(f, text); err != nil {
		return err
	}
	keyed := f.Managed.keyedIn(want)
	made, next, err := c.checked(ctx, f, text, keyed.String(), want)
	if err != nil {
		return err
	}
	if err := before(ctx, f); err != nil {
		return errors.Join(err, made.discard())
	}
	if digest, err := digestOfFile(c.Managed); err != nil || digest != f.Digest {
		return errors.Join(err, fmt.Errorf("%s: %w", c.Managed, haproxy.ErrConflict), made.discard())
	}
	if text == f.Text && next.mapText == f.mapText {
		return made.discard() // only HAProxy's answer was needed
	}
	next.fingerprints = slices.Clone(f.fingerprints)
	next.fingerprints[f.at] = fingerprintOf(made.path)
	defer c.waits.Begin("the disk")()
	interim := f // while the file may be the old or the new one, the words of both are kept
	interim.keyed, interim.Unclaimed = readKeyed(f.keyed).with(keyed).String(), false
	if err := c.keepKeyed(f, interim.keyed); err != nil {
		return errors.Join(err, made.discard())
	}
	if err := c.installWithMap(f, next.mapText, func() error { return c.install(f, made) }); err != nil {
		return errors.Join(err, made.discard())
	}
	if err := c.keepKeyed(interim, next.keyed); err != nil {
		return err
	}
	mapFile, _ := c.mapFile()
	copy(next.fingerprints[len(next.fingerprints)-2:], []fingerprint{fingerprintOf(mapFile), fingerprintOf(c.keyedFile())})
	if next.mapThere = c.readsMap(text); !next.mapThere {
		next.mapText = ""
	}
	c.keep(next)
	return nil
}

// checked makes a candidate of a new text that has passed both checks: verify, and haproxy -c, which runs meanwhile. next is f with that text.
func (c *Files) checked(ctx context.Context, f Reading, text, keyed string, want haproxy.Config) (made candidate, next Reading, err error) {
	end := c.waits.Begin("the disk")
	made, err = newCandidate(c.Managed, c.Managed, text)
	end()
	if err != nil {
		return made, next, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	verdict := make(chan error, 1)
	go func() { verdict <- c.validate(ctx, f, made) }()
	next, err = c.verified(f, text, keyed, want)
	if err == nil {
		end := c.waits.Begin("the disk")
		err = made.sync()
		end()
	}
	if err != nil {
		cancel() // nothing depends on HAProxy's answer any more
	}
	answer := <-verdict
	var invalid *haproxy.InvalidConfigError
	if errors.As(answer, &invalid) {
		invalid.Domains = domainsOf(invalid.Output, made.path, next.doc)
		invalid.Output = strings.ReplaceAll(invalid.Output, made.path, c.Managed)
	}
	if err = cmp.Or(err, answer); err != nil {
		err = errors.Join(err, made.discard())
	}
	return made, next, err
}

// verified is f with another text of the managed file, and another text of keyedFile, if it says what is wanted.
func (c *Files) verified(f Reading, text, keyed string, want haproxy.Config) (Reading, error) {
	next, err := c.after(f, text, keyed)
	if err != nil {
		return next, err
	}
	if err := verify(f, next, want); err != nil {
		return next, fmt.Errorf("%s is left as it is: %w", c.Managed, err)
	}
	return next, nil
}

// after is f with another text of the managed file, and another text of keyedFile.
func (c *Files) after(f Reading, text, keyed string) (Reading, error) {
	next := c.with(f, text)
	next.keyed, next.Unclaimed, next.Restored = keyed, false, false
	next.Text, next.Digest = text, digestOf(text)
	err := c.interpret(&next)
	next.mapText, next.Managed.StaleMap = next.Managed.mapText(mapEntries(next.Managed.Config), f.mapText), false
	return next, err
}

// with is f with another text of the managed file, which is not interpreted yet.
func (c *Files) with(f Reading, text string) Reading {
	docs := f.documents()
	docs[f.at] = c.decide(parseDocument(text))
	f.doc = c.fill(docs[f.at], c.environment(docs))
	f.sources = slices.Clone(f.sources)
	f.sources[f.at].doc = f.doc
	return f
}

// validate checks a candidate with haproxy -c, together with the other files.
func (c *Files) validate(ctx context.Context, f Reading, made candidate) error {
	checked := f.paths()
	checked[f.at] = made.path
	_, err := c.checker.check(ctx, checked...)
	return err
}

// previous is the content that a commit replaced: of the managed file, and of keyedFile.
type previous struct{ text, keyed string }

// replaced stores replaced content for Restore. The first one since the last reload counts.
func (c *Files) replaced(p previous) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.previous == nil {
		c.previous = &p
	}
}

// ForgetPrevious is called after a reload: Restore must not restore what was replaced before.
func (c *Files) ForgetPrevious() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.previous = nil
}

// takePrevious returns and forgets the replaced content; without one it returns other.
func (c *Files) takePrevious(other previous) previous {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.previous != nil {
		other = *c.previous
	}
	c.previous = nil
	return other
}

// Restore restores the managed file after a failed reload: to what was replaced last, or, if another process replaced it, to the text that
// the worker has loaded.
func (c *Files) Restore(f Reading, loaded string) error {
	if _, now, err := ReadText(c.Managed); err != nil || now != f.Digest {
		return err // another process has edited the file: leave it
	}
	before := c.takePrevious(previous{loaded, f.keyed})
	if before.text == "" {
		return nil
	}
	m := c.Loaded(f, before.text)
	restore := func() error { return Replace(c.Managed, c.Managed, before.text) }
	if err := c.installWithMap(f, m.mapText(mapEntries(m.Config), f.mapText), restore); err != nil {
		return fmt.Errorf("restore %s: %w", c.Managed, err)
	}
	return c.keepKeyed(f, before.keyed)
}
