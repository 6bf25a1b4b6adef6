package haproxy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Keep keeps a text beside the managed file. It outlives this process, but not a crash of the machine.
func (h *Instance) Keep(memo []byte) error {
	return replaceVolatile(h.keptFile(), h.managed, string(memo))
}

// Kept is what Keep kept last; nil where there is nothing.
func (h *Instance) Kept() ([]byte, error) {
	text, err := os.ReadFile(h.keptFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

func (h *Instance) keptFile() string {
	dir, name := filepath.Split(h.managed)
	return filepath.Join(dir, "."+name+".agent")
}
