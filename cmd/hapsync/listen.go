package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
)

// listenFlag is where the agent answers, and where hapsync status asks it.
func listenFlag() cli.Flag {
	check := func(s string) error {
		_, err := parseListen(s)
		return err
	}
	return cli.Text(cli.Spec{Name: "listen", Value: "127.0.0.1:9101", Check: check,
		Usage: "`ADDRESS` where the agent answers /healthz, /readyz, /metrics and /status: host:port, unix:/path or /path; off for none"})
}

// A listenAddress is what net.Listen takes; the zero value is none.
type listenAddress struct{ network, address string }

func (a listenAddress) none() bool { return a.network == "" }

// String is what --listen takes.
func (a listenAddress) String() string {
	switch a.network {
	case "":
		return "off"
	case "unix":
		return "unix:" + a.address
	}
	return a.address
}

func parseListen(s string) (listenAddress, error) {
	path, unix := strings.CutPrefix(s, "unix:")
	switch {
	case s == "" || s == "off":
		return listenAddress{}, nil
	case unix && path != "" || strings.HasPrefix(path, "/"):
		return listenAddress{"unix", path}, nil
	}
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil || port == "" {
		return listenAddress{}, errors.New("must be host:port, the path of a unix socket, or off")
	}
	return listenAddress{"tcp", s}, nil
}

// dial connects to the one who listens.
func (a listenAddress) dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, a.network, a.address)
}

// listen opens the address. A unix socket is for its owner and group; one that nobody answers on is replaced.
func (a listenAddress) listen(ctx context.Context) (net.Listener, error) {
	if a.network != "unix" {
		return new(net.ListenConfig).Listen(ctx, a.network, a.address)
	}
	if err := a.clear(ctx); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, a.network, a.address)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(a.address, 0o660); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// clear removes the socket that an agent left that was killed.
func (a listenAddress) clear(ctx context.Context) error {
	info, err := os.Lstat(a.address)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is no socket: remove it, or choose another path", a.address)
	}
	conn, err := a.dial(ctx)
	if err == nil {
		return errors.Join(fmt.Errorf("somebody answers on %s: another agent?", a.address), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("is %s in use? %w", a.address, err)
	}
	return os.Remove(a.address)
}
