package runtimeapi

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

const (
	socketTimeout = 10 * time.Second
	// maxLine is the longest line of commands: half of what HAProxy accepts by default (tune.bufsize, 16 KB).
	maxLine = 7500
)

// A Client uses the Runtime API of one stats socket. Each line of commands has its own connection.
type Client struct {
	// Socket is a path.
	Socket string
	// timeout is for a line and its reply; 0 means 10 s.
	timeout time.Duration
	// Cache avoids readings; nil avoids none.
	Cache *Cache
	// Names are those of the process.
	Names *Names
}

// Ask sends one line of commands and returns the whole reply.
func (r Client) Ask(ctx context.Context, line string) (string, error) {
	var reply []byte
	err := r.converse(ctx, line, func(conn io.Reader) (err error) {
		if reply, err = io.ReadAll(conn); err != nil {
			return err
		}
		return checkReply(reply, 1+strings.Count(line, ";"))
	})
	return string(reply), err
}

// exec sends commands, many on a line. A command may be several that belong together, joined by semicolons. The refusal of a command is
// not an error: the caller must read the result.
func (r Client) exec(ctx context.Context, commands []string) error {
	for _, line := range pack(commands) {
		if _, err := r.Ask(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

// pack joins commands into lines of an accepted length.
func pack(commands []string) []string {
	var lines []string
	for _, command := range commands {
		if last := len(lines) - 1; last >= 0 && len(lines[last])+1+len(command) <= maxLine {
			lines[last] += ";" + command
			continue
		}
		lines = append(lines, command)
	}
	return lines
}

// converse sends one line and lets read consume the reply, which ends with the connection. It does not half-close: on the stats socket
// that would interrupt "wait".
func (r Client) converse(ctx context.Context, line string, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.timeout, socketTimeout))
	defer cancel()
	conn, err := dial(ctx, r.Socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err = io.WriteString(conn, r.Names.load().toWire(line)+"\n"); err == nil {
		err = read(conn)
	}
	if err != nil {
		command, _, _ := strings.Cut(line, "\n") // a payload follows, which may contain a key
		return fmt.Errorf("%s: %q: %w", r.Socket, clip(command, 80), explain(ctx, err))
	}
	return nil
}

// dial connects to a stats or master socket. The connection breaks when ctx is done.
func dial(ctx context.Context, socket string) (*boundConn, error) {
	var dialer net.Dialer
	network, address := endpoint(socket)
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, dialError(socket, explain(ctx, err))
	}
	return &boundConn{conn, context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })}, nil
}

// maxAbstract is the length of the name of an abstract socket that HAProxy binds: it is filled up with zeros.
const maxAbstract = 108

// endpoint is where to connect for an address of HAProxy's configuration: a path, unix@path, abns@name, abnsz@name, or host:port,
// which may follow ipv4@, ipv6@, tcp@, tcp4@ or tcp6@. The loopback address replaces an unspecified one.
func endpoint(address string) (network, to string) {
	family, rest, prefixed := strings.Cut(address, "@")
	if !prefixed {
		family, rest = "", address
	}
	switch family {
	case "unix":
		return "unix", rest
	case "abns":
		return "unix", "@" + rest + strings.Repeat("\x00", max(0, maxAbstract-1-len(rest)))
	case "abnsz":
		return "unix", "@" + rest
	case "ipv4", "ipv6", "tcp", "tcp4", "tcp6":
	case "":
		if strings.Contains(rest, "/") || !strings.Contains(rest, ":") {
			return "unix", rest
		}
	default:
		return "unix", address
	}
	colon := strings.LastIndexByte(rest, ':')
	if colon < 0 {
		return "tcp", rest
	}
	host := strings.Trim(rest[:colon], "[]")
	if host == "*" || host == "0.0.0.0" || host == "" && family != "ipv6" && family != "tcp6" {
		host = "127.0.0.1"
	} else if host == "" || host == "::" {
		host = "::1"
	}
	return "tcp", net.JoinHostPort(host, rest[colon+1:])
}

// SameNetwork reports whether the process that listens on the socket is known to be in the same network namespace as this one. The kernel
// lists the listening unix sockets of a namespace by the name that they were bound to. HAProxy renames the socket after that.
func SameNetwork(socket string) bool {
	network, address := endpoint(socket)
	if network != "unix" {
		return false
	}
	if strings.HasPrefix(address, "@") {
		return true // an abstract name belongs to one network namespace
	}
	sockets, err := os.ReadFile("/proc/thread-self/net/unix")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(sockets)) {
		w := strings.Fields(line)
		if len(w) < 8 || w[3] != "00010000" { // it does not listen
			continue
		}
		rest, ours := strings.CutPrefix(w[7], address)
		if ours && (rest == "" || rest[0] == '.' && strings.HasSuffix(rest, ".tmp")) {
			return true
		}
	}
	return false
}

// A boundConn is bound to a context until it is closed.
type boundConn struct {
	net.Conn
	unbind func() bool
}

func (c *boundConn) Close() error {
	c.unbind()
	return c.Conn.Close()
}

// CloseWrite half-closes, as the master socket needs it.
func (c *boundConn) CloseWrite() error { return c.Conn.(interface{ CloseWrite() error }).CloseWrite() }

// dialError says what to do about a socket that cannot be used.
func dialError(socket string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w on %s (%v): is HAProxy running? start it with haproxy -W -S <master socket> "+
			"-f <base file> -f <managed file>, or name its stats socket with --runtime-socket", haproxy.ErrDown, socket, cause(err))
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("no permission for the socket %s: run as its owner or group, or give it another mode, "+
			"user or group in HAProxy's \"stats socket\" line: %w", socket, cause(err))
	}
	return fmt.Errorf("connect to %s: %w", socket, err)
}

// cause is the system's error, without what net adds to it.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// explain is the context's error if that broke the connection, else err.
func explain(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no complete answer in time; is HAProxy overloaded or stopped? %w", ctx.Err())
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

// checkReply tells the reply to a number of commands from one that is broken off. HAProxy answers each command with at least an empty
// line. (2.6 leaves out the empty line after some texts, so only lines can be counted.)
func checkReply(reply []byte, commands int) error {
	for line := range bytes.Lines(reply) {
		if err := checkNote(line); err != nil {
			return err
		}
	}
	switch {
	case len(reply) == 0:
		return errors.New("the connection was closed without an answer; a line that is too long for tune.bufsize ends so, or HAProxy ended")
	case reply[len(reply)-1] != '\n', bytes.Count(reply, []byte("\n")) < commands:
		return fmt.Errorf("the answer %q is cut off; try again", clip(string(reply), 80))
	}
	return nil
}

// checkNote turns the two replies that mean the command was not run into errors.
func checkNote(line []byte) error {
	switch {
	case bytes.HasPrefix(line, []byte("Permission denied")):
		return errors.New("permission denied: the socket needs \"level admin\" in HAProxy's \"stats socket\" line")
	case bytes.HasPrefix(line, []byte("Unknown command")):
		return fmt.Errorf("%q: HAProxy does not know the command; is it older than 2.6, or is this no stats socket?",
			clip(string(bytes.TrimSpace(line)), 80))
	}
	return nil
}

// clip shortens a text for display.
func clip(s string, size int) string {
	if len(s) <= size {
		return s
	}
	return s[:size] + "..."
}
