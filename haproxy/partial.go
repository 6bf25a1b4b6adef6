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
	st := State{Digest: f.digest, BaseDigest: f.baseDigest, Size: len(f.text), Missing: strings.TrimSpace(f.text) == "", Foreign: f.managed.foreign}
	names := make([]string, len(domains))
	for i, d := range domains {
		names[i] = BackendName(d)
	}
	slices.Sort(names)
	st.File = f.managed.config.only(names, h.settings.Frontends)
	if err := h.readLive(ctx, f, &st, names...); err != nil {
		return State{}, err
	}
	st.Live = st.Live.only(names, h.settings.Frontends)
	return st, nil
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
