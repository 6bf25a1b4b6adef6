package configfile

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// keyed are the words of servers that the managed file has or lacks because of a key of the registry, by server and keyword. The value is
// what an operator had written there before, or keyedBare. The file itself does not show whose words they are, so they are kept in a file
// beside it. All other words of a server's line are the operator's.
type keyed map[haproxy.ServerKey]map[string]string

// keyedBare means that the operator had written nothing.
const keyedBare = "-"

func (c *Files) keyedFile() string { return Beside(c.Managed, "keyed") }

// readKeyed parses lines of a server, keywords and values.
func readKeyed(text string) keyed {
	k := keyed{}
	for l := range strings.Lines(text) {
		w := strings.Fields(l)
		if len(w) < 3 {
			continue
		}
		backend, name, _ := strings.Cut(w[0], "/")
		words := map[string]string{}
		for i := 1; i+1 < len(w); i += 2 {
			words[w[i]] = w[i+1]
		}
		k[haproxy.ServerKey{Backend: backend, Name: name}] = words
	}
	return k
}

func (k keyed) String() string {
	all := make([]string, 0, len(k))
	for key, words := range k {
		line := key.String()
		for _, w := range slices.Sorted(maps.Keys(words)) {
			line += " " + w + " " + words[w]
		}
		all = append(all, line+"\n")
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// with adds the words of other; those of k have priority.
func (k keyed) with(other keyed) keyed {
	all := maps.Clone(k)
	for key, words := range other {
		all[key] = maps.Clone(words)
		maps.Copy(all[key], k[key])
	}
	return all
}

// typed are the settings that operators wrote behind servers of a backend, if they differ from what the backend gives.
func (k keyed) typed(b haproxy.Backend) map[string]haproxy.Given {
	var typed map[string]haproxy.Given
	for _, s := range b.Servers {
		own := givenAs(s)
		for keyword, value := range k[haproxy.ServerKey{Backend: b.Name, Name: s.Name}] {
			set(&own, keyword, value, b.Given)
		}
		if own == plain(b.Given) {
			continue
		}
		if typed == nil {
			typed = map[string]haproxy.Given{}
		}
		typed[s.Name] = own
	}
	return typed
}

// keyedIn are the words that a configuration has because of keys: those that the file would not give without keys.
func (m Managed) keyedIn(want haproxy.Config) keyed {
	k := keyed{}
	for _, w := range want.Backends {
		b, there := haproxy.FindBackend(m.Config.Backends, w.Name)
		if !there {
			b.Given = m.Given
		}
		for _, s := range w.Servers {
			own, has, bare := plain(b.GivenTo(s.Name)), givenAs(s), plain(b.Given)
			if own == has {
				continue
			}
			words := map[string]string{}
			note := func(keyword string, differs, typed bool, value string) {
				if !typed {
					value = keyedBare
				}
				if differs {
					words[keyword] = value
				}
			}
			note("weight", own.Weight != has.Weight, own.Weight != bare.Weight, strconv.Itoa(own.Weight))
			note("maxconn", own.MaxConn != has.MaxConn, own.MaxConn != bare.MaxConn, strconv.Itoa(own.MaxConn))
			note("backup", own.Backup != has.Backup, own.Backup != bare.Backup, strconv.FormatBool(own.Backup))
			note("disabled", own.Disabled != has.Disabled, own.Disabled != bare.Disabled, strconv.FormatBool(own.Disabled))
			k[haproxy.ServerKey{Backend: w.Name, Name: s.Name}] = words
		}
	}
	return k
}

// givenAs is a server's settings as Given.
func givenAs(s haproxy.Server) haproxy.Given {
	return haproxy.Given{Weight: s.Weight, Weighted: true, MaxConn: s.MaxConn, Backup: s.Backup, Disabled: s.State == haproxy.Maint}
}

// plain is g with HAProxy's default weight filled in, and without the check, which only hapsync sets.
func plain(g haproxy.Given) haproxy.Given {
	g.Weight, g.Weighted, g.Check = g.ServerWeight(), true, false
	return g
}

// set replaces the value from a key by the operator's.
func set(own *haproxy.Given, keyword, value string, bare haproxy.Given) {
	if bare = plain(bare); value != keyedBare {
		number, _ := strconv.Atoi(value)
		bare = haproxy.Given{Weight: number, MaxConn: number, Backup: value == "true", Disabled: value == "true"}
	}
	switch keyword {
	case "weight":
		own.Weight = bare.Weight
	case "maxconn":
		own.MaxConn = bare.MaxConn
	case "backup":
		own.Backup = bare.Backup
	case "disabled":
		own.Disabled = bare.Disabled
	}
}

// keepKeyed writes keyedFile if it changes.
func (c *Files) keepKeyed(have Reading, want string) error {
	if !have.Unclaimed && have.keyed == want {
		return nil
	}
	return c.writeKeyed(want)
}

func (c *Files) writeKeyed(text string) error {
	return candidate{path: c.keyedFile() + ".new", target: c.keyedFile()}.replace(c.Managed, text)
}

// Claim writes keyedFile if there is none yet: the words that the operators did not write, as far as want can tell, belong to keys.
func (c *Files) Claim(want haproxy.Config) error {
	f, err := c.Reread()
	if err != nil || !f.Unclaimed {
		return err
	}
	m := f.Managed
	m.Config.Backends = slices.Clone(m.Config.Backends)
	for i, b := range m.Config.Backends {
		wanted, _ := haproxy.FindBackend(want.Backends, b.Name)
		m.Config.Backends[i].Typed = wanted.Typed
	}
	return c.writeKeyed(m.keyedIn(want).String())
}
