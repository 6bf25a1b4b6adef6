package web

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// An Attention is something that an operator should know.
type Attention struct {
	What    string    `json:"what" doc:"'problem', 'override', 'draining', 'pending', 'waiting', 'warning' or, with --shadow, 'shadow'"`
	Level   Level     `json:"level" doc:"'notice' or 'trouble'"`
	Domain  string    `json:"domain,omitempty" doc:"the domain, if it is about one"`
	Host    string    `json:"host,omitempty" doc:"the host, if it is about one"`
	Key     string    `json:"key,omitempty" doc:"the key in etcd, if it is about one"`
	Why     string    `json:"why" doc:"what it is"`
	Since   time.Time `json:"since,omitzero" doc:"since when the agent, or HAProxy, has known of it; absent if that is not known"`
	Command string    `json:"command,omitempty" doc:"a command that shows more, or ends it"`
}

// maxAttention limits the list: anyone who can write keys can cause many problems.
const maxAttention = 100

// attention lists the first maxAttention things that an operator should know, and counts all.
func (st *state) attention() (list []Attention, total int) {
	add := func(n int, each func(int) Attention) {
		for i := range min(n, maxAttention-len(list)) {
			list = append(list, each(i))
		}
		total += n
	}
	if s := st.status.Shadow; s != nil {
		add(len(s.Changes), func(i int) Attention { return shadowAttention(s.Changes[i]) })
	}
	last := st.status.Last
	add(len(last.Problems), func(i int) Attention {
		p := last.Problems[i]
		a := Attention{What: "problem", Level: LevelNotice, Key: p.Key, Why: p.Reason, Since: st.status.ProblemSince(p.Key)}
		if p.Holds() {
			a.Level = LevelTrouble
		}
		return a.about(p.Domain, p.Host)
	})
	add(len(st.status.Overrides), func(i int) Attention {
		o := st.status.Overrides[i]
		a := Attention{What: "override", Level: LevelNotice, Since: st.status.OverrideSince(o),
			Why: fmt.Sprintf("%s was set on HAProxy's socket, the registry says %s", o.Live, o.Registry)}.about(o.Domain, o.Host)
		a.Command = "hapsync sync --undo-overrides"
		return a
	})
	draining := st.draining()
	add(len(draining), func(i int) Attention { return draining[i] })
	late := st.status.Late()
	add(len(late), func(i int) Attention {
		return Attention{What: "waiting", Level: LevelNotice, Since: st.status.WaitingSince(late[i]),
			Why: "waits for the file or a reload, or is held"}.about(late[i], "")
	})
	add(len(last.Pending), func(i int) Attention {
		path, why, _ := strings.Cut(last.Pending[i], ": ")
		domain, host, _ := strings.Cut(path, "/")
		return Attention{What: "pending", Level: LevelNotice, Why: why, Since: st.status.PendingSince(path)}.about(domain, host)
	})
	add(len(last.Warnings), func(i int) Attention {
		w := last.Warnings[i]
		return Attention{What: "warning", Level: LevelNotice, Since: st.status.WarningSince(w), Why: w, Command: "hapsync check"}
	})
	return list, total
}

// shadowAttention is a change that HAProxy does not have as hapsync would have made it.
func shadowAttention(c sync.ShadowChange) Attention {
	a := Attention{What: "shadow", Level: LevelNotice, Why: string(c.State) + ": " + c.String(), Since: c.Since}
	if c.State == sync.ShadowDiffers {
		a.Level = LevelTrouble
	}
	if c.Why != "" {
		a.Why += "; " + c.Why
	}
	if c.Object == haproxy.ObjectServer {
		return a.about(c.Domain, c.Name)
	}
	return a.about(c.Domain, "")
}

// about sets the domain, the host and the command. It ignores bad names, which no page and no command accepts.
func (a Attention) about(domain, host string) Attention {
	if registry.CheckDomain(domain) != nil {
		return a
	}
	a.Domain, a.Command = domain, "hapsync explain "+domain
	if host != "" && registry.CheckHost(host) == nil {
		a.Host, a.Command = host, a.Command+" "+host
	}
	return a
}

// draining are the servers that get no new clients, but have sessions.
func (st *state) draining() []Attention {
	var list []Attention
	for _, key := range st.status.Leaving() {
		found, _ := st.servers.of(key.Domain())
		i := slices.IndexFunc(found, func(s haproxy.ServerStatus) bool { return s.Name == key.Name })
		if i < 0 || found[i].Sessions == 0 {
			continue
		}
		a := Attention{What: "draining", Level: LevelNotice, Since: st.servers.at.Add(-found[i].Since),
			Why: registry.Count(found[i].Sessions, "session") + " left"}.about(key.Domain(), key.Name)
		if !st.registered(key) {
			a.Why += fmt.Sprintf(", ended by force in %s", max(0, st.subject.DrainTimeout-found[i].Since).Round(time.Second))
		}
		list = append(list, a)
	}
	return list
}

// registered reports whether the registry has the server's host.
func (st *state) registered(key haproxy.ServerKey) bool {
	i, there := slices.BinarySearchFunc(st.snapshot.Domains, key.Domain(), (*registry.Domain).CompareName)
	return there && slices.ContainsFunc(st.snapshot.Domains[i].Hosts, func(h registry.Host) bool { return h.Name == key.Name })
}
