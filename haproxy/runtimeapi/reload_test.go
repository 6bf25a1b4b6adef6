package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

func reloaderOf(p *haproxytest.Proc) Reloader {
	return Reloader{Master: Master(p.MasterSocket), Stats: runtimeOf(p), Timeout: 20 * time.Second}
}

func workerOf(t *testing.T, p *haproxytest.Proc) Worker {
	t.Helper()
	w, err := runtimeOf(p).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAReloadReturnsWhenTheNewWorkerAnswers(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one, two := haproxytest.StartHost(t, "one"), haproxytest.StartHost(t, "two")
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, one.Addr, one.Addr))
		before := workerOf(t, p)
		p.Write(t, p.ManagedFile, fmt.Sprintf(haproxytest.TwoDomains, one.Addr, two.Addr))
		l := reloaderOf(p)
		l.Master = "unix@" + l.Master
		if err := l.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := workerOf(t, p)
		if after.Pid == before.Pid || after.Started.Before(before.Started) {
			t.Errorf("before %+v, after %+v", before, after)
		}
		if _, body, err := p.Fetch(t.Context(), "b.abc.com"); body != "two" {
			t.Errorf("b.abc.com answers %q, %v", body, err)
		}
		procs, err := l.Master.Procs(t.Context())
		if err != nil || !slices.Equal(procs.Workers, []int{after.Pid}) || procs.Failed != 0 {
			t.Errorf("%+v, %v: want worker %d alone", procs, err, after.Pid)
		}
	})
}

func TestAConfigurationThatHAProxyRefusesIsAReloadError(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		one := haproxytest.StartHost(t, "one")
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, one.Addr, one.Addr))
		before := workerOf(t, p)
		for range 2 {
			p.Write(t, p.ManagedFile, "backend b\n    nonsense here\n")
			err := reloaderOf(p).Reload(t.Context())
			var refused *haproxy.ReloadError
			if !errors.As(err, &refused) || !errors.Is(err, haproxy.ErrRefused) {
				t.Fatalf("%v is no ReloadError", err)
			}
			if haproxy.CapabilitiesOf(before.Version).ReloadReports && !strings.Contains(refused.Output, "nonsense") {
				t.Errorf("%q does not say why", refused.Output)
			}
			if after := workerOf(t, p); after.Pid != before.Pid {
				t.Errorf("worker %d took over from %d", after.Pid, before.Pid)
			}
		}
		p.Write(t, p.ManagedFile, fmt.Sprintf(haproxytest.TwoDomains, one.Addr, one.Addr))
		if err := reloaderOf(p).Reload(t.Context()); err != nil {
			t.Errorf("with a good file again: %v", err)
		}
	})
}

func TestAReloadIsNotCutInTwoByTheEndOfItsContext(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p := haproxytest.StartHAProxy(t, bin, "", "")
		before := workerOf(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := reloaderOf(p).Reload(ctx); err != nil {
			t.Fatal(err)
		}
		if after := workerOf(t, p); after.Pid == before.Pid {
			t.Error("the old worker answers")
		}
	})
}

func TestAReloadWaitsForOneThatIsInProgress(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p := haproxytest.StartHAProxy(t, bin, "", "")
		done := make(chan error)
		for range 3 {
			go func() { done <- reloaderOf(p).Reload(t.Context()) }()
		}
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		procs := procsOf(t, p)
		if w := workerOf(t, p); !procs.Has(w.Pid) {
			t.Errorf("worker %d is not among %+v", w.Pid, procs)
		}
	})
}

// procsOf are the processes of the master, after the end of a start or a reload.
func procsOf(t *testing.T, p *haproxytest.Proc) (procs Procs) {
	t.Helper()
	haproxytest.Eventually(t, "the master tells its processes", func() (err error) {
		procs, err = reloaderOf(p).Master.Procs(t.Context())
		return err
	})
	return procs
}

func TestAReloadCommandIsVerifiedByTheNewWorker(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p := haproxytest.StartHAProxy(t, bin, "", "")
		before := workerOf(t, p)
		procs := procsOf(t, p)
		l := reloaderOf(p)
		l.Master = ""
		l.Command = []string{"kill", "-USR2", strconv.Itoa(procs.Master)}
		if err := l.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := workerOf(t, p); after.Pid == before.Pid {
			t.Error("the old worker answers")
		}
		for _, try := range []struct {
			name    string
			command []string
			want    string
		}{
			{"fails", []string{"sh", "-c", "echo because; exit 3"}, "because"},
			{"is not there", []string{"/nonexistent/reload"}, "/nonexistent/reload"},
			{"does nothing", []string{"true"}, "no new worker answers"},
		} {
			l := l
			l.Command, l.Timeout = try.command, 2*time.Second // HAProxy answers within that also on a busy machine
			if err := l.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), try.want) {
				t.Errorf("a command that %s: %v", try.name, err)
			}
		}
	})
}

