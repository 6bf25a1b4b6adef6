package configfile

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	parser "github.com/haproxytech/config-parser/v5"
	"github.com/haproxytech/config-parser/v5/params"
	"github.com/haproxytech/config-parser/v5/types"

	"github.com/hapsync/hapsync/haproxy"
)

// masterSocketVariable is how a base file can name the master's socket: "setenv HAPSYNC_MASTER_SOCKET /run/haproxy/haproxy-master.sock" in
// its global section. Otherwise only HAProxy's command line has it.
const masterSocketVariable = "HAPSYNC_MASTER_SOCKET"

// Base is what hapsync needs from all of HAProxy's files.
type Base struct {
	// Sockets are the addresses of the stats sockets, those of level admin first.
	Sockets []string
	// adminSockets is the number of sockets of level admin.
	adminSockets int
	MasterSocket string
	// StateFile is the server-state file; empty if reloads do not pass on health.
	StateFile string
	// HardStop is set if old workers end after a timeout.
	HardStop bool
	// MaxConn, Descriptors and MaxDescriptors are maxconn, ulimit-n and fd-hard-limit of the global section; 0 if not set.
	MaxConn, Descriptors, MaxDescriptors int
	// IdleClose and LoadsState are set if the managed frontends and backends have these options.
	IdleClose, LoadsState bool
	// Proxies are the backends and listen sections of all files except the managed one, by name, with their places.
	Proxies map[string]string
	// frontends are the frontends of the same files, by name, with their places.
	frontends map[string]string
	// Binds are the addresses on which HAProxy listens.
	Binds haproxy.Binds
	// named are those of them with host names. Unresolved lists the names without an address, as text.
	named      []namedBind
	Unresolved []string
}

// readBase reads the parts of the files that concern all. Our own reader finds sections and names, since no line confuses it. Only the
// global sections go through config-parser, line by line, since it loses what follows a very long line.
func readBase(sources []source, managed string, env environment) (Base, error) {
	b := Base{
		Proxies: map[string]string{}, frontends: map[string]string{},
		Binds: haproxy.Binds{Listeners: map[netip.AddrPort]string{}},
	}
	var global []line
	for _, src := range sources {
		for _, s := range src.doc.sections {
			if s.kind == "global" && !s.off {
				global = append(global, src.doc.active(s)...)
			}
			if src.path == managed {
				continue
			}
			place := fmt.Sprintf("%s %s (%s:%d)", s.kind, s.name, src.path, s.head+1)
			switch s.kind {
			case "frontend":
				b.frontends[s.name] = place
			case "backend", "listen":
				b.Proxies[s.name] = place
			}
		}
	}
	set := map[string]string{}
	p, err := b.parseGlobal(global, set)
	if err != nil {
		return b, fmt.Errorf("read the global section: %w", err)
	}
	b.readGlobal(p)
	b.readBinds(sources, func(name string) string { return cmp.Or(set[name], env(name)) })
	return b, nil
}

// parseGlobal gives the lines of global sections to config-parser, without quotes and with the values of variables. It reads itself what
// config-parser does not know. It adds the variables that the lines set to set.
func (b *Base) parseGlobal(lines []line, set map[string]string) (parser.Parser, error) {
	env := func(name string) string { return cmp.Or(set[name], os.Getenv(name)) }
	var text strings.Builder
	text.WriteString("global\n")
	for _, l := range lines {
		if len(l.raw) >= 60_000 {
			continue
		}
		words := expandWords(l.raw, env)
		if len(words) == 3 && (words[0] == "setenv" || words[0] == "presetenv") {
			set[words[1]] = words[2]
		}
		if len(words) > 1 {
			b.takeLimit(words[0], words[1])
		}
		if len(words) > 0 && !slices.ContainsFunc(words, func(w string) bool { return strings.ContainsAny(w, " \t\n\r#") }) {
			text.WriteString("  " + strings.Join(words, " ") + "\n")
		}
	}
	return parse(text.String())
}

// takeLimit reads a line that limits HAProxy's descriptors. The first one counts.
func (b *Base) takeLimit(keyword, value string) {
	limits := map[string]*int{"maxconn": &b.MaxConn, "ulimit-n": &b.Descriptors, "fd-hard-limit": &b.MaxDescriptors}
	if number, err := strconv.Atoi(value); err == nil && limits[keyword] != nil && *limits[keyword] == 0 {
		*limits[keyword] = number
	}
}

func (b *Base) readGlobal(p parser.Parser) {
	if sockets, ok := get[[]types.Socket](p, parser.Global, parser.GlobalSectionName, "stats socket"); ok {
		for _, s := range sockets {
			switch {
			case !Reachable(s.Path):
			case isAdmin(s.Params):
				b.Sockets = slices.Insert(b.Sockets, b.adminSockets, s.Path)
				b.adminSockets++
			default:
				b.Sockets = append(b.Sockets, s.Path)
			}
		}
	}
	if file, ok := get[*types.StringC](p, parser.Global, parser.GlobalSectionName, "server-state-file"); ok {
		b.StateFile = file.Value
	}
	dir, ok := get[*types.StringC](p, parser.Global, parser.GlobalSectionName, "server-state-base")
	if ok && b.StateFile != "" && b.StateFile[0] != '/' {
		b.StateFile = dir.Value + "/" + b.StateFile
	}
	_, b.HardStop = get[any](p, parser.Global, parser.GlobalSectionName, "hard-stop-after")
	for _, keyword := range []string{"setenv", "presetenv"} {
		env, _ := get[[]types.StringKeyValueC](p, parser.Global, parser.GlobalSectionName, keyword)
		for _, e := range env {
			if e.Key == masterSocketVariable {
				b.MasterSocket = e.Value
			}
		}
	}
}

// readDefaults reads the options that all managed sections inherit.
func (f *Reading) readDefaults(frontends []string) {
	f.Base.IdleClose = true
	for _, name := range frontends {
		lines := f.effective(f.at, f.Managed.frontends[name])
		f.Base.IdleClose = f.Base.IdleClose && hasOption(lines, "idle-close-on-response")
		f.Base.LoadsState = lastOf(lines, "load-server-state-from-file") == "global"
	}
	for _, s := range f.Managed.backends { // any one: nearly all have the same
		f.Base.LoadsState = lastOf(f.effective(f.at, s), "load-server-state-from-file") == "global"
		break
	}
}

// defaultServerWords are the words of the default-server lines.
func defaultServerWords(lines []line) string {
	var words []string
	for _, l := range lines {
		if firstWord(l.raw) == "default-server" {
			words = append(words, splitWords(l.raw)[1:]...)
		}
	}
	return strings.Join(words, " ")
}

// get reads an attribute; ok is false if the file does not set it.
func get[T any](p parser.Parser, kind parser.Section, section, attribute string) (T, bool) {
	data, err := p.Get(kind, section, attribute)
	if err != nil {
		var none T
		return none, false
	}
	value, ok := data.(T)
	return value, ok
}

func isAdmin(options []params.BindOption) bool {
	for _, o := range options {
		if v, ok := o.(*params.BindOptionValue); ok && v.Name == "level" && v.Value == "admin" {
			return true
		}
	}
	return false
}

// Reachable reports whether an address is one that a program can connect to: not a descriptor that HAProxy has inherited.
func Reachable(address string) bool {
	return !strings.HasPrefix(address, "fd@") && !strings.HasPrefix(address, "sockpair@")
}
