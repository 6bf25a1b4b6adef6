package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/daemon"
	"github.com/hapsync/hapsync/registry/etcd"
)

// TestMain runs the program if the test binary is started by the name "hapsync". Otherwise a SIGHUP without a running agent
// must not end the tests.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "hapsync" {
		main()
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	os.Exit(m.Run())
}

func hangUp(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

func TestHangupReadsTheConfigFileAgain(t *testing.T) {
	file := writeFile(t, "max-removal: 30\n")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir, _ := place(t)
	first, second := filepath.Join(dir, "1.sock"), filepath.Join(dir, "2.sock")
	b := oneHost()
	b.env = map[string]string{"HAPSYNC_CONFIG_FILE": file, "HAPSYNC_LISTEN": first}
	var prefixes []string
	other := oneHost()
	other.snapshot.Revision = 900
	p := b.program(nil, nil)
	p.dial = func(cfg etcd.Config) (source, error) {
		prefixes = append(prefixes, cfg.Prefix)
		if cfg.Prefix == "/other" {
			return benchSource{other}, nil
		}
		return benchSource{b}, nil
	}
	a := startAgent(t, p, first, "--log-level", "info")
	a.answers(t, "/readyz", 200)

	hangUp(t)
	a.says(t, "the settings are what they were, all is read again")
	eventually(t, "the registry is read again", func() error {
		if b.relists.Load() == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	write("prefix: 5\n")
	hangUp(t)
	a.says(t, "the new settings cannot be used, the old ones stay")
	a.says(t, "prefix: want text")
	a.answers(t, "/readyz", 200)
	write("prefix: /other\n")
	hangUp(t)
	a.says(t, "the agent runs with new settings")
	a.answers(t, "/readyz", 200)
	a.answers(t, "/status", 200, `"revision": 900`)
	write("prefix: /other\nlisten: " + second + "\n")
	hangUp(t) // the flag comes before the file
	a.says(t, "all is read again")
	a.answers(t, "/readyz", 200)
	if code := a.ends(); code != exitOK {
		t.Errorf("code %d", code)
	}
	if got := strings.Join(prefixes, " "); got != "/services/web /other" {
		t.Errorf("dialled for %s\n%s", got, a)
	}
	if _, err := os.Lstat(first); err == nil {
		t.Error("the socket is left behind")
	}
}

func TestHangupMovesTheAddress(t *testing.T) {
	dir, _ := place(t)
	first, second := filepath.Join(dir, "1.sock"), filepath.Join(dir, "2.sock")
	file := writeFile(t, "listen: "+first+"\n")
	b := oneHost()
	p := b.program(nil, nil)
	stderr := new(log)
	p.stdout, p.stderr = stderr, stderr
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- p.run(ctx, []string{"hapsync", "agent", "--config-file", file}) }()
	defer func() {
		cancel()
		if got := <-code; got != exitOK {
			t.Errorf("code %d\n%s", got, stderr)
		}
	}()
	at := func(path string) *runningAgent {
		return &runningAgent{log: stderr, listen: daemon.Address{Network: "unix", Address: path}}
	}
	at(first).answers(t, "/readyz", 200)
	at(first).says(t, "the agent runs")

	for content, word := range map[string]string{"listen: " + dir + "\n": "is no socket", "listen: /nowhere/x.sock\n": "no such file"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		hangUp(t)
		at(first).says(t, word)
		at(first).answers(t, "/readyz", 200)
	}
	if err := os.WriteFile(file, []byte("listen: "+second+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t)
	at(second).answers(t, "/readyz", 200)
	eventually(t, "the first socket is gone", func() error {
		if _, err := os.Lstat(first); err == nil {
			return errors.New("it is there")
		}
		return nil
	})
}
