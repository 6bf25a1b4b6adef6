package configfile

import (
	"path/filepath"
)

// Keep keeps a text beside the managed file. It outlives this process, but not a crash of the machine.
func (c *Files) Keep(memo []byte) error {
	return ReplaceVolatile(c.keptFile(), c.Managed, string(memo))
}

// Kept is what Keep kept last; nil where there is nothing.
func (c *Files) Kept() ([]byte, error) {
	text, there, err := ReadBeside(c.keptFile())
	if !there {
		return nil, err
	}
	return []byte(text), err
}

func (c *Files) keptFile() string {
	dir, name := filepath.Split(c.Managed)
	return filepath.Join(dir, "."+name+".agent")
}
