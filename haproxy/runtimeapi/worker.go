package runtimeapi

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// A Worker is the process that answers on the stats socket.
type Worker struct {
	Pid     int
	Version haproxy.Version
	// Started is when it began to read its configuration, to the second.
	Started time.Time
	// MaxSock is how many descriptors it may need, as computed at its start. MaxConn is its limit of connections.
	MaxSock, MaxConn int
}

// Info reads the identity of the process.
func (r Client) Info(ctx context.Context) (Worker, error) {
	reply, err := r.Ask(ctx, "show info")
	if err != nil {
		return Worker{}, err
	}
	w, err := parseInfo(reply, time.Now())
	if err != nil {
		return Worker{}, fmt.Errorf("%s: show info: %w", r.Socket, err)
	}
	return w, nil
}

// An infoReader reads the reply to "show info" before other replies.
type infoReader struct {
	expected bool
	// preceded: the replies to other commands come first. They are skipped.
	preceded bool
	text     []byte
	worker   Worker
}

// line reads a line without its end. The empty line is the last.
func (i *infoReader) line(line []byte) (err error) {
	if err := checkNote(line); err != nil {
		return err
	}
	if i.preceded && !bytes.HasPrefix(line, []byte("Name: ")) {
		return nil
	}
	i.preceded = false
	i.text = append(append(i.text, line...), '\n')
	if len(line) > 0 {
		return nil
	}
	i.expected = false
	if i.worker, err = parseInfo(string(i.text), time.Now()); err != nil {
		return fmt.Errorf("show info: %w", err)
	}
	return nil
}

// parseInfo parses the reply to "show info".
func parseInfo(reply string, now time.Time) (Worker, error) {
	if !strings.HasSuffix(reply, "\n\n") {
		return Worker{}, fmt.Errorf("the answer %q is cut off", clip(reply, 80))
	}
	var w Worker
	var uptime, started int
	var version string
	fields := map[string]*int{
		"Pid": &w.Pid, "Maxsock": &w.MaxSock, "Maxconn": &w.MaxConn, "Uptime_sec": &uptime, "Start_time_sec": &started,
	}
	for line := range strings.Lines(reply) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if name == "Version" {
			version = value
		}
		field := fields[name]
		if field == nil {
			continue
		}
		number, err := strconv.Atoi(value)
		if err != nil || number < 0 {
			return Worker{}, fmt.Errorf("%s: %q is not a number", name, value)
		}
		*field = number
	}
	if w.Pid == 0 {
		return Worker{}, fmt.Errorf("the answer %q names no Pid", clip(reply, 80))
	}
	w.Started = now.Add(-time.Duration(uptime) * time.Second).Truncate(time.Second)
	if started > 0 {
		w.Started = time.Unix(int64(started), 0)
	}
	var err error
	w.Version, err = haproxy.ParseVersion(version)
	return w, err
}

// Same reports whether both are the same process. The start is known to about a second.
func (w Worker) Same(other Worker) bool {
	return w.Pid == other.Pid && w.Started.Sub(other.Started).Abs() <= 2*time.Second
}
