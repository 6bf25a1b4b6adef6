package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// now is the line of Go's time package by which time.Now reads the clocks of the machine.
const now = "\tsec, nsec, mono := runtimeNow()\n"

// follower is added to hapsync: the file that WALL_CLOCK names has by how many seconds the wall clock is wrong. What the
// process goes by is in a file beside it, with the process id as its ending. The steady clock is that of the machine.
const follower = `package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

func init() {
	file := os.Getenv("WALL_CLOCK")
	told := fmt.Sprintf("%s.%d", file, os.Getpid())
	follow := func() {
		text, _ := os.ReadFile(file)
		shift, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil || time.WallShift.Swap(shift) == shift {
			return
		}
		_ = os.WriteFile(told, text, 0o644)
	}
	follow()
	go func() {
		for range time.Tick(10 * time.Millisecond) {
			follow()
		}
	}()
}
`

// buildShifted builds hapsync with a time package of its own. All that hapsync consists of is compiled anew, once: then
// it is in Go's cache.
func buildShifted(dir string) (path string, err error) {
	dir = filepath.Join(dir, "shifted")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	// By a link, because Go replaces no file below its module cache, where a toolchain is that it has fetched.
	link := filepath.Join(dir, "goroot")
	if err := os.Symlink(strings.TrimSpace(string(root)), link); err != nil {
		return "", err
	}
	source := filepath.Join(link, "src/time/time.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	if strings.Count(string(text), now) != 1 || strings.Count(string(text), "import (\n") != 1 {
		return "", fmt.Errorf("%s is not as it was in Go 1.26: there is to be one line %q", source, now)
	}
	shifted := strings.Replace(string(text), now, now+"\tsec += WallShift.Load()\n", 1)
	shifted = strings.Replace(shifted, "import (\n", "import (\n\t\"sync/atomic\"\n", 1) +
		"\n// WallShift is added to the seconds of the wall clock.\nvar WallShift atomic.Int64\n"
	command, err := filepath.Abs("../cmd/hapsync/wallclock.go")
	if err != nil {
		return "", err
	}
	replace := map[string]string{source: filepath.Join(dir, "time.go"), command: filepath.Join(dir, "wallclock.go")}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	for file, text := range map[string]string{"time.go": shifted, "wallclock.go": follower, "overlay.json": string(overlay)} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	path = filepath.Join(dir, "hapsync")
	return path, harness.Build(path, module+"/cmd/hapsync", []string{"CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOROOT=" + link}, "-overlay", filepath.Join(dir, "overlay.json"))
}
