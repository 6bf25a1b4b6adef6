package sync

import (
	"fmt"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

const (
	// minCooldown is how long the options of a domain rest after a reload that was made for them; each further reload doubles it.
	minCooldown = 5 * time.Second
	maxCooldown = 5 * time.Minute
	// restForgotten is how long at least they have to be quiet after that, until it begins again with the first.
	restForgotten = time.Minute
)

// A cooldown is when the options of a domain may ask for a reload again: each leaves an old worker behind, and nothing keeps a domain's
// writer from changing them for ever.
type cooldown struct {
	until time.Time
	wait  time.Duration
	key   string // the option that waits for it; empty where none does
}

// after is the rest after a reload at that time.
func (r cooldown) after(now time.Time) cooldown {
	if r.forgotten(now) {
		r.wait = 0
	}
	r.wait = min(max(2*r.wait, minCooldown), maxCooldown)
	r.until = now.Add(r.wait)
	return r
}

// forgotten reports whether a rest is to be forgotten.
func (r cooldown) forgotten(now time.Time) bool {
	return r.key == "" && !now.Before(r.until.Add(max(r.wait, restForgotten)))
}

// startCooldowns takes note of a reload that was made for the options of domains.
func (m *memory) startCooldowns(names []string) {
	for _, name := range names {
		d := m.at(name)
		d.cooldown = d.cooldown.after(time.Now())
	}
}

// withOldOptions is a domain with its options as they were, for as long as they rest, and the key of the one that waits.
func withOldOptions(is, was haproxy.Backend) (b haproxy.Backend, key string) {
	b = is
	b.Options, b.Servers = was.Options, nil
	key = changedOption(is.Options, was.Options)
	for _, s := range is.Servers {
		if had, there := haproxy.FindServer(was, s.Name); there && (s.Check != had.Check || s.Backup != had.Backup) {
			if key == "" && s.Check != had.Check {
				key = "/check"
			} else if key == "" {
				key = "/" + s.Name + "/backup"
			}
			s.Check, s.Backup = had.Check, had.Backup
		}
		b.Servers = append(b.Servers, s)
	}
	return b, key
}

// changedOption is the key of an option that differs; empty where none does.
func changedOption(is, was haproxy.BackendOptions) string {
	switch {
	case is.Balance != was.Balance:
		return "/balance"
	case is.Cookie != was.Cookie:
		return "/cookie"
	case is.Names != was.Names:
		return "/aliases"
	case is.Check != was.Check, is.CheckHost != was.CheckHost:
		return "/check"
	case is.Lines != was.Lines:
		return "/" + keyOfLines(is.Lines, was.Lines)
	}
	return ""
}

// delayOptions leaves the options of a domain as the file has them, in what file and process are to be.
func (w *wanted) delayOptions(name string, st haproxy.State, file, process map[string]haproxy.Backend) {
	was, written := backendOf(st.File, name)
	is, asked := backendOf(w.file, name)
	is, key := withOldOptions(is, was)
	if !written || !asked || key == "" {
		return
	}
	run, _ := backendOf(w.process, name)
	file[name], w.refused[name], w.delayed[name] = is, true, key
	process[name], _ = withOldOptions(run, was)
}

// withKey is the rest where an option withKey for it.
func (r cooldown) withKey(key string) cooldown {
	r.key = key
	return r
}

// problem says that an option waits.
func (r cooldown) problem(prefix, domain string) registry.Problem {
	return registry.Problem{Key: prefix + "/" + domain + r.key, Domain: domain,
		Reason: fmt.Sprintf("it has been changed again and again, and each time HAProxy is reloaded: the next reload for it is made at %s", r.until.Format(time.TimeOnly))}
}
