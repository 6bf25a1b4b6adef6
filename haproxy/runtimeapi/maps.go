package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// unknownMap is HAProxy's answer where no rule of its configuration reads the map (2.6 to 3.4).
const unknownMap = "Unknown map identifier."

// Map reads the entries of a map, which is named by the path of its file as HAProxy's configuration has it. Where a key is there more than once, the first
// one counts, as it does for HAProxy. It is not ok where the process has no such map.
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
			entries[w[1]] = strings.Join(w[2:], " ")
		}
	}
	return entries, true, nil
}

// ChangeMap takes keys out of a map, then adds entries: a key that is there and gets another value is to be named in both. Keys and
// values are names. What HAProxy made of it is to be read back.
func (r Client) ChangeMap(ctx context.Context, file string, gone []string, added map[string]string) error {
	if err := safePath(file); err != nil {
		return err
	}
	var commands []string
	for _, key := range slices.Sorted(slices.Values(gone)) {
		if err := safeName(key); err != nil {
			return fmt.Errorf("key %q of a map: %w", key, err)
		}
		commands = append(commands, "del map "+file+" "+key)
	}
	for _, key := range slices.Sorted(maps.Keys(added)) {
		if err := safeName(key); err != nil {
			return fmt.Errorf("key %q of a map: %w", key, err)
		}
		if err := safeName(added[key]); err != nil {
			return fmt.Errorf("value %q in a map: %w", added[key], err)
		}
		commands = append(commands, "add map "+file+" "+key+" "+added[key])
	}
	return r.exec(ctx, commands)
}

// safePath refuses what must not stand for a file in a command.
func safePath(path string) error {
	for _, c := range []byte(path) {
		if !isNameByte(c) && c != '/' {
			return fmt.Errorf("file %q: %q must not be in a command", path, c)
		}
	}
	if path == "" {
		return errors.New("no file is named")
	}
	return nil
}
