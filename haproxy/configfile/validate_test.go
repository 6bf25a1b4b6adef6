package configfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// wrapper is a shell script that replaces haproxy, in a directory with the files that it leaves.
func wrapper(t *testing.T, script string) (path string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "haproxy")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncd "+dir+"\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// pidIn waits for the process id that a script writes.
func pidIn(t *testing.T, file string) (pid int) {
	t.Helper()
	haproxytest.Eventually(t, file+" has a process id", func() error {
		text, err := os.ReadFile(file)
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSuffix(string(text), "\n"))
		}
		return err
	})
	return pid
}

func TestACheckThatHangsIsEndedWithItsChildren(t *testing.T) {
	t.Parallel()
	binary := wrapper(t, "sleep 600 & echo $! > child\nwait\n")
	began := time.Now()
	_, err := checker{binary: binary, timeout: 2 * time.Second}.check(t.Context(), "x.cfg")
	if !errors.Is(err, haproxy.ErrNoVerdict) || !strings.Contains(err.Error(), "within 2s") {
		t.Errorf("error %v after %s", err, time.Since(began))
	}
	child := pidIn(t, filepath.Join(filepath.Dir(binary), "child"))
	haproxytest.Eventually(t, "its child has ended", func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		if errors.Is(err, os.ErrNotExist) || strings.Contains(string(stat), ") Z ") { // a zombie: another process has to wait for it
			return nil
		}
		return fmt.Errorf("%s, %w", stat, err)
	})
}

