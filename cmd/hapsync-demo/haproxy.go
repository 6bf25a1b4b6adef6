package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A proxy is HAProxy in master-worker mode, and the log of its output.
type proxy struct {
	cmd    *exec.Cmd
	socket string // the stats socket
	log    string
	done   chan struct{} // closed when the master has exited
	err    error         // how it exited; read it after done
}

// startProxy starts HAProxy with the files and waits until it answers on its stats socket.
func (p *playground) startProxy(ctx context.Context) error {
	args := []string{"-W", "-S", filepath.Join(p.runDir(), "haproxy-master.sock"), "-f", p.baseFile(), "-f", p.managedFile()}
	p.out.command("haproxy " + strings.Join(quoted(args), " "))
	log, err := os.Create(p.path("haproxy.log"))
	if err != nil {
		return err
	}
	defer log.Close() // the child has a copy
	cmd := exec.Command(p.opts.haproxy, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start HAProxy: %w", err)
	}
	p.proxy = &proxy{cmd: cmd, socket: filepath.Join(p.runDir(), "haproxy.sock"), log: log.Name(), done: make(chan struct{})}
	go func(x *proxy) {
		x.err = x.cmd.Wait()
		close(x.done)
	}(p.proxy)
	if err := p.proxy.ready(ctx); err != nil {
		return err
	}
	p.out.checked("HAProxy answers on its stats socket")
	return nil
}

// ready waits until the worker answers.
func (x *proxy) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := x.worker(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-x.done:
			return fmt.Errorf("HAProxy did not start: %w", x.exit())
		case <-ctx.Done():
			return fmt.Errorf("HAProxy does not answer: %w", err)
		case <-tick.C:
		}
	}
}

// worker returns the process ID of the present worker. A reload changes it.
func (x *proxy) worker(ctx context.Context) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", x.socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "show info\n"); err != nil {
		return "", err
	}
	reply, err := io.ReadAll(conn)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(reply)) {
		if pid, ok := strings.CutPrefix(line, "Pid: "); ok {
			return strings.TrimSpace(pid), nil
		}
	}
	return "", fmt.Errorf("%s: no Pid in the reply to show info", x.socket)
}

// exit returns how HAProxy ended, with the end of its output. Call it after done is closed.
func (x *proxy) exit() error {
	err := x.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	log, _ := os.ReadFile(x.log)
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	last := lines[max(0, len(lines)-10):]
	return fmt.Errorf("%w\n%s", err, bytes.Join(last, []byte("\n")))
}

// stop ends the master and all workers, old ones too, and waits for their end.
func (x *proxy) stop() {
	group := -x.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-x.done:
	case <-time.After(5 * time.Second):
	}
	_ = syscall.Kill(group, syscall.SIGKILL) // usually no process is left
	<-x.done
}
