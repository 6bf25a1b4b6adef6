package configfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// SameFiles reports whether HAProxy reads the same files in the same order for both lists.
func SameFiles(list, other []string) bool {
	all, err := loads(list)
	others, otherErr := loads(other)
	return err == nil && otherErr == nil && slices.Equal(all, others)
}

// loads are the files that HAProxy reads for a list of files and directories, in its order.
func loads(list []string) ([]string, error) {
	resolved, err := resolveAll(list)
	if err != nil {
		return nil, err
	}
	return expand(resolved)
}

func resolveAll(list []string) ([]string, error) {
	resolved := make([]string, len(list))
	for i, path := range list {
		var err error
		if resolved[i], err = resolve(path); err != nil {
			return nil, err
		}
	}
	return resolved, nil
}

// expand replaces each directory by its files, as HAProxy does.
func expand(list []string) ([]string, error) {
	var all []string
	for _, path := range list {
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			all = append(all, path)
			continue
		}
		files, err := filesOf(path)
		if err != nil {
			return nil, err
		}
		all = append(all, files...)
	}
	return all, nil
}

// filesOf are the files of a directory that HAProxy loads, sorted: regular files whose names end with .cfg, and links to them.
func filesOf(dir string) (files []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".cfg") || name[0] == '.' {
			continue
		}
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) && e.Type()&fs.ModeSymlink == 0 {
			continue // it was removed meanwhile
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("HAProxy does not load %s with a link to nowhere in it, remove it: %w", dir, err)
		}
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		if path, err = resolve(path); err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	return files, nil
}
