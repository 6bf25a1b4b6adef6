package sync

import (
	"fmt"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

const (
	// minCooldown is the first cooldown of a domain's options. Each further reload doubles it, up to maxCooldown.
	minCooldown = 5 * time.Second
	maxCooldown = 5 * time.Minute
	// quietTime is how long at least the options must be quiet after a cooldown. Then the next cooldown is minCooldown again.
	quietTime = time.Minute
)

// A cooldown delays the next reload for the options of one domain. Each reload leaves an old worker behind, and the writer of the
// domain's keys may change them without end.
type cooldown struct {
	until time.Time
	wait  time.Duration
	key   string // the option that waits for the end; empty if none waits
}

// next is the cooldown after a reload at the time now.
func (c cooldown) next(now time.Time) cooldown {
	if c.forgotten(now) {
		c.wait = 0
	}
	c.wait = min(max(2*c.wait, minCooldown), maxCooldown)
	c.until = now.Add(c.wait)
	return c
}

// forgotten reports whether the options were quiet long enough after the cooldown.
func (c cooldown) forgotten(now time.Time) bool {
	return c.key == "" && !now.Before(c.until.Add(max(c.wait, quietTime)))
}

// withKey is the cooldown with the key of an option that waits for its end.
func (c cooldown) withKey(key string) cooldown {
	c.key = key
	return c
}

// problem says that an option waits.
func (c cooldown) problem(prefix, domain string) registry.Problem {
	return registry.Problem{
		Key: prefix + "/" + domain + c.key, Domain: domain,
		Reason: fmt.Sprintf("it has been changed again and again, and each time HAProxy is reloaded: the next reload for it is made at %s",
			c.until.Format(time.TimeOnly)),
	}
}

// startCooldowns is called after a reload for the options of some domains.
func (m *memory) startCooldowns(names []string) {
	for _, name := range names {
		d := m.at(name)
		d.cooldown = d.cooldown.next(time.Now())
	}
}

// delayOptions leaves the options of a domain as they are in the file. It adds the domain's backends to file and process.
func (w *wanted) delayOptions(name string, st haproxy.State, file, process map[string]haproxy.Backend) {
	have, written := backendOf(st.File, name)
	want, asked := backendOf(w.file, name)
	delayed, key := withOldOptions(have, want)
	if !written || !asked || key == "" {
		return
	}
	run, _ := backendOf(w.process, name)
	file[name], w.refused[name], w.delayed[name] = delayed, true, key
	process[name], _ = withOldOptions(have, run)
}

// withOldOptions is the backend want with the options of have, and the key of an option that differs; empty if none does.
func withOldOptions(have, want haproxy.Backend) (b haproxy.Backend, key string) {
	b = want
	b.Options, b.Servers = have.Options, nil
	key = changedOption(have.Options, want.Options)
	for _, s := range want.Servers {
		if old, found := haproxy.FindServer(have, s.Name); found && (s.Check != old.Check || s.Backup != old.Backup) {
			if key == "" && s.Check != old.Check {
				key = "/check"
			} else if key == "" {
				key = "/" + s.Name + "/backup"
			}
			s.Check, s.Backup = old.Check, old.Backup
		}
		b.Servers = append(b.Servers, s)
	}
	return b, key
}
