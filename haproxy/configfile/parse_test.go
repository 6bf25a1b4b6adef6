package configfile

import (
	"fmt"
	stdsync "sync"
	"testing"
)

// TestFilesAreReadAtTheSameTime needs the race detector to fail.
func TestFilesAreReadAtTheSameTime(t *testing.T) {
	t.Parallel()
	var reading stdsync.WaitGroup
	for i := range 8 {
		reading.Go(func() {
			for range 50 {
				text := fmt.Sprintf("global\n    server-state-file /s%d\n\ndefaults d%d\n    mode http\n", i, i)
				if b, err := readBase(parseDocument(text), "haproxy.cfg"); err != nil || b.StateFile != fmt.Sprintf("/s%d", i) || b.mode != "http" {
					t.Errorf("read %q, %q, %v", b.StateFile, b.mode, err)
				}
			}
		})
	}
	reading.Wait()
}
