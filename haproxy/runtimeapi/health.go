package runtimeapi

import (
	"bytes"
	"context"
	"net/netip"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// NoHealth is the start of a server-state file: its version, and the columns of HAProxy 2.6 to 3.4.
const NoHealth = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight " +
	"srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state " +
	"bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr " +
	"srv_agent_addr srv_agent_port\n"

// OneReload marks a file that was written for one reload. If it is still there later, the process that wrote it was killed.
const OneReload = "# by hapsync, for one reload\n"

// Health makes a server-state file from the reply to "show servers state". It keeps only servers that are down by HAProxy's checks: after
// the reload they get no traffic before a good check. keep reports whether the new configuration has the server at the same
// address, with TLS as before. Otherwise the line would silently override the address and "ssl" of the configuration (2.6 to 3.4). The
// lines have hapsync's names of backends.
func Health(serversState []byte, n *Names, keep func(backend, server string, addr netip.AddrPort, tls bool) bool) []byte {
	out, own := []byte("1\n"), n.load()
	var columns *table
	var header []byte
	var fields [][]byte
	for line := range bytes.Lines(serversState) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if after, ok := bytes.CutPrefix(line, []byte("# ")); ok {
			header = after
			columns = newStateTable(header)
			out = append(append(out, line...), '\n')
			continue
		}
		if columns == nil || columns.missing != "" {
			continue
		}
		if fields = columns.cut(fields[:0], line); len(fields) < columns.width {
			continue
		}
		s, down := downServer(columns, fields)
		if !down {
			continue
		}
		backend := own.fromWire(string(fields[columns.at[stateBackend]]))
		if keep(backend, s.Name, s.Addr, usesTLS(header, line)) {
			out = append(out, healthLine(header, line, own)...)
		}
	}
	return out
}

// usesTLS reports whether HAProxy uses TLS to the server of the line.
func usesTLS(header, line []byte) bool {
	words := bytes.Fields(line)
	at := slices.IndexFunc(bytes.Fields(header), func(name []byte) bool { return string(name) == "srv_use_ssl" })
	return at >= 0 && at < len(words) && string(words[at]) == "1"
}

// downServer reports whether the server of the line is down by its own checks.
func downServer(columns *table, fields [][]byte) (Server, bool) {
	s, err := stateServer(columns, fields)
	down := err == nil && string(fields[columns.at[stateOp]]) == "0" &&
		s.Check && !s.Unchecked && s.State != haproxy.Maint && s.Addr.IsValid()
	return s, down
}

// healthLine keeps only the health of a line: state and weight come from the configuration.
func healthLine(header, line []byte, n names) []byte {
	names, words := bytes.Fields(header), bytes.Fields(line)
	initial := map[string][]byte{"srv_admin_state": []byte("0")}
	for i, name := range names {
		switch {
		case i >= len(words):
		case string(name) == "srv_iweight":
			initial["srv_uweight"] = words[i]
		case string(name) == "be_name":
			initial["be_name"] = []byte(n.fromWire(string(words[i])))
		}
	}
	for i, name := range names {
		if word, ok := initial[string(name)]; ok && i < len(words) {
			words[i] = word
		}
	}
	return append(bytes.Join(words, []byte(" ")), '\n')
}

// Raise sets the health of servers to up, if the worker still has them at these addresses, ready and down. It returns the servers that it
// changed. It skips an added server that HAProxy has checked itself meanwhile. It does not skip such a moved one: the check was at the
// old address. It does not use the Cache.
func (r Client) Raise(
	ctx context.Context, w Worker, servers map[haproxy.ServerKey]netip.AddrPort, moved map[haproxy.ServerKey]bool,
) (raised []haproxy.ServerKey, err error) {
	var names, states []string
	seen := map[string]bool{}
	for key := range servers {
		if !seen[key.Backend] {
			seen[key.Backend] = true
			names, states = append(names, key.Backend), append(states, "show servers state "+key.Backend)
		}
	}
	reader := newLiveReader(names)
	reader.names = r.Names.load()
	now, err := r.read(ctx, reader, pack(append([]string{showInfo}, states...)))
	if err != nil || !now.Same(w) {
		return nil, err
	}
	var commands []string
	for _, b := range reader.order {
		for _, s := range b.Servers {
			key := haproxy.ServerKey{Backend: b.Name, Name: s.Name}
			addr, wanted := servers[key]
			if wanted && s.Addr == addr && (s.Undecided || moved[key] && s.Down) {
				raised = append(raised, key)
				commands = append(commands, "set server "+key.String()+" health up")
			}
		}
	}
	return raised, r.exec(ctx, commands)
}
