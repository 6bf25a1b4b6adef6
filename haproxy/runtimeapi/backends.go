package runtimeapi

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// A Backend is a backend of the running process.
type Backend struct {
	Name, Mode string
	// Balance is the algorithm without its arguments. HAProxy shows random as "unknown".
	Balance string
	// Cookie is the name of the backend's cookie; empty without one.
	Cookie string
	// Sessions are all its sessions, with or without a server.
	Sessions int
	// Unpublished: use_backend rules skip it (3.4).
	Unpublished bool
	// Servers are sorted by name.
	Servers []Server
}

// A Server is a server of the running process.
type Server struct {
	// Server is what the process shows: no Params. Addr is zero for a server without an IP address.
	haproxy.Server
	// Status is HAProxy's word, such as "UP", "DOWN 1/2", "no check" or "MAINT (resolution)".
	Status   string
	Sessions int
	// Unchecked: it has checks, but they are off, as after an interrupted addition or "disable health".
	Unchecked bool
	// Agent: it has an agent-check, which may change weight, maxconn and state at any time.
	Agent bool
	// LoadedWeight is the weight that HAProxy has loaded. The percentages of an agent-check are relative to it.
	LoadedWeight int
	// Undecided: it is ready, but gets no traffic yet. No check has failed so far.
	Undecided bool
	// Down: it is ready and has a check, but gets no traffic.
	Down bool
}

// fullRead is the number of names from which reading all backends is cheaper.
const fullRead = 2000

const (
	showInfo = "show info"
	statAll  = "show stat -1 6 -1"
	showAll  = "show servers state;" + statAll
)

// Look reads the identity of the process, and backends, sorted by name: those with the given names, or all if there are no names.
// It leaves out backends that the process does not have.
func (r Client) Look(ctx context.Context, names ...string) (Worker, []Backend, error) {
	return r.execAndLook(ctx, nil, names)
}

// execAndLook sends commands, and looks at what came of them: on the same connection, if both fit on a line.
func (r Client) execAndLook(ctx context.Context, commands, names []string) (Worker, []Backend, error) {
	for _, name := range names {
		if err := safeName(name); err != nil {
			return Worker{}, nil, fmt.Errorf("backend %q: %w", name, err)
		}
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if len(names) > 0 && len(names) < fullRead {
		w, backends, ok, err := r.lookAt(ctx, commands, names)
		if now := r.Names.load(); err == nil && len(now.wire) > 0 && !now.worker.Same(w) {
			r.Names = nil // they belong to another worker
			w, backends, ok, err = r.lookAt(ctx, nil, names)
		}
		if err != nil || ok {
			return w, backends, err
		}
	} else if err := r.exec(ctx, commands); err != nil {
		return Worker{}, nil, err
	}
	reader := newLiveReader(names)
	reader.names = r.Names.load()
	w, err := r.read(ctx, reader, []string{showInfo + ";" + showAll})
	if err != nil {
		return w, nil, err
	}
	backends := reader.result()
	if len(names) == 0 {
		r.Cache.replace(w, backends)
	}
	return w, backends, nil
}

// lookAt sends commands and reads some backends. ok is false if "show stat <name>" showed a frontend or a proxy number instead of one of
// them.
func (r Client) lookAt(ctx context.Context, before, names []string) (w Worker, backends []Backend, ok bool, err error) {
	reader := newLiveReader(names)
	reader.names, reader.states = r.Names.load(), names
	commands, forgotten, others := []string{showInfo}, []string(nil), []string(nil)
	for _, name := range names {
		commands = append(commands, "show servers state "+name)
		if r.Cache.forgot(name) {
			forgotten = append(forgotten, name)
		} else {
			others = append(others, name)
		}
	}
	lines := pack(append(commands, showStats(forgotten)...))
	if before = pack(before); len(before) > 0 {
		last := len(before) - 1
		if joined := before[last] + ";" + lines[0]; len(joined) <= maxLine {
			before, lines[0] = before[:last], joined
		}
	}
	if err := r.exec(ctx, before); err != nil {
		return w, nil, false, err
	}
	if w, err = r.read(ctx, reader, lines); err != nil {
		return w, nil, false, err
	}
	var unknown []string
	for _, name := range others {
		b := reader.byName[name]
		if !reader.absent[name] && (b == nil || !r.Cache.complete(w, b)) {
			unknown = append(unknown, name)
		}
	}
	if _, err = r.read(ctx, reader, pack(showStats(unknown))); err != nil {
		return w, nil, false, err
	}
	backends = reader.result()
	ok = len(backends)+len(reader.absent) == len(names)
	if !ok {
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			b := reader.byName[name]
			return b == nil || !b.seen
		})
	}
	r.Cache.take(w, names, backends)
	return w, backends, ok, nil
}

// fullStat is the number of backends from which "show stat" of all of them is cheaper. It walks all of them for each name: with 11,000
// backends of two servers, one takes HAProxy 0.6 ms (3.2) to 1 ms (3.4), all of them 0.15 s, and they have to be read.
const fullStat = 250

// showStats are the commands that show some backends and their servers.
func showStats(names []string) []string {
	if len(names) >= fullStat {
		return []string{statAll}
	}
	commands := make([]string, len(names))
	for i, name := range names {
		commands[i] = "show stat " + name + " 6 -1"
	}
	return commands
}

// read sends lines and reads the replies. The replies to the commands before "show info" are not kept.
func (r Client) read(ctx context.Context, reader *liveReader, lines []string) (Worker, error) {
	for _, line := range lines {
		show := line
		_, after, joined := strings.Cut(line, ";"+showInfo)
		if joined {
			show = showInfo + after
		}
		err := r.converse(ctx, line, func(conn io.Reader) error {
			reader.info.expected, reader.info.preceded = strings.HasPrefix(show, showInfo), joined
			return reader.read(conn, 1+strings.Count(show, ";"))
		})
		if err != nil {
			return Worker{}, err
		}
	}
	return reader.info.worker, nil
}

// result joins what was read. It drops servers and backends that only one of the two commands showed: they came or went meanwhile.
func (l *liveReader) result() []Backend {
	backends := make([]Backend, 0, len(l.order))
	for _, b := range l.order {
		if !b.seen {
			continue
		}
		b.Servers = slices.DeleteFunc(b.Servers, func(s Server) bool { return s.Status == "" })
		slices.SortFunc(b.Servers, func(s, t Server) int { return cmp.Compare(s.Name, t.Name) })
		backends = append(backends, b.Backend)
	}
	slices.SortFunc(backends, func(b, c Backend) int { return cmp.Compare(b.Name, c.Name) })
	return backends
}
