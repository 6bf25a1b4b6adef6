package runtimeapi

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
)

// NoHealth is what a server-state file begins with: its version, and the columns of HAProxy 2.6 to 3.4.
const NoHealth = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight " +
	"srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state " +
	"bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr " +
	"srv_agent_addr srv_agent_port\n"

// OneReload marks what was written for one reload: if it is still there later, the process that wrote it was killed.
const OneReload = "# by hapsync, for one reload\n"

// Health makes a server-state file out of the reply to "show servers state": only the servers that HAProxy's
// checks hold down, for a reload not to send them traffic until they are found well. keep says whether the new
// configuration has the server at that very address, with TLS or without as before: a line would override the configuration's address and its
// "ssl", silently (2.6 to 3.4). The lines have the backends' names as they are spoken of.
func Health(serversState []byte, n *Names, keep func(backend, server string, addr netip.AddrPort, tls bool) bool) []byte {
	out, spoken := []byte("1\n"), n.now()
	var columns *table
	var header []byte
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
		fields := columns.cut(nil, line)
		if len(fields) < columns.width {
			continue
		}
		backend := spoken.heard(string(fields[columns.at[stateBackend]]))
		if s, down := downServer(columns, fields); down && keep(backend, s.Name, s.Addr, usesTLS(header, line)) {
			out = append(out, healthLine(header, line, spoken)...)
		}
	}
	return out
}

// usesTLS reports whether the line is of a server that HAProxy speaks TLS to.
func usesTLS(header, line []byte) bool {
	words := bytes.Fields(line)
	at := slices.IndexFunc(bytes.Fields(header), func(name []byte) bool { return string(name) == "srv_use_ssl" })
	return at >= 0 && at < len(words) && string(words[at]) == "1"
}

// downServer reports whether the line is of a server that its own checks hold down.
func downServer(columns *table, fields [][]byte) (Server, bool) {
	s, err := stateServer(columns, fields)
	down := err == nil && string(fields[columns.at[stateOp]]) == "0" &&
		s.Check && !s.Unchecked && s.State != haproxy.Maint && s.Addr.IsValid()
	return s, down
}

// healthLine leaves only the health in a line: state and weight are the configuration's to say.
func healthLine(header, line []byte, spoken names) []byte {
	names, words := bytes.Fields(header), bytes.Fields(line)
	initial := map[string][]byte{"srv_admin_state": []byte("0")}
	for i, name := range names {
		switch {
		case i >= len(words):
		case string(name) == "srv_iweight":
			initial["srv_uweight"] = words[i]
		case string(name) == "be_name":
			initial["be_name"] = []byte(spoken.heard(string(words[i])))
		}
	}
	for i, name := range names {
		if word, ok := initial[string(name)]; ok && i < len(words) {
			words[i] = word
		}
	}
	return append(bytes.Join(words, []byte(" ")), '\n')
}
