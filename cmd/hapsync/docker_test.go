package main

import (
	"strings"
	"testing"
)

func TestFlagsThatDoNotGoWithDocker(t *testing.T) {
	for flag, value := range map[string]string{"domain": "a.abc.com", "port": "80", "weight": "7", "check": "tcp://127.0.0.1:1", "maxconn": "7"} {
		got := new(bench).run(t, "register", "--docker", "--"+flag, value)
		if got.code != exitUsage || !strings.Contains(got.stderr, "--"+flag+" does not go with --docker") {
			t.Errorf("--%s: code %d: %s", flag, got.code, got.stderr)
		}
	}
	for _, args := range [][]string{{"--backup"}, {"--", "sleep", "1"}} {
		if got := new(bench).run(t, append([]string{"register", "--docker"}, args...)...); got.code != exitUsage {
			t.Errorf("%v: code %d: %s", args, got.code, got.stderr)
		}
	}
}

func TestDomainsOfContainersAreChecked(t *testing.T) {
	got := new(bench).run(t, "register", "--docker", "--domains", "a.abc.com,*.bad_name", "--ip", "10.0.0.1")
	if got.code != exitUsage || !strings.Contains(got.stderr, `--domains: domain "bad_name" has "_"`) {
		t.Errorf("code %d: %s", got.code, got.stderr)
	}
}
