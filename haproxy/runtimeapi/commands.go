package runtimeapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// firstCheck makes the first checks of a new server come soon. Later ones have the usual interval.
const firstCheck = " check inter 2s downinter 200ms fastinter 200ms"

// Commands make changes in a process.
type Commands struct {
	Capabilities haproxy.Capabilities
	// Params are the default-server parameters of a backend.
	Params func(backend string) string
	// Sent, if not nil, is called with the changes of servers that come or stay, after HAProxy got their commands.
	Sent func(changes []haproxy.Change)
	// Again, if not nil, is called before the result is read. It updates Client.Names.
	Again func() error
	// Checked are new servers that were just checked, with a good result: they get traffic at once.
	Checked map[haproxy.ServerKey]bool
}

func (o Commands) sent(changes []haproxy.Change) {
	if o.Sent != nil {
		o.Sent(changes)
	}
}

// pending are the changes that are not in effect yet: for servers that stay, and for servers that leave.
func (o Commands) pending(changes []haproxy.Change, live View) (stay, leave []haproxy.Change) {
	for _, c := range changes {
		if inEffect(c, live) {
			continue
		}
		if c.Op() == haproxy.OpRemove {
			leave = append(leave, c)
			continue
		}
		stay = append(stay, c)
	}
	return stay, leave
}

// commands are the commands of all changes. Those of one change stay together.
func (o Commands) commands(changes []haproxy.Change, live View) []string {
	var all []string
	for _, c := range changes {
		if commands, why := o.of(c, live); why == "" {
			all = append(all, strings.Join(commands, ";"))
		}
	}
	return all
}

// of are the commands for one change. why says what they cannot do. Commands that come with a reason will be refused by HAProxy, which
// gives a better reason.
func (o Commands) of(c haproxy.Change, live View) (commands []string, why string) {
	have, there := live[c.Key()]
	switch ch := c.(type) {
	case haproxy.AddServer:
		if there {
			return o.addAgain(ch, have)
		}
		return o.add(ch), ""
	case haproxy.SetServer:
		if !there {
			return nil, "the process has no such server"
		}
		return set(ch.Backend, have, ch.Want)
	case haproxy.RemoveServer:
		return []string{"del server " + ch.Backend + "/" + ch.Server.Name}, ""
	}
	return nil, "a running process cannot make this change"
}

// add are the commands for a new server, which must not get traffic before its first good check. Its health must come after
// "enable server", which resets it.
func (o Commands) add(c haproxy.AddServer) []string {
	name, s := c.Backend+"/"+c.Server.Name, c.Server
	commands := []string{o.addLine(c)}
	if s.Check {
		commands = append(commands, "enable health "+name)
	}
	switch s.State {
	case haproxy.Ready:
		commands = append(commands, "enable server "+name)
	case haproxy.Drain:
		commands = append(commands, "set server "+name+" state drain")
	case haproxy.Maint:
		return append(commands, o.enableAgent(c)...)
	}
	switch {
	case s.Check && s.State == haproxy.Ready && o.Checked[c.Key()]:
		commands = append(commands, "set server "+name+" health up")
	case s.Check:
		commands = append(commands, "set server "+name+" health down")
	}
	return append(commands, o.enableAgent(c)...)
}

// enableAgent starts the agent-check of a new server, since "add server" leaves it off.
func (o Commands) enableAgent(c haproxy.AddServer) []string {
	if !haproxy.LastWord(false, o.Params(c.Backend)+" "+c.Server.Params, "agent-check") {
		return nil
	}
	return []string{"enable agent " + c.Backend + "/" + c.Server.Name}
}

// addLine spells out every parameter. In HAProxy the last word wins: first our timing of checks, then the backend's words, then the
// server's own, then what the change says.
func (o Commands) addLine(c haproxy.AddServer) string {
	s := c.Server
	line := "add server " + c.Backend + "/" + s.Name + " " + s.Addr.String()
	if s.Check {
		line += firstCheck
		if o.Capabilities.InitState {
			line += " init-state fully-down"
		}
	}
	given := slices.DeleteFunc(strings.Fields(o.Params(c.Backend)), func(word string) bool { return word == "check" || word == "no-check" })
	for _, words := range []string{strings.Join(given, " "), s.Params} {
		if words != "" {
			line += " " + words
		}
	}
	if s.Cookie != "" {
		line += " cookie " + s.Cookie
	}
	if s.MaxConn > 0 || slices.Contains(given, "maxconn") {
		line += " maxconn " + strconv.Itoa(s.MaxConn)
	}
	switch {
	case s.Backup:
		line += " backup"
	case slices.Contains(given, "backup"):
		line += " no-backup"
	}
	return line + " weight " + strconv.Itoa(s.Weight)
}

// addAgain is for a server that exists already: it completes one that was left half-way, and reports any other as an obstacle.
func (o Commands) addAgain(c haproxy.AddServer, have Server) (commands []string, why string) {
	commands, why = set(c.Backend, have, c.Server)
	if why != "" {
		return []string{o.addLine(c)}, why
	}
	return commands, ""
}

// set are the commands that change a server of the process to the wanted one.
func set(backend string, have Server, want haproxy.Server) (commands []string, why string) {
	from, to := have.effective(), observable(want)
	resumes := have.Unchecked && to.Check
	from.Check = from.Check || resumes
	if ok, why := (haproxy.Capabilities{}).Live(haproxy.SetServer{Have: from, Want: to}); !ok {
		return nil, why
	}
	name := backend + "/" + want.Name
	server := "set server " + name
	if from.Addr != to.Addr {
		commands = append(commands, fmt.Sprintf("%s addr %s port %d", server, to.Addr.Addr(), to.Addr.Port()))
	}
	if from.Weight != to.Weight {
		commands = append(commands, fmt.Sprintf("%s weight %d", server, to.Weight))
	}
	if from.MaxConn != to.MaxConn {
		commands = append(commands, fmt.Sprintf("set maxconn server %s %d", name, to.MaxConn))
	}
	if resumes {
		commands = append(commands, "enable health "+name)
	}
	if from.State == to.State {
		return commands, ""
	}
	commands = append(commands, server+" state "+string(to.State))
	if resumes && to.State != haproxy.Maint {
		commands = append(commands, server+" health down")
	}
	return commands, ""
}

// inEffect reports whether the process is as the change wants it, as far as the process shows.
func inEffect(c haproxy.Change, live View) bool {
	have, there := live[c.Key()]
	_, want := c.Servers()
	if c.Op() == haproxy.OpRemove {
		return !there
	}
	return there && have.effective() == observable(want)
}

// confirmed is inEffect after the commands were sent: an agent-check may have changed weight, maxconn and state since.
func confirmed(c haproxy.Change, live View) bool {
	have, there := live[c.Key()]
	_, want := c.Servers()
	if there && have.Agent {
		have.Weight, have.MaxConn, have.State = want.Weight, want.MaxConn, want.State
		live = View{c.Key(): have}
	}
	return inEffect(c, live)
}

// effective is the observable part of a server, without a check that is off.
func (s Server) effective() haproxy.Server {
	s.Check = s.Check && !s.Unchecked
	return observable(s.Server)
}

// observable is the part of a server that the process shows.
func observable(s haproxy.Server) haproxy.Server {
	s.Params = ""
	return s
}