// TestATransactionIsBoundedWhereHAProxyDoesNotEvenTellItsVersion has a haproxy that hangs, so that client-native would wait. It is not
// parallel, since the parsers share variables.
func TestATransactionIsBoundedWhereHAProxyDoesNotEvenTellItsVersion(t *testing.T) {
	p := haproxytest.NewProc(t)
	p.Write(t, p.BaseFile, "")
	p.Write(t, p.ManagedFile, newFile([]string{"webin"}))
	h, err := OpenFiles(haproxy.Settings{BaseFile: p.BaseFile, ManagedFile: p.ManagedFile, Frontends: []string{"webin"}, Binary: wrapper(t, "sleep 600\n"), CheckTimeout: 2 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := h.Read()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- h.Commit(t.Context(), f.Managed.Config, f.Digest, nil) }()
	select {
	case err := <-ended:
		if !errors.Is(err, haproxy.ErrNoVerdict) || !strings.Contains(err.Error(), "haproxy -v gave no answer within 2s") {
			t.Errorf("error %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
}

func TestACheckThatIsInterruptedIsNoVerdictOfTheLimit(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := checker{binary: wrapper(t, "sleep 600\n"), timeout: time.Minute}.check(ctx, "x.cfg")
	if errors.Is(err, haproxy.ErrNoVerdict) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestAHAProxyThatCrashesAfterItsWordsHasRefused has a haproxy -c that behaves like 3.2 and 3.4 with a user of a missing group.
func TestAHAProxyThatCrashesAfterItsWordsHasRefused(t *testing.T) {
	t.Parallel()
	const version = "[ $1 != -v ] || { echo HAProxy version 3.2.1-1; exit; }\n"
	_, err := checker{binary: wrapper(t, version+"echo \"[ALERT]    (1) : no such group 'x'\"\nkill -SEGV $$\n"), timeout: time.Minute}.check(t.Context(), "x.cfg")
	var refused *haproxy.InvalidConfigError
	if !errors.As(err, &refused) || refused.Output != "no such group 'x'" {
		t.Errorf("error %v", err)
	}
	_, err = checker{binary: wrapper(t, version+"kill -KILL $$\n"), timeout: time.Minute}.check(t.Context(), "x.cfg")
	if err == nil || errors.As(err, &refused) {
		t.Errorf("without a word: error %v", err)
	}
}

// niceness of a process; 0 means this one.
func niceness(t *testing.T, pid int) int {
	t.Helper()
	priority, err := syscall.Getpriority(syscall.PRIO_PROCESS, pid)
	if err != nil {
		t.Fatal(err)
	}
	return 20 - priority // the system call returns 20 less the niceness
}

// TestTheCheckOfAnAgentGivesWayToHAProxy checks the niceness of the process that becomes haproxy -c.
func TestTheCheckOfAnAgentGivesWayToHAProxy(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		own := niceness(t, 0)
		for _, nicer := range []int{5, -5} {
			binary := wrapper(t, "[ \"$1\" != -v ] || exec "+bin+" -v\nmkfifo go && echo $$ > pid\nread word < go\nexec "+bin+" \"$@\"\n")
			p := haproxytest.NewProc(t)
			p.Write(t, p.BaseFile, "")
			p.Write(t, p.ManagedFile, fmt.Sprintf(haproxytest.TwoDomains, "127.0.0.1:1", "127.0.0.1:1"))
			h, err := OpenFiles(haproxy.Settings{BaseFile: p.BaseFile, ManagedFile: p.ManagedFile, Frontends: []string{"webin"}, Binary: binary, CheckTimeout: time.Minute, Background: true}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if h.checker.nice != 10 {
				t.Errorf("the niceness of an agent's haproxy -c is %d", h.checker.nice)
			}
			h.checker.nice = min(19, own+nicer) // relative to the niceness of the test
			checked := make(chan error, 1)
			go func() {
				_, err := h.checker.check(t.Context(), p.BaseFile, p.ManagedFile)
				checked <- err
			}()
			pid := pidIn(t, filepath.Join(filepath.Dir(binary), "pid"))
			want := max(own, h.checker.nice)
			haproxytest.Eventually(t, "haproxy -c gives way", func() error {
				if have := niceness(t, pid); have != want {
					return fmt.Errorf("its niceness is %d, want %d", have, want)
				}
				return nil
			})
			if err := os.WriteFile(filepath.Join(filepath.Dir(binary), "go"), []byte("on\n"), 0); err != nil {
				t.Fatal(err)
			}
			if err := <-checked; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestOnlyHAProxyValidates(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "x.cfg")
	if err := os.WriteFile(file, []byte("global\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, binary := range map[string]string{
		"a program that takes every argument": "/bin/true", "one that lists files": "/bin/ls", "one that refuses": "/bin/false",
		"a script that says nothing":            wrapper(t, "exit 0\n"),
		"a script that has HAProxy in a word":   wrapper(t, "echo not HAProxy version 3.2\n"),
		"a script that is HAProxy of no number": wrapper(t, "echo HAProxy version x\n"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Validate(t.Context(), binary, file); err == nil || !strings.Contains(err.Error(), binary) {
				t.Errorf("error %v", err)
			}
		})
	}
	haproxytest.EachHAProxy(t, func(t *testing.T, binary string) {
		if _, err := (checker{binary: binary, timeout: time.Minute}).isHAProxy(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAProgramIsAskedForItsNameOnceForEachFileOfIt(t *testing.T) {
	t.Parallel()
	binary := wrapper(t, "echo >> asked\necho HAProxy version 3.2.1\n")
	c := checker{binary: binary, timeout: time.Minute, program: new(program)}
	for range 3 {
		if v, err := c.isHAProxy(t.Context()); err != nil || v != (haproxy.Version{Major: 3, Minor: 2}) {
			t.Fatalf("%v, %v", v, err)
		}
	}
	if asked, err := os.ReadFile(filepath.Join(filepath.Dir(binary), "asked")); err != nil || len(asked) != 1 {
		t.Errorf("asked %d times, %v", len(asked), err)
	}
	if err := os.WriteFile(binary, []byte("#!/bin/sh\necho something else\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := c.isHAProxy(t.Context()); err == nil {
		t.Error("another program in its place is taken for HAProxy")
	}
}

// TestAProgramWhoseProcessToldTheVersionIsNotAsked has a program that would not print that it is HAProxy.
func TestAProgramWhoseProcessToldTheVersionIsNotAsked(t *testing.T) {
	t.Parallel()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), sleep, "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	c := &Files{checker: checker{binary: sleep, timeout: time.Minute, program: new(program)}}
	c.Runs(os.Getpid(), haproxy.Version{Major: 3, Minor: 4})
	if v, err := c.Program(t.Context()); err == nil {
		t.Errorf("the process of another program is taken for its own: %v", v)
	}
	c.Runs(cmd.Process.Pid, haproxy.Version{Major: 3, Minor: 2})
	if v, err := c.Program(t.Context()); err != nil || v != (haproxy.Version{Major: 3, Minor: 2}) {
		t.Errorf("%v, %v", v, err)
	}
	if words, err := c.ProgramLine(t.Context()); err == nil {
		t.Errorf("its line is %q, although it was not asked", words)
	}
}

func TestAProgramThatIsBeingWrittenIsWaitedFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "haproxy")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("#!/bin/sh\necho HAProxy version 3.2.1-1\n"); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = f.Close() }) // it cannot be executed before
	version, err := checker{binary: path, timeout: time.Minute}.isHAProxy(t.Context())
	if err != nil || version != (haproxy.Version{Major: 3, Minor: 2}) {
		t.Errorf("%v, %v", version, err)
	}
}
