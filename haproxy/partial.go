package haproxy

import (
	"context"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A mark tells a file from what it was before it was replaced or written.
type mark struct {
	inode uint64
	size  int64
	time  time.Time
}

// markOf is the mark of a file; zero where it cannot be told.
func markOf(path string) mark {
	info, err := os.Stat(path)
	if err != nil {
		return mark{}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return mark{}
	}
	return mark{stat.Ino, info.Size(), info.ModTime()}
}

// marks are those of the managed file and the base file.
func (h *Instance) marks() [2]mark { return [2]mark{markOf(h.managed), markOf(h.base)} }

// stateOf is the State of some domains.
func (h *Instance) stateOf(ctx context.Context, domains []string) (State, error) {
	f, err := h.reread()
	if err != nil {
		return State{}, err
	}
	names := backendNames(domains)
	st := h.fileState(f, names)
	if err := h.readLive(ctx, f, &st, names...); err != nil {
		return State{}, err
	}
	return st, nil
}

// Recall is the State of some domains as State or Run read it last, without a look at HAProxy. It is not ok where that is
// not known of each, or where a file is not as it was. Whoever acts on it without a State in between has to compare what
// Run leaves, by another Recall: Run reads back the backends that it changes. Only an Instance with Background remembers.
func (h *Instance) Recall(domains ...string) (st State, ok bool) {
	f, names := h.lastRead(), backendNames(domains)
	if len(names) == 0 || f.doc.lines == nil || !f.unchanged(h.marks()) {
		return State{}, false
	}
	backends, ok := h.recollection.recall(names)
	if !ok {
		return State{}, false
	}
	st = h.fileState(f, names)
	err := h.takeLive(f, h.recollection.worker, backends, &st, names)
	return st, err == nil
}

// backendNames are those of some domains, sorted.
func backendNames(domains []string) []string {
	names := make([]string, len(domains))
	for i, d := range domains {
		names[i] = BackendName(d)
	}
	slices.Sort(names)
	return names
}

// fileState is what the files say of some backends.
func (h *Instance) fileState(f files, names []string) State {
	return State{
		File:   f.managed.config.only(names, h.settings.Frontends),
		Digest: f.digest, BaseDigest: f.baseDigest,
		Size: len(f.text), Missing: strings.TrimSpace(f.text) == "", Foreign: f.managed.foreign,
	}
}

// only is the part of a configuration that is about some backends, whose names are sorted.
func (c Config) only(names, frontends []string) Config {
	var part Config
	for _, name := range names {
		if b, ok := find(c.Backends, name); ok {
			part.Backends = append(part.Backends, b)
		}
	}
	for _, frontend := range slices.Compact(slices.Sorted(slices.Values(frontends))) {
		for _, name := range names {
			r := Rule{Frontend: frontend, Domain: domainOf(name)}
			if _, ok := slices.BinarySearchFunc(c.Rules, r, compareRules); ok {
				part.Rules = append(part.Rules, r)
			}
		}
	}
	sortRules(part.Rules)
	return part
}
