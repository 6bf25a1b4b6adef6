package configfile

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// keyed are the words of servers that the managed file has, or lacks, because a key of the registry says so, by server and
// keyword; the value is what an operator had written there before, or keyedBare. Nothing in the file tells whose words are, so
// that they are kept in a file beside it. All other words of a server's line are the operator's.
type keyed map[haproxy.ServerKey]map[string]string

// keyedBare stands for no word of an operator's.
const keyedBare = "-"

func (c *Files) keyedFile() string {
	dir, name := filepath.Split(c.Managed)
	return filepath.Join(dir, "."+name+".keyed")
}

// readKeyed reads one server in a line: its name, then each keyword with its value.
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

// with is both together.
func (k keyed) with(other keyed) keyed {
	all := maps.Clone(k)
	for key, words := range other {
		all[key] = maps.Clone(words)
		maps.Copy(all[key], k[key])
	}
	return all
}

// typed are the words that operators have written behind servers of a backend, where they are not what the backend gives.
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

// keyedIn are the words that a configuration has because keys say so: those that the file does not give without them.
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

// givenAs is what a server has, as something that it is given.
func givenAs(s haproxy.Server) haproxy.Given {
	return haproxy.Given{Weight: s.Weight, Weighted: true, MaxConn: s.MaxConn, Backup: s.Backup, Disabled: s.State == haproxy.Maint}
}

// plain is the same with HAProxy's own weight spelt out, and without the check, which is always hapsync's to say.
func plain(g haproxy.Given) haproxy.Given {
	g.Weight, g.Weighted, g.Check = g.ServerWeight(), true, false
	return g
}

// set puts a word of an operator's into the place of a key's.
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

// keepKeyed writes keyedFile where it is to say something else.
func (c *Files) keepKeyed(have Reading, want string) error {
	if !have.Unclaimed && have.keyed == want {
		return nil
	}
	return c.writeKeyed(want)
}

func (c *Files) writeKeyed(text string) error {
	made := candidate{path: c.keyedFile() + ".new", target: c.keyedFile()}
	if err := made.fill(text, c.Managed); err != nil {
		return err
	}
	return made.install()
}

// Claim keeps, where nothing is kept of that yet, which words of the file are there because keys say so: those that operators have
// not typed by what is wanted.
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
