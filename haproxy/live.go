package haproxy

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A liveBackend is a backend of the running process.
type liveBackend struct {
	Name, Mode string
	// Balance is the algorithm without its arguments; HAProxy calls what it has no word for "unknown" (random).
	Balance string
	// Cookie is the name of the backend's cookie; empty without one.
	Cookie string
	// Servers are sorted by name.
	Servers []liveServer
}

// A liveServer is a server of the running process.
type liveServer struct {
	// Server is what the process tells of it: no Params. Addr is zero for a server without an IP address.
	Server
	// Status is HAProxy's word, such as "UP", "DOWN 1/2", "no check" or "MAINT (resolution)".
	Status   string
	Sessions int
	// Unchecked: it has checks, but they were never enabled (a server that was added live and left half-way).
	Unchecked bool
	// Undecided: it is ready but takes no traffic yet, and no check has failed so far.
	Undecided bool
}

// fullRead is the number of names from which on reading all backends is the cheaper way.
const fullRead = 2000

// backends reads the backends of these names, or all without names, sorted by name. Those that the process does
// not have are left out.
func (r runtime) backends(ctx context.Context, names ...string) ([]liveBackend, error) {
	if len(names) == 0 {
		return r.read(ctx, newLiveReader(nil), []string{showAll})
	}
	for _, name := range names {
		if err := safeName(name); err != nil {
			return nil, fmt.Errorf("backend %q: %w", name, err)
		}
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if len(names) < fullRead {
		reader := newLiveReader(names)
		backends, err := r.read(ctx, reader, pack(showEach(names)))
		// A frontend or a number hides a backend of the same name from "show stat <name>".
		if err != nil || len(backends)+reader.absent == len(names) {
			return backends, err
		}
	}
	return r.read(ctx, newLiveReader(names), []string{showAll})
}

const showAll = "show servers state;show stat -1 6 -1"

func showEach(names []string) []string {
	commands := make([]string, len(names))
	for i, name := range names {
		commands[i] = "show servers state " + name + ";show stat " + name + " 6 -1"
	}
	return commands
}

func (r runtime) read(ctx context.Context, reader *liveReader, lines []string) ([]liveBackend, error) {
	for _, line := range lines {
		err := r.converse(ctx, line, func(conn io.Reader) error {
			return reader.read(conn, 1+strings.Count(line, ";"))
		})
		if err != nil {
			return nil, err
		}
	}
	return reader.result(), nil
}

// result joins what was read. A server or backend that only one of the two commands showed came or went meanwhile.
func (l *liveReader) result() []liveBackend {
	backends := make([]liveBackend, 0, len(l.order))
	for _, b := range l.order {
		if !b.seen {
			continue
		}
		b.Servers = slices.DeleteFunc(b.Servers, func(s liveServer) bool { return s.Status == "" })
		slices.SortFunc(b.Servers, func(s, t liveServer) int { return cmp.Compare(s.Name, t.Name) })
		backends = append(backends, b.liveBackend)
	}
	slices.SortFunc(backends, func(b, c liveBackend) int { return cmp.Compare(b.Name, c.Name) })
	return backends
}
