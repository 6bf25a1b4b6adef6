package haproxy

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// editLimit is the size in bytes up to which a file is looked at for whether a transaction can edit it. Beyond it
// client-native costs more than it gives: at 2.9 MB, 2.5 s and 900 MB against 26 ms and 13 MB for the splice
// (EditBySize in the benchmarks), at 256 kB 0.2 s against 3 ms.
const editLimit = 256 << 10

// noEdit says why a transaction should not edit a text; empty where it can.
func (h *Instance) noEdit(text string) string {
	if len(text) > editLimit {
		return fmt.Sprintf("at %d kB the file is cheaper to write than to edit", len(text)>>10)
	}
	if line, ok := reproduces(text); !ok {
		return fmt.Sprintf("client-native would not leave line %d of %s as it is", line, filepath.Base(h.managed))
	}
	return ""
}

// Commit edits the managed file in one client-native transaction: on a copy, verified by a second reader, validated by
// haproxy -c where it will stand, and put in place atomically. ErrConflict says that the file is not the one of base
// any more, an *InvalidConfigError that HAProxy refuses the result; the file is then as it was.
func (h *Instance) Commit(ctx context.Context, want Config, base Digest) error {
	f, err := h.readAt(base)
	if err != nil {
		return err
	}
	if line, ok := reproduces(f.text); !ok {
		return fmt.Errorf("edit %s: client-native would not leave line %d as it is; use a rewrite", h.managed, line)
	}
	if err := h.checker.answers(ctx); err != nil {
		return fmt.Errorf("edit %s: %w", h.managed, err)
	}
	dir, name := filepath.Split(h.managed)
	edited, err := transact(ctx, filepath.Join(dir, "."+name+".transaction"), h.settings.Binary, f.text, f.managed.config, want)
	if err != nil {
		return fmt.Errorf("edit %s: %w", h.managed, err)
	}
	return h.commit(ctx, f, edited, want)
}

// Rewrite writes the managed file anew: our own lines are spliced in, foreign ones stay as they are, byte for byte. It
// is validated and put in place like a Commit, and has the same errors.
func (h *Instance) Rewrite(ctx context.Context, want Config, base Digest) error {
	f, err := h.readAt(base)
	if err != nil {
		return err
	}
	return h.commit(ctx, f, splice(f.doc, f.managed, want), want)
}

func (h *Instance) readAt(base Digest) (files, error) {
	f, err := h.read()
	if err != nil {
		return files{}, err
	}
	if f.digest != base {
		return files{}, fmt.Errorf("%s: %w", h.managed, ErrConflict)
	}
	return f, nil
}

// Amend brings backends that the managed file has to what is wanted of them, by a Commit, or, where a transaction should not
// edit the file, by a Rewrite, whose errors it has: ErrConflict, too, where the file has no such backend. It may run while
// another goroutine calls State with domains, and Run.
func (h *Instance) Amend(ctx context.Context, backends []Backend) error {
	f, err := h.read()
	if err != nil {
		return err
	}
	want := f.managed.config
	want.Backends = slices.Clone(want.Backends)
	for _, b := range backends {
		i, ok := slices.BinarySearchFunc(want.Backends, b, compareBackends)
		if !ok {
			return fmt.Errorf("%s has no backend %s: %w", h.managed, b.Name, ErrConflict)
		}
		want.Backends[i] = b
	}
	if h.noEdit(f.text) == "" {
		return h.Commit(ctx, want, f.digest)
	}
	return h.Rewrite(ctx, want, f.digest)
}

// commit verifies, validates and installs a new text of the managed file. It is not cut in two by the end of ctx.
func (h *Instance) commit(ctx context.Context, f files, text string, want Config) error {
	next := files{text: text, digest: digestOf(text), baseDigest: f.baseDigest, doc: parseDocument(text), base: f.base, baseDoc: f.baseDoc}
	next.managed = h.readManaged(next.doc, f.base)
	if h.oneFile() {
		next.baseDoc = next.doc
	}
	if err := verify(f, next, want); err != nil {
		return fmt.Errorf("%s is left as it is: %w", h.managed, err)
	}
	end := h.waits.begin("the disk")
	c, err := newCandidate(h.managed, h.managed, text)
	end()
	if err != nil {
		return err
	}
	if err := h.validate(ctx, c, next.doc); err != nil {
		return errors.Join(err, c.discard())
	}
	if err := h.rememberLoaded(ctx, f); err != nil {
		return errors.Join(err, c.discard())
	}
	if _, digest, err := readText(h.managed); err != nil || digest != f.digest {
		return errors.Join(err, fmt.Errorf("%s: %w", h.managed, ErrConflict), c.discard())
	}
	if text == f.text {
		return c.discard() // HAProxy was only to be asked about it
	}
	next.marks = [2]mark{markOf(c.path), f.marks[1]}
	defer h.waits.begin("the disk")()
	if err := c.install(); err != nil {
		return errors.Join(fmt.Errorf("replace %s: %w", h.managed, err), c.discard())
	}
	h.keep(next)
	if h.previous == nil {
		h.previous = &f.text
	}
	return nil
}

// validate asks HAProxy about the candidate, together with the base file.
func (h *Instance) validate(ctx context.Context, c candidate, doc document) error {
	checked := []string{c.path}
	if !h.oneFile() {
		checked = []string{h.base, c.path}
	}
	_, err := h.checker.check(ctx, checked...)
	var invalid *InvalidConfigError
	if errors.As(err, &invalid) {
		invalid.Domains = domainsOf(invalid.Output, c.path, doc)
		invalid.Output = strings.ReplaceAll(invalid.Output, c.path, h.managed)
	}
	return err
}
