package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
)

// An Address is an address for net.Listen; the zero value is none.
type Address struct{ Network, Address string }

// None reports whether the agent listens nowhere.
func (a Address) None() bool { return a.Network == "" }

// String is the value of --listen.
func (a Address) String() string {
	switch a.Network {
	case "":
		return "off"
	case "unix":
		return "unix:" + a.Address
	}
	return a.Address
}

// ParseAddress reads --listen: HOST:PORT, unix:PATH, /PATH or "off".
func ParseAddress(s string) (Address, error) {
	path, unix := strings.CutPrefix(s, "unix:")
	switch {
	case s == "" || s == "off":
		return Address{}, nil
	case unix && path != "" || strings.HasPrefix(path, "/"):
		return Address{"unix", path}, nil
	}
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil || port == "" {
		return Address{}, errors.New("must be host:port, the path of a unix socket, or off")
	}
	return Address{"tcp", s}, nil
}

// loopback reports whether the address is TCP, and only for programs of this machine.
func (a Address) loopback() bool {
	host, _, _ := net.SplitHostPort(a.Address)
	ip, err := netip.ParseAddr(host)
	return a.Network == "tcp" && (host == "localhost" || err == nil && ip.IsLoopback())
}

// Dial connects to the address.
func (a Address) Dial(ctx context.Context) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, a.Network, a.Address)
}

// listen opens the address. Only the owner and the group can use a unix socket. A socket without a listener is replaced.
func (a Address) listen(ctx context.Context) (net.Listener, error) {
	if a.Network != "unix" {
		return new(net.ListenConfig).Listen(ctx, a.Network, a.Address)
	}
	if err := a.clear(ctx); err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, a.Network, a.Address)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(a.Address, 0o660); err != nil { //nolint:gosec // the socket's group may ask the agent
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// clear removes the socket of an agent that was killed.
func (a Address) clear(ctx context.Context) error {
	info, err := os.Lstat(a.Address)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is no socket: remove it, or choose another path", a.Address)
	}
	conn, err := a.Dial(ctx)
	if err == nil {
		return errors.Join(fmt.Errorf("a process answers on %s: another agent?", a.Address), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("is %s in use? %w", a.Address, err)
	}
	return os.Remove(a.Address)
}
