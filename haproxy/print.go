package haproxy

import (
	"slices"
	"strconv"
	"strings"
)

func (c AddBackend) String() string {
	s := "+ backend " + c.Name + " " + c.Options.String()
	if c.InSpare {
		s += ", in a spare backend"
	}
	return s
}

func (c SetBackend) String() string {
	return "~ backend " + c.Name + " " + c.Have.String() + " -> " + c.Want.String()
}

func (c RemoveBackend) String() string { return "- backend " + c.Name }

func (c AddServer) String() string {
	return "+ server " + c.Backend + "/" + c.Server.Name + " " + c.Server.String()
}

func (c SetServer) String() string {
	return "~ server " + c.Backend + "/" + c.Want.Name + " " + c.Have.String() + " -> " + c.Want.String()
}

func (c RemoveServer) String() string {
	return "- server " + c.Backend + "/" + c.Server.Name
}

func (c AddRule) String() string {
	return "+ " + c.Rule.String()
}

func (c SetRule) String() string {
	have, want := c.Have.Hosts(), c.Want.Hosts()
	if c.Have.ByMap != c.Want.ByMap {
		have, want = have+c.Have.Routing(), want+c.Want.Routing()
	}
	return "~ use_backend rule in " + c.Want.Frontend + " of " + have + " -> " + want
}

func (c RemoveRule) String() string {
	return "- " + c.Rule.String()
}

// String names the rule.
func (r Rule) String() string {
	if r.ByMap {
		return "map entry of " + r.Domain + " in " + r.Frontend
	}
	return "use_backend rule of " + r.Domain + " in " + r.Frontend
}

// String is the text in a plan.
func (o BackendOptions) String() string {
	s := "balance " + o.Balance
	if o.Balance == "" {
		s = "no balance"
	}
	if o.Cookie == "" {
		s += ", no cookie"
	} else if o.Cookie != StickyCookie {
		s += ", cookie " + strconv.Quote(o.Cookie)
	}
	if o.Check != "" {
		s += ", check " + o.Check
		if o.CheckHost != "" {
			s += " host " + o.CheckHost
		}
	}
	if o.Names != "" {
		s += ", also " + o.Names
	}
	if o.Lines != "" {
		s += ", " + strings.ReplaceAll(o.Lines, "\n", ", ")
	}
	return s
}

// String is the server's line in a plan, without its name and without defaults.
func (s Server) String() string { return strings.Join(s.texts(), " ") }

// Difference is the server before and after, without what both have in common. The address is always included.
func (c SetServer) Difference() (have, want string) {
	was, is := c.Have.texts(), c.Want.texts()
	only := func(texts, others []string) string {
		rest := slices.DeleteFunc(slices.Clone(texts[1:]), func(text string) bool { return slices.Contains(others, text) })
		return strings.Join(append(texts[:1:1], rest...), " ")
	}
	return only(was, is), only(is, was)
}

// texts are the address, and every setting that is not the default.
func (s Server) texts() []string {
	words := []string{s.Addr.String()}
	if s.Cookie != "" {
		words = append(words, "cookie "+s.Cookie)
	}
	if !s.Check {
		words = append(words, "no check")
	}
	if s.Weight != 1 {
		words = append(words, "weight "+strconv.Itoa(s.Weight))
	}
	if s.MaxConn != 0 {
		words = append(words, "maxconn "+strconv.Itoa(s.MaxConn))
	}
	if s.Backup {
		words = append(words, "backup")
	}
	if s.State != Ready {
		words = append(words, string(s.State))
	}
	if s.Params != "" {
		words = append(words, s.Params)
	}
	return words
}
