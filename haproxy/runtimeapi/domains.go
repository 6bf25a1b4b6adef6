package runtimeapi

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// goneWait and idleWait are how long a backend without servers may take to lose its last streams. After that it waits for a retry.
const (
	goneWait = "100ms"
	idleWait = 100 * time.Millisecond
)

// AddBackends adds backends without servers, each from a named defaults section. Rules skip them until they are published (3.4).
// added are those that the process did not have before. refused has HAProxy's reasons, by backend.
func (r Client) AddBackends(ctx context.Context, from map[string]string) (added map[string]bool, refused map[string]string, err error) {
	var commands []string
	for _, name := range slices.Sorted(maps.Keys(from)) {
		if err := safeName(name); err != nil {
			return nil, nil, fmt.Errorf("backend %q: %w", name, err)
		}
		if err := safeName(from[name]); err != nil {
			return nil, nil, fmt.Errorf("defaults %q: %w", from[name], err)
		}
		commands = append(commands, "add backend "+name+" from "+from[name])
	}
	added, refused = map[string]bool{}, map[string]string{}
	for _, line := range pack(commands) {
		const done = "New backend registered"
		reply, err := r.Ask(ctx, line)
		if err != nil {
			return nil, nil, err
		}
		if strings.Count(reply, done) == 1+strings.Count(line, ";") {
			for command := range strings.SplitSeq(line, ";") {
				added[strings.Fields(command)[2]] = true
			}
			continue
		}
		for command := range strings.SplitSeq(line, ";") {
			reply, err := r.Ask(ctx, command)
			if err != nil {
				return nil, nil, err
			}
			// "already used": the whole line added it before
			if words := oneLine(reply); !strings.Contains(words, done) && !strings.Contains(words, "already used") {
				refused[strings.Fields(command)[2]] = words
			}
		}
	}
	return added, refused, nil
}

func oneLine(reply string) string { return strings.Join(strings.Fields(reply), " ") }

// Publish lets rules lead to backends (3.4). The caller must read the result.
func (r Client) Publish(ctx context.Context, backends []string) error {
	return r.each(ctx, "publish backend ", backends)
}

// Unpublish makes rules skip backends (3.4). The caller must read the result.
func (r Client) Unpublish(ctx context.Context, backends []string) error {
	return r.each(ctx, "unpublish backend ", backends)
}

// DeleteBackends deletes added backends without servers. A backend with streams stays. The caller must read the result.
func (r Client) DeleteBackends(ctx context.Context, backends []string) error {
	if len(backends) == 0 {
		return nil
	}
	if err := r.each(ctx, "del backend ", backends); err != nil {
		return err
	}
	_, left, err := r.Look(ctx, backends...)
	if err != nil {
		return err
	}
	for _, b := range left {
		if len(b.Servers) > 0 {
			continue
		}
		if _, err := r.Ask(ctx, "wait "+goneWait+" be-removable "+b.Name+";del backend "+b.Name); err != nil {
			return err
		}
	}
	return nil
}

// AwaitIdle waits a moment for the last sessions of backends without servers.
func (r Client) AwaitIdle(ctx context.Context, backends []string) error {
	if len(backends) == 0 {
		return nil
	}
	return poll(ctx, idleWait, func() (bool, error) {
		_, have, err := r.Look(ctx, backends...)
		return !slices.ContainsFunc(have, func(b Backend) bool { return len(b.Servers) == 0 && b.Sessions > 0 }), err
	})
}

func (r Client) each(ctx context.Context, command string, backends []string) error {
	commands, err := onEach(command, backends)
	if err != nil {
		return err
	}
	return r.exec(ctx, commands)
}

// onEach are a command on each backend.
func onEach(command string, backends []string) ([]string, error) {
	commands := make([]string, len(backends))
	for i, name := range backends {
		if err := safeName(name); err != nil {
			return nil, fmt.Errorf("backend %q: %w", name, err)
		}
		commands[i] = command + name
	}
	return commands, nil
}
