package main

import (
	"bytes"
	"errors"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/daemon"

	"github.com/hapsync/hapsync/registry"
)

// startSystemd returns the notifications that systemd receives.
func startSystemd(t *testing.T) *log {
	t.Helper()
	dir, _ := place(t)
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	heard, ended := new(log), make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			_, _ = heard.Write(append(buf[:n:n], "\n\n"...))
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
	t.Setenv("NOTIFY_SOCKET", path)
	return heard
}

// hears waits until all notifications match.
func hears(t *testing.T, heard *log, pattern string) {
	t.Helper()
	matcher := regexp.MustCompile("(?s)" + pattern)
	eventually(t, "systemd hears "+pattern, func() error {
		if said := heard.String(); !matcher.MatchString(said) {
			return errors.New(said)
		}
		return nil
	})
}

func TestSystemdIsToldHowItGoes(t *testing.T) {
	heard := startSystemd(t)
	t.Setenv("WATCHDOG_USEC", "100000")
	a := startAgent(t, oneHost().program(nil, nil), freeAddr(t))
	hears(t, heard, "READY=1\n\n")
	if code, body, err := a.get(t, "/healthz"); code != 200 || err != nil {
		t.Errorf("ready, and /healthz answers %d %s %v", code, body, err)
	}
	hears(t, heard, "STATUS=ready, revision 812 is applied\n\n")
	hears(t, heard, "READY=1\n\n.*WATCHDOG=1\n\n")
	hangUp(t)
	hears(t, heard, "READY=1\n\n.*RELOADING=1\nMONOTONIC_USEC=[0-9]+\n+.*READY=1\n\n")
	if strings.Contains(heard.String(), "STOPPING=1") {
		t.Errorf("told that it stops:\n%s", heard)
	}
	a.end()
	hears(t, heard, "STOPPING=1\n\n")
}

func TestSystemdIsToldWhyItIsNotReady(t *testing.T) {
	heard := startSystemd(t)
	b := oneHost()
	b.snapshotErr = registry.ErrUnavailable
	startAgent(t, b.program(nil, nil), "off")
	hears(t, heard, "READY=1\n\n") // it runs, and waits
	hears(t, heard, "STATUS=not ready: the registry has not been read yet; registry: registry not reachable\n\n")
}

func TestWatchdogIsNotFedWhenAPassIsStuck(t *testing.T) {
	heard := startSystemd(t)
	j, err := agentOf(t, oneHost())
	if err != nil {
		t.Fatal(err)
	}
	s := daemon.New(daemon.Build{})
	s.Use(j)
	j.Watchdog.Limit = 0
	unlock, err := j.Watchdog.Lock()
	if err != nil {
		t.Fatal(err)
	}
	s.FeedWatchdog()
	daemon.Notify(j.Log, "STATUS=after that")
	hears(t, heard, "^STATUS=after that\n\n$")
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	s.FeedWatchdog()
	hears(t, heard, "WATCHDOG=1\n\n$")
}

// agentOf is the daemon's agent, not running.
func agentOf(t *testing.T, b *bench, args ...string) (j *daemon.Agent, err error) {
	t.Helper()
	p := b.program(new(bytes.Buffer), new(bytes.Buffer))
	app := p.app()
	app.Command("agent").Action = func(c *cli.Context) error {
		j, err = p.newAgent(c, daemon.New(daemon.Build{}))
		return err
	}
	return j, app.RunContext(t.Context(), append([]string{"hapsync", "agent"}, args...))
}
