package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// unknownMap is HAProxy's answer if no rule of its configuration reads the map (2.6 to 3.4).
const unknownMap = "Unknown map identifier."

// Map reads the entries of a map. file is its path as in HAProxy's configuration. If a key exists more than once, the first one counts, as
// for HAProxy. ok is false if the process has no such map.
func (r Client) Map(ctx context.Context, file string) (entries map[string]string, ok bool, err error) {
	if err := safePath(file); err != nil {
		return nil, false, err
	}
	reply, err := r.Ask(ctx, "show map "+file)
	if err != nil || strings.HasPrefix(reply, unknownMap) {
		return nil, false, err
	}
	entries = map[string]string{}
	for l := range strings.Lines(reply) {
		w := strings.Fields(l)
		if len(w) == 0 {
			continue
		}
		if len(w) < 2 || !strings.HasPrefix(w[0], "0x") {
			return nil, false, fmt.Errorf("%s: \"show map %s\": unexpected line %q", r.Socket, file, clip(strings.TrimSpace(l), 80))
		}
		if _, known := entries[w[1]]; !known {
			entries[w[1]] = r.Names.load().fromMap(strings.Join(w[2:], " "))
		}
	}
	return entries, true, nil
}

// MapEntries reads the entries of some keys. It leaves out keys that the map does not have.
func (r Client) MapEntries(ctx context.Context, file string, keys []string) (map[string]string, error) {
	commands, err := mapCommands("get map "+file, file, keys, nil)
	if err != nil {
		return nil, err
	}
	entries := map[string]string{}
	for _, line := range pack(commands) {
		reply, err := r.Ask(ctx, line)
		if err != nil {
			return nil, err
		}
		for l := range strings.Lines(reply) {
			_, rest, found := strings.Cut(l, `, key="`)
			key, rest, _ := strings.Cut(rest, `"`)
			_, rest, _ = strings.Cut(rest, `value="`)
			value, _, ended := strings.Cut(rest, `"`)
			if found && ended {
				entries[key] = r.Names.load().fromMap(value)
			}
		}
	}
	return entries, nil
}

// A MapChange is a change of a map.
type MapChange struct {
	// File is the path of its file, as in HAProxy's configuration.
	File string
	// Have are the entries before the change, as they were read.
	Have map[string]string
	// Gone are the keys to remove, Set the entries to add or change. Keys and values are names.
	Gone []string
	Set  map[string]string
	// Publish are backends to publish before (3.4).
	Publish []string
}

// manyEntries is the number of changes from which a map may be replaced as a whole.
const manyEntries = 100

// ChangeMap changes a map. A changed key always has either its old or its new value. If at least as many entries change as stay, a new
// version replaces the whole map at once: an entry of it costs HAProxy as much as one change (20 to 60 us; on 2.6 a change costs
// 250 us). The caller must read the result.
func (r Client) ChangeMap(ctx context.Context, c MapChange) error {
	if err := safePath(c.File); err != nil {
		return err
	}
	if changes := len(c.Gone) + len(c.Set); changes >= manyEntries {
		all := map[string]string{}
		maps.Copy(all, c.Have)
		for _, key := range c.Gone {
			delete(all, key)
		}
		maps.Copy(all, c.Set)
		if changes >= len(all)-len(c.Set) && areNames(all) {
			if err := r.Publish(ctx, c.Publish); err != nil {
				return err
			}
			return r.replaceMap(ctx, c.File, all)
		}
	}
	added, changed := map[string]string{}, map[string]string{}
	for key, value := range c.Set {
		if _, there := c.Have[key]; there {
			changed[key] = value
		} else {
			added[key] = value
		}
	}
	commands, err := onEach("publish backend ", c.Publish)
	if err != nil {
		return err
	}
	for _, kind := range []struct {
		command string
		keys    []string
		values  map[string]string
	}{
		{"del map ", c.Gone, nil},
		{"set map ", slices.Collect(maps.Keys(changed)), changed},
		{"add map ", slices.Collect(maps.Keys(added)), added},
	} {
		of, err := mapCommands(kind.command+c.File, c.File, kind.keys, kind.values)
		if err != nil {
			return err
		}
		commands = append(commands, of...)
	}
	return r.exec(ctx, commands)
}

// replaceMap replaces all entries of a map at once, with a new version.
func (r Client) replaceMap(ctx context.Context, file string, entries map[string]string) error {
	reply, err := r.Ask(ctx, "prepare map "+file)
	if err != nil {
		return err
	}
	_, version, ok := strings.Cut(oneLine(reply), "New version created: ")
	if !ok || safeName(version) != nil {
		return fmt.Errorf("%s: \"prepare map %s\": unexpected reply %q", r.Socket, file, clip(oneLine(reply), 80))
	}
	commands, err := mapCommands("add map @"+version+" "+file, file, slices.Collect(maps.Keys(entries)), entries)
	if err != nil {
		return err
	}
	return r.exec(ctx, append(commands, "commit map @"+version+" "+file))
}

// areNames reports whether all keys and values are allowed in a command.
func areNames(entries map[string]string) bool {
	for key, value := range entries {
		if safeName(key) != nil || safeName(value) != nil {
			return false
		}
	}
	return true
}

// mapCommands are a command for each key, sorted, followed by its value if values is not nil.
func mapCommands(command, file string, keys []string, values map[string]string) (commands []string, err error) {
	if err := safePath(file); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(slices.Values(keys)) {
		if err := safeName(key); err != nil {
			return nil, fmt.Errorf("key %q of a map: %w", key, err)
		}
		words := command + " " + key
		if values != nil {
			if err := safeName(values[key]); err != nil {
				return nil, fmt.Errorf("value %q in a map: %w", values[key], err)
			}
			words += " " + values[key]
		}
		commands = append(commands, words)
	}
	return commands, nil
}

// safePath refuses what must not be a file in a command.
func safePath(path string) error {
	for _, c := range []byte(path) {
		if !haproxy.IsNameByte(c) && c != '/' {
			return fmt.Errorf("file %q: %q must not be in a command", path, c)
		}
	}
	if path == "" {
		return errors.New("no file is named")
	}
	return nil
}