// TestAReloadCommandThatRestartsAContainerIsVerifiedByTheNewWorker runs HAProxy in a PID namespace, where a new one gets the same pids.
func TestAReloadCommandThatRestartsAContainerIsVerifiedByTheNewWorker(t *testing.T) {
	t.Parallel()
	container := []string{"unshare", "--pid", "--fork", "--kill-child"}
	if os.Geteuid() != 0 {
		container = append(container, "--user", "--map-root-user")
	}
	if out, err := exec.CommandContext(t.Context(), container[0], append(container[1:], "true")...).CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no PID namespace can be made: %v: %s", err, out)
		}
		t.Skipf("no PID namespace can be made: %v: %s", err, out)
	}
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p := haproxytest.NewProc(t)
		p.Under = append([]string{"sh", "-c", "echo $$ >" + p.Dir + "/pid; exec \"$@\"", "sh"}, container...)
		p.Write(t, p.BaseFile, "")
		p.Write(t, p.ManagedFile, "")
		p.Start(t, bin)
		before := workerOf(t, p)
		l := reloaderOf(p)
		l.Master, l.Timeout = "", 30*time.Second
		start := slices.Concat(p.Under[3:], []string{bin, "-W", "-S", p.MasterSocket, "-f", p.BaseFile, "-f", p.ManagedFile})
		l.Command = append([]string{"sh", "-c", "kill -9 $(cat " + p.Dir + "/pid); sleep 3.5; \"$@\" >" + p.Dir + "/restarted 2>&1 & echo $! >" + p.Dir + "/pid"}, start...)
		t.Cleanup(func() {
			text, err := os.ReadFile(filepath.Join(p.Dir, "pid"))
			pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
			if err == nil && pid > 0 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		})
		if err := l.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := workerOf(t, p); after.Pid != before.Pid || after.Same(before) {
			t.Errorf("before %+v, after %+v", before, after)
		}
	})
}

func TestAReloadCommandThatHangsIsKilledWithItsChildren(t *testing.T) {
	t.Parallel()
	p := haproxytest.StartHAProxy(t, haproxytest.FirstHAProxy(t), "", "")
	path := filepath.Join(p.Dir, "alive")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	alive, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = alive.Close() })
	l := reloaderOf(p)
	l.Master, l.Timeout = "", 300*time.Millisecond
	l.Command = []string{"sh", "-c", "exec >" + path + "; sleep 100 & sleep 100"}
	if err := l.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "no complete answer in time") {
		t.Errorf("error %v", err)
	}
	_ = alive.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := alive.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a process of the command is left: %v", err)
	}
}

func TestAReloadThatIsNeverAnsweredIsAskedForAgain(t *testing.T) {
	t.Parallel()
	var worker, asked atomic.Int64
	worker.Store(11)
	quit := make(chan struct{})
	stats := fakeSocket(t, func(conn net.Conn, _ string) {
		_, _ = fmt.Fprintf(conn, "Version: 3.0\nPid: %d\n\n", worker.Load())
	})
	master := fakeSocket(t, func(conn net.Conn, line string) {
		if line != "reload\n" {
			_, _ = fmt.Fprintf(conn, "10 master 0 [failed: 0]\n# workers\n%d worker\n\n", worker.Load())
			return
		}
		worker.Add(1)
		if asked.Add(1) == 1 {
			<-quit
		}
		_, _ = io.WriteString(conn, "Success=1\n--\n\n")
	})
	t.Cleanup(func() { close(quit) })
	l := Reloader{Master: Master(master.Socket), Stats: stats, Timeout: 20 * time.Second}
	if err := l.Reload(t.Context()); err != nil || asked.Load() != 2 {
		t.Errorf("asked %d times, %v", asked.Load(), err)
	}
}

func TestAReloadThatCannotBeDoneSaysWhy(t *testing.T) {
	t.Parallel()
	bin := haproxytest.FirstHAProxy(t)
	p, other := haproxytest.StartHAProxy(t, bin, "", ""), haproxytest.StartHAProxy(t, bin, "", "")
	for name, try := range map[string]struct {
		change func(*Reloader)
		want   string
	}{
		"without a way":            {func(l *Reloader) { l.Master = "" }, "--reload-command"},
		"with a relative path":     {func(l *Reloader) { l.Master = "x.sock" }, "neither a whole path nor an address"},
		"with a descriptor":        {func(l *Reloader) { l.Master = "fd@3" }, "neither a whole path nor an address"},
		"with a TCP address":       {func(l *Reloader) { l.Master = "ipv4@127.0.0.1:1" }, "no process listens"},
		"with another's master":    {func(l *Reloader) { l.Master = Master(other.MasterSocket) }, "different HAProxy processes"},
		"with the stats socket":    {func(l *Reloader) { l.Master = Master(p.RuntimeSocket) }, "is it the socket of a master"},
		"without a master":         {func(l *Reloader) { l.Master, l.Timeout = "/nonexistent/m.sock", time.Minute }, "no process listens"},
		"without a running worker": {func(l *Reloader) { l.Stats.Socket = "/nonexistent/s.sock" }, "is HAProxy running?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := reloaderOf(p)
			try.change(&l)
			if err := l.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), try.want) {
				t.Errorf("error %v, want %q", err, try.want)
			}
		})
	}
}

func TestShowProcIsReadOnEveryVersion(t *testing.T) {
	t.Parallel()
	const title = "#<PID>          <type>          <reloads>       <uptime>        <version>      \n"
	for name, try := range map[string]struct {
		reply string
		want  Procs
	}{
		"2.6 and 3.0": {title + "10 master 3 [failed: 2] 0d00h17m10s 2.6.12\n# workers\n11 worker 2 0d00h01m05s 2.6.12\n# old workers\n12 worker 5 0d 2.6\n# programs\n13 prog 1 0d -\n\n",
			Procs{10, []int{11}, []int{12}, 2}},
		"3.2 after a failed reload": {title + "10 master 3 [failed: 1] 0d00h17m10s 3.2.26-1       \n# workers\n# old workers\n11 worker 2 0d00h01m05s 3.2.26-1\n\n",
			Procs{10, nil, []int{11}, 1}},
	} {
		have, err := parseProcs(try.reply)
		if diff := cmp.Diff(try.want, have); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	for _, reply := range []string{"", "\n", "Unknown command\n", "# workers\n1 worker 0 0d 2.6\n", "x master\n"} {
		if have, err := parseProcs(reply); err == nil {
			t.Errorf("%q is read as %+v", reply, have)
		}
	}
}
