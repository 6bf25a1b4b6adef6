package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestCIRunsTheCommandsOfTheREADMEAsPrinted compares the indented lines of README's first section with what .ci/run runs with
// as_printed, in order.
func TestCIRunsTheCommandsOfTheREADMEAsPrinted(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "../../README.md"), "\n## ")
	section, _, _ = strings.Cut(section, "\n## ")
	want := matches(`(?m)^    (\S.*)$`, section)
	if len(want) != 2 {
		t.Fatalf("the first section of README has the commands %q, want two", want)
	}
	if got := matches(`(?m)^as_printed (\S.*)$`, read(t, "../../.ci/run")); !slices.Equal(got, want) {
		t.Errorf(".ci/run runs as printed: %q, README prints %q", got, want)
	}
}

// TestTheWorkflowOfPublicCIRunsTheScriptAndNothingElse holds that what CI does stands in one place.
func TestTheWorkflowOfPublicCIRunsTheScriptAndNothingElse(t *testing.T) {
	runs := matches(`(?m)^ +- run: (.*)$`, read(t, "../../.github/workflows/ci.yml"))
	if !slices.Equal(runs, []string{".ci/run"}) {
		t.Errorf("the workflow runs %q", runs)
	}
}

// matches are the first groups of all that a pattern finds.
func matches(pattern, text string) []string {
	var found []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}
