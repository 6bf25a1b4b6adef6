package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A playground is everything that the demo starts.
type playground struct {
	opts options
	out  *printer
	dir  string // everything on disk, removed at the end

	etcd     *store
	proxy    *proxy
	backends []*backend
	web      string // address where HAProxy serves the domains
	stats    string // address of its statistics page
	agent    *agent
	listen   string // address of the agent; empty until it is started
}

// play gives the tour, and then waits until ctx ends unless opts.exit is set.
func play(ctx context.Context, opts options, out *printer) (err error) {
	dir, err := newDir()
	if err != nil {
		return err
	}
	p := &playground{opts: opts, out: out, dir: dir}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.tour(ctx); err != nil {
		return err
	}
	if opts.exit {
		return nil
	}
	p.printNext()
	select {
	case <-ctx.Done():
		out.text("\nEnding etcd, HAProxy and the web servers.")
		return nil
	case <-p.proxy.done:
		return fmt.Errorf("HAProxy has ended: %w", p.proxy.exit())
	}
}

// close ends everything and removes the directory.
func (p *playground) close() error {
	if p.agent != nil {
		p.agent.stop()
	}
	if p.proxy != nil {
		p.proxy.stop()
	}
	for _, b := range p.backends {
		b.close()
	}
	if p.etcd != nil {
		p.etcd.close()
	}
	return os.RemoveAll(p.dir)
}

func (p *playground) path(name string) string { return filepath.Join(p.dir, name) }
func (p *playground) baseFile() string        { return p.path("haproxy.cfg") }
func (p *playground) managedFile() string     { return p.path("hapsync.cfg") }
func (p *playground) runDir() string          { return p.path("run") }

// environ is hapsync's environment, as the end of the tour prints it.
func (p *playground) environ() []string {
	env := []string{
		"HAPSYNC_CONFIG_FILE=/dev/null",
		"HAPSYNC_ENDPOINTS=" + p.etcd.endpoint,
		"HAPSYNC_BASE_FILE=" + p.baseFile(),
		"HAPSYNC_MANAGED_FILE=" + p.managedFile(),
		"HAPSYNC_ALLOW_LOOPBACK=true",
	}
	if p.listen != "" {
		env = append(env, "HAPSYNC_LISTEN="+p.listen)
	}
	if found, err := exec.LookPath("haproxy"); err != nil || found != p.opts.haproxy {
		env = append(env, "HAPSYNC_HAPROXY_BIN="+p.opts.haproxy)
	}
	return env
}

// hapsync runs the real binary, shows its command line and its output, and returns the output. A code other than 0 is an error.
func (p *playground) hapsync(ctx context.Context, args ...string) (string, error) {
	p.out.command("hapsync " + strings.Join(quoted(args), " "))
	said, code, err := p.quietly(ctx, args...)
	p.out.output(said)
	if err == nil && code != 0 {
		err = fmt.Errorf("hapsync %s: exit code %d", args[0], code)
	}
	return said, err
}

// quietly runs the real binary and returns its output and its exit code.
func (p *playground) quietly(ctx context.Context, args ...string) (said string, code int, err error) {
	cmd := exec.CommandContext(ctx, p.opts.hapsync, args...)
	cmd.Env = append(withoutOurs(os.Environ()), p.environ()...)
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || !exit.Exited()) {
		return string(output), 0, fmt.Errorf("hapsync %s: %w", args[0], err)
	}
	return string(output), cmd.ProcessState.ExitCode(), nil
}

// withoutOurs drops the user's variables for hapsync and etcdctl. The playground has its own.
func withoutOurs(environ []string) []string {
	var kept []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "HAPSYNC_") && !strings.HasPrefix(v, "ETCDCTL_") {
			kept = append(kept, v)
		}
	}
	return kept
}

// newDir makes a directory that only this user can enter, with a short name if that is free.
func newDir() (string, error) {
	dir := filepath.Join(os.TempDir(), "hapsync-demo")
	if os.Mkdir(dir, 0o700) == nil {
		return dir, nil
	}
	return os.MkdirTemp("", "hapsync-demo-")
}

// listen listens on 127.0.0.1, on the port or, if that is taken, on any free one.
func listen(port int) (net.Listener, error) {
	if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
		return l, nil
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// freeAddr returns a free address on 127.0.0.1, with the port if possible. Another process may take it before it is used.
func freeAddr(port int) (string, error) {
	l, err := listen(port)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
