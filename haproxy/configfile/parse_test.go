package configfile

import (
	"fmt"
	"os"
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
				b, err := readBase(readingOf(text).sources, "", os.Getenv)
				if err != nil || b.StateFile != fmt.Sprintf("/s%d", i) {
					t.Errorf("read %q, %v", b.StateFile, err)
				}
			}
		})
	}
	reading.Wait()
}
