package configfile

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Unwritable says why a new managed file could not be put in place, as far as that shows before it is tried: its
// directory cannot be written, or its disk has no room for a file of this size.
func (c *Files) Unwritable(size int) error {
	dir := filepath.Dir(c.Managed)
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("%s cannot be replaced: %s: %w (hapsync must be able to create files in that directory)", c.Managed, dir, err)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil || disk.Blocks == 0 {
		return nil //nolint:nilerr // it tells nothing
	}
	if room := disk.Bfree * uint64(disk.Bsize); room <= uint64(size) {
		return fmt.Errorf("%s cannot be replaced: %s has %d bytes of room: %w", c.Managed, dir, room, unix.ENOSPC)
	}
	return nil
}
