package main

import (
	"strings"
	"testing"

	"github.com/hapsync/hapsync/registry/docker"
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

func TestAnEngineThatIsReachedByAnotherProtocolIsRefused(t *testing.T) {
	for host, word := range map[string]string{
		"ssh://user:secret@x": "ssh is not supported", "foo://x": "foo is not supported", "npipe:////./pipe/x": "npipe is not supported",
		"tcp://x:99999": `port "99999" is not a number of 1 to 65535`, "tcp://x": "",
	} {
		t.Setenv("DOCKER_HOST", host)
		engine, err := docker.Open("")
		switch {
		case err == nil:
			_ = engine.Close()
			if word != "" {
				t.Errorf("%s is taken", host)
			}
			continue
		case word == "":
			t.Errorf("%s: %v", host, err)
			continue
		}
		got := new(bench).run(t, "register", "--docker", "--ip", "10.0.0.1")
		if got.code != exitUsage || !strings.Contains(got.stderr, word) || strings.Contains(got.stderr, "secret") {
			t.Errorf("%s: code %d: %s", host, got.code, got.stderr)
		}
	}
}

func TestAgentURLHasAPortThatExists(t *testing.T) {
	for text, good := range map[string]bool{"https://lb1:99999": false, "https://lb1:0": false, "https://lb1:9101": true, "https://lb1": true} {
		if _, err := agentURL(text); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}
