package main

import (
	"bytes"
	"cmp"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// executable is a path that starts the test binary as the program: see TestMain.
func executable(t *testing.T) string {
	t.Helper()
	tests, err := os.Executable()
	path := filepath.Join(t.TempDir(), "hapsync")
	if err = cmp.Or(err, os.Symlink(tests, path)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSignalEndsAWaitForTheRegistry(t *testing.T) {
	program := executable(t)
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) { interrupt(t, program, signal) })
	}
}

func interrupt(t *testing.T, program string, signal os.Signal) {
	t.Helper()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, "list", "--endpoints", "http://"+silent.Addr().String(), "--dial-timeout", "1h")
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := silent.Accept() // it is waiting for an answer now
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("code %d\n%s", code, stderr.String())
	}
	wantContains(t, "stderr", stderr.String(), "hapsync: interrupted")
}
