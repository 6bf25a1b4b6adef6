package haproxy

import (
	"fmt"
	"strconv"
	"strings"
)

// firstCheck makes the first checks of a server that is added live come soon; later ones are as usual.
const firstCheck = " check inter 2s downinter 200ms fastinter 200ms"

// orders are the commands that make changes in a process.
type orders struct {
	caps   Capabilities
	params func(backend string) string
}

// pending are the changes that are not in effect: servers that stay, and servers that leave.
func (o orders) pending(changes []Change, live view) (stay, leave []Change) {
	for _, c := range changes {
		if inEffect(c, live) {
			continue
		}
		if c.Op() == OpRemove {
			leave = append(leave, c)
			continue
		}
		stay = append(stay, c)
	}
	return stay, leave
}

// commands are those of all changes; what belongs to one change stays together.
func (o orders) commands(changes []Change, live view) []string {
	var all []string
	for _, c := range changes {
		if commands, why := o.of(c, live); why == "" {
			all = append(all, strings.Join(commands, ";"))
		}
	}
	return all
}

// of are the commands that bring one change into effect. why says what the commands cannot do; those that come
// with a reason are expected to be refused, in HAProxy's better words.
func (o orders) of(c Change, live view) (commands []string, why string) {
	have, there := live[c.Key()]
	switch ch := c.(type) {
	case AddServer:
		if there {
			return o.addAgain(ch, have)
		}
		return o.add(ch), ""
	case SetServer:
		if !there {
			return nil, "the process has no such server"
		}
		return set(ch.Backend, have, ch.Want)
	case RemoveServer:
		return []string{"del server " + ch.Backend + "/" + ch.Server.Name}, ""
	}
	return nil, "a running process cannot make this change"
}

// add are the commands of a new server: it takes no traffic before its first good check. "health down" has to come
// after "enable server", which resets it.
func (o orders) add(c AddServer) []string {
	name, s := c.Backend+"/"+c.Server.Name, c.Server
	commands := []string{o.addLine(c)}
	if s.Check {
		commands = append(commands, "enable health "+name)
	}
	switch s.State {
	case Ready:
		commands = append(commands, "enable server "+name)
	case Drain:
		commands = append(commands, "set server "+name+" state drain")
	case Maint:
		return commands
	}
	if s.Check {
		commands = append(commands, "set server "+name+" health down")
	}
	return commands
}

// addLine spells every parameter. The last word wins in HAProxy: ours on timing, then the backend's, then the
// server's own, then what the change says.
func (o orders) addLine(c AddServer) string {
	s := c.Server
	line := "add server " + c.Backend + "/" + s.Name + " " + s.Addr.String()
	if s.Check {
		line += firstCheck
		if o.caps.InitState {
			line += " init-state fully-down"
		}
	}
	for _, words := range []string{o.params(c.Backend), s.Params} {
		if words != "" {
			line += " " + words
		}
	}
	if s.Cookie != "" {
		line += " cookie " + s.Cookie
	}
	if s.MaxConn > 0 {
		line += " maxconn " + strconv.Itoa(s.MaxConn)
	}
	if s.Backup {
		line += " backup"
	}
	return line + " weight " + strconv.Itoa(s.Weight)
}

// addAgain is for a server that is there already: one that was left half-way is completed, another one is in the way.
func (o orders) addAgain(c AddServer, have liveServer) (commands []string, why string) {
	commands, why = set(c.Backend, have, c.Server)
	if why != "" {
		return []string{o.addLine(c)}, why
	}
	return commands, ""
}

// set are the commands that turn a server of the process into the wanted one.
func set(backend string, have liveServer, want Server) (commands []string, why string) {
	from, to := observable(have.Server), observable(want)
	if ok, why := (Capabilities{}).Live(SetServer{Have: from, Want: to}); !ok {
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
	if from.State == to.State {
		return commands, ""
	}
	if have.Unchecked {
		commands = append(commands, "enable health "+name)
	}
	commands = append(commands, server+" state "+string(to.State))
	if have.Unchecked && to.State != Maint {
		commands = append(commands, server+" health down")
	}
	return commands, ""
}

// inEffect reports whether the process is as the change wants it, as far as the process tells.
func inEffect(c Change, live view) bool {
	have, there := live[c.Key()]
	_, want := c.Servers()
	if c.Op() == OpRemove {
		return !there
	}
	return there && observable(have.Server) == observable(want)
}

// observable is what the process tells of a server.
func observable(s Server) Server {
	s.Params = ""
	return s
}
