package runtimeapi

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// The columns of "show stat" for a haproxy.ServerStatus.
const (
	statusBackend = iota
	statusServer
	statusType
	statusStatus
	statusWeight
	statusBackup
	statusSessions
	statusCheck
	statusCode
	statusDetail
	statusSince
	statusAddr
	statusCookie
)

func newStatusTable(header []byte) *table {
	return newTable(true, bytes.Split(header, []byte(",")), "pxname", "svname", "type", "status", "weight", "bck", "scur",
		"check_status", "check_code", "last_chk", "lastchg", "addr", "cookie")
}

// allAtOnce is the number of domains above which all servers are read at once, since each "show stat" walks all backends.
const allAtOnce = 100

// Servers reads the status of the servers of some domains, sorted by domain and name. A domain that the process does not have has no
// servers. Servers only reads, and may run at any time. Its cost grows with the number of domains. The error wraps ErrDown if the
// process does not answer.
func (r Client) Servers(ctx context.Context, domains ...string) ([]haproxy.ServerStatus, error) {
	if now := r.Names.load(); len(now.wire) > 0 {
		w, err := r.Info(ctx)
		if err != nil {
			return nil, err
		}
		if !now.worker.Same(w) {
			r.Names = nil
		}
	}
	commands := make([]string, len(domains))
	wanted := map[string]bool{}
	for i, domain := range domains {
		name := haproxy.BackendName(domain)
		if err := safeName(name); err != nil {
			return nil, fmt.Errorf("backend %q: %w", name, err)
		}
		wanted[name] = true
		commands[i] = "show stat " + name + " 4 -1"
	}
	if len(domains) > allAtOnce {
		commands = []string{"show stat -1 4 -1"}
	}
	var servers []haproxy.ServerStatus
	for _, line := range pack(commands) {
		reply, err := r.Ask(ctx, line)
		if err != nil {
			return nil, err
		}
		found, err := readServers(reply, wanted, r.Names.load())
		if err != nil {
			return nil, fmt.Errorf("%s: show stat: %w", r.Socket, err)
		}
		servers = append(servers, found...)
	}
	slices.SortFunc(servers, func(a, b haproxy.ServerStatus) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Name, b.Name))
	})
	return slices.Compact(servers), nil
}

// readServers parses the replies to "show stat". HAProxy shows other backends, too: 4_x also means proxy number 4.
func readServers(reply string, wanted map[string]bool, n names) ([]haproxy.ServerStatus, error) {
	lines := lineReader{in: bufio.NewReader(strings.NewReader(reply))}
	var servers []haproxy.ServerStatus
	var t *table
	for {
		line, err := lines.next(t != nil)
		if errors.Is(err, io.EOF) {
			return servers, nil
		}
		if err != nil {
			return nil, err
		}
		if header, ok := bytes.CutPrefix(line, []byte("# ")); ok {
			if t = newStatusTable(header); t.missing != "" {
				return nil, fmt.Errorf("no column %s", t.missing)
			}
			continue
		}
		if len(line) == 0 || t == nil {
			t = nil // the end of a reply, or "No such proxy."
			continue
		}
		fields := t.cut(nil, line)
		if len(fields) < t.width {
			return nil, fmt.Errorf("too few columns in the line %q", clip(string(line), 80))
		}
		backend := n.fromWire(string(fields[t.at[statusBackend]]))
		if !wanted[backend] || string(fields[t.at[statusType]]) != "2" {
			continue
		}
		s, err := statusOf(t, backend, fields)
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
}

func statusOf(t *table, backend string, fields [][]byte) (haproxy.ServerStatus, error) {
	text := func(column int) string { return string(fields[t.at[column]]) }
	s := haproxy.ServerStatus{
		Name: text(statusServer), Addr: text(statusAddr), Cookie: text(statusCookie), Status: text(statusStatus),
		Backup: text(statusBackup) == "1", Check: strings.TrimPrefix(text(statusCheck), "* "), Detail: text(statusDetail),
	}
	s.Domain, _ = haproxy.DomainOf(backend)
	var since int
	for column, into := range map[int]*int{statusWeight: &s.Weight, statusSessions: &s.Sessions, statusCode: &s.Code, statusSince: &since} {
		n, err := number(fields[t.at[column]])
		if err != nil {
			return s, err
		}
		*into = n
	}
	s.Since = time.Duration(since) * time.Second
	return s, nil
}
