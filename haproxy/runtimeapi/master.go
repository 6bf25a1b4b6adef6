package runtimeapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/hapsync/hapsync/haproxy"
)

// A Master is the address of the socket of a master process (haproxy -W -S): a whole path, or what endpoint understands.
type Master string

// ask sends one command and returns the reply, which may be empty (2.6, reload). The master needs the half-close. During a reload it
// refuses connections, then ask retries for a while, or drops them, then the error is errBusy.
func (m Master) ask(ctx context.Context, command string) (string, error) {
	path := strings.TrimPrefix(string(m), "unix@")
	if network, to := endpoint(path); network == "unix" && !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "@") {
		return "", fmt.Errorf("master socket %q: this is neither a whole path nor an address that hapsync can connect to", string(m))
	}
	conn, err := m.dial(ctx, path)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err = io.WriteString(conn, command+"\n"); err == nil {
		err = conn.CloseWrite()
	}
	var reply []byte
	if err == nil {
		reply, err = io.ReadAll(conn)
	}
	switch {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "", fmt.Errorf("%s: %q: %w: %w", path, command, errBusy, err)
	case err != nil:
		return "", fmt.Errorf("%s: %q: %w", path, command, explain(ctx, err))
	}
	return string(reply), nil
}

func (m Master) dial(ctx context.Context, path string) (*boundConn, error) {
	giveUp, cancel := context.WithTimeout(ctx, masterWait)
	defer cancel()
	for {
		conn, err := dial(ctx, path)
		if err == nil {
			return conn, nil
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil, denied(path, err)
		}
		if !errors.Is(err, haproxy.ErrDown) {
			return nil, fmt.Errorf("master socket: %w", err)
		}
		if wait(giveUp, 2*pollFirst) != nil {
			return nil, fmt.Errorf("master socket %s: no process listens; is HAProxy in master-worker mode "+
				"(haproxy -W -S %s)? name its socket with --master-socket", path, path)
		}
	}
}

// denied says what to do about a master's socket that this user may not use.
func denied(path string, err error) error {
	return fmt.Errorf("no permission for the master's socket %s: run as its owner or group, or start HAProxy with -S %s,mode,660,group,haproxy "+
		"and its group for hapsync's user: %w", path, path, cause(err))
}

// reload sends the command. The caller must wait for the new worker in any case.
func (m Master) reload(ctx context.Context) error {
	reply, err := m.ask(ctx, "reload")
	if err != nil {
		return err
	}
	status, output, _ := strings.Cut(reply, "\n")
	switch {
	case strings.Contains(reply, "Another reload is still in progress"):
		return errBusy
	case status == "Success=1":
		return nil
	case strings.TrimSpace(reply) == "":
		return errSilent
	case status == "Success=0":
		return &haproxy.ReloadError{Output: strings.TrimSpace(strings.TrimPrefix(output, "--\n"))}
	}
	return fmt.Errorf("%s: reload: unexpected answer %q", m, clip(reply, 200))
}

// Procs are the processes of a master.
type Procs struct {
	Master int
	// Workers serve. Old ones finish their sessions. From 3.1 on, after a failed reload the serving worker is among the old ones.
	Workers, Old []int
	// Failed counts the failed reloads since the last good one. From 3.1 on it stays at 1.
	Failed int
}

// Has reports whether pid is one of the workers.
func (p Procs) Has(pid int) bool {
	return slices.Contains(p.Workers, pid) || slices.Contains(p.Old, pid)
}

// Procs asks the master for its processes.
func (m Master) Procs(ctx context.Context) (Procs, error) {
	ctx, cancel := context.WithTimeout(ctx, socketTimeout)
	defer cancel()
	reply, err := m.ask(ctx, "show proc")
	if err != nil {
		return Procs{}, err
	}
	if reply == "" {
		return Procs{}, fmt.Errorf("%s: show proc: no answer: %w", m, errBusy)
	}
	procs, err := parseProcs(reply)
	if err != nil {
		return Procs{}, fmt.Errorf("%s: show proc: %w; is it the socket of a master (haproxy -W -S)?", m, err)
	}
	return procs, nil
}

// parseProcs parses the reply to "show proc": a line for each process, the workers before the old ones. It skips programs, which HAProxy
// had until 3.2.
func parseProcs(reply string) (Procs, error) {
	var p Procs
	var old bool
	for line := range strings.Lines(reply) {
		if strings.HasPrefix(line, "#") {
			old = strings.HasPrefix(line, "# old")
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		pid, err := strconv.Atoi(fields[0])
		if err != nil || pid <= 0 {
			return Procs{}, fmt.Errorf("unexpected answer %q", clip(line, 80))
		}
		switch {
		case fields[1] == "master":
			p.Master = pid
			p.Failed = failedReloads(line)
		case fields[1] == "worker" && old:
			p.Old = append(p.Old, pid)
		case fields[1] == "worker":
			p.Workers = append(p.Workers, pid)
		}
	}
	if p.Master == 0 {
		return Procs{}, fmt.Errorf("the answer %q names no master", clip(reply, 80))
	}
	return p, nil
}

// failedReloads is the N of "[failed: N]"; 0 if the line has none.
func failedReloads(line string) int {
	_, rest, _ := strings.Cut(line, "[failed: ")
	text, _, _ := strings.Cut(rest, "]")
	n, _ := strconv.Atoi(text)
	return n
}
