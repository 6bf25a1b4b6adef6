package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestOutputThatCannotBeWrittenIsAnError is for each way in which commands write.
func TestOutputThatCannotBeWrittenIsAnError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, args := range []string{"check", "list", "plan", "sync", "version", "completion bash", "agent --print-unit", "--help", "help sync", "sync --help"} {
		var stderr bytes.Buffer
		p := oneHost().program(nil, &stderr)
		p.stdout = full
		if code := p.run(t.Context(), append([]string{"hapsync"}, strings.Fields(args)...)); code != exitError {
			t.Errorf("%s: code %d, want 1: %s", args, code, &stderr)
		}
		wantContains(t, args, stderr.String(), "no space left on device")
	}
}
