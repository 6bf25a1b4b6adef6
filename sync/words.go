package sync

import (
	"fmt"
	"slices"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// lostWords warns of words of an operator's behind servers that a change of the file does not keep, or that a new server does not get.
func lostWords(have haproxy.Config, edits []haproxy.Change) []string {
	const remedy = "write what all servers are to have into a default-server line"
	everywhere := commonWords(have)
	var lost []string
	for _, c := range edits {
		switch ch := c.(type) {
		case haproxy.RemoveBackend:
			b, _ := haproxy.FindBackend(have.Backends, ch.Name)
			if words := b.SharedWords(); words != "" {
				lost = append(lost, fmt.Sprintf("%q goes with the last server of backend %s: a host that comes later has none of it; %s of the defaults", words, ch.Name, remedy))
			}
		case haproxy.AddBackend:
			if everywhere != "" {
				lost = append(lost, fmt.Sprintf("backend %s gets no %q, which stands behind the servers of all others; %s of the defaults", ch.Name, everywhere, remedy))
			}
		case haproxy.AddServer:
			b, _ := haproxy.FindBackend(have.Backends, ch.Backend)
			if ch.Server.Params == "" && slices.ContainsFunc(b.Servers, func(s haproxy.Server) bool { return haproxy.WithoutID(s.Params) != "" }) {
				lost = append(lost, fmt.Sprintf("server %s gets none of the words behind the others of its backend, which are not the same for each; %s", ch.Key(), remedy))
			}
		}
	}
	return lost
}

// commonWords are those that the servers of all backends share; empty if one has others.
func commonWords(c haproxy.Config) string {
	common := ""
	for i, b := range c.Backends {
		words := b.SharedWords()
		if i > 0 && words != common {
			return ""
		}
		common = words
	}
	return common
}

// unsetWords warns, in one line, of weight, maxconn and backup on server lines that no key asks for, and that a change of the file
// takes away: who wrote them, an operator or an earlier key, nothing tells.
func unsetWords(snapshot registry.Snapshot, edits []haproxy.Change) []string {
	var found []string
	for _, c := range edits {
		have, want := c.Servers()
		d, _ := domainOf(snapshot, c.Domain())
		i := slices.IndexFunc(d.Hosts, func(h registry.Host) bool { return h.Name == want.Name })
		if c.Op() != haproxy.OpSet || i < 0 {
			continue
		}
		unset, words := d.Hosts[i].Unset, ""
		if unset.Weight && have.Weight != want.Weight && d.Hosts[i].State != registry.Drain {
			words += fmt.Sprintf(" weight %d", have.Weight)
		}
		if unset.MaxConn && have.MaxConn != want.MaxConn {
			words += fmt.Sprintf(" maxconn %d", have.MaxConn)
		}
		if unset.Backup && have.Backup != want.Backup {
			words += map[bool]string{true: " backup", false: " no-backup"}[have.Backup]
		}
		if words != "" {
			found = append(found, fmt.Sprintf("%q from server %s", words[1:], c.Key()))
		}
	}
	if len(found) == 0 {
		return nil
	}
	return []string{"no key says, and the managed file loses, " + nameSome(found) +
		"; if you wrote that, write it into a default-server line of the backend, or put the key of the host (weight, maxconn, backup)"}
}
