package configfile

import (
	"fmt"
	"slices"
	"strings"

	parser "github.com/haproxytech/config-parser/v5"
	"github.com/haproxytech/config-parser/v5/params"
	"github.com/haproxytech/config-parser/v5/types"
)

// masterSocketVariable is how a base file names the master's socket, which is else known only to HAProxy's command line:
// "setenv HAPSYNC_MASTER_SOCKET /run/haproxy/haproxy-master.sock" in its global section.
const masterSocketVariable = "HAPSYNC_MASTER_SOCKET"

// Base is what hapsync wants to know of the operator's file.
type Base struct {
	// Sockets are the stats sockets on a path, those of level admin first.
	Sockets []string
	// adminSockets is how many of them are of level admin.
	adminSockets int
	MasterSocket string
	// StateFile is the server-state file; empty where health is not carried over a reload.
	StateFile string
	// HardStop is set where old workers end by themselves.
	HardStop bool
	// mode and the others are those of the defaults section that applies to what follows the file.
	mode          string
	IdleClose     bool
	LoadsState    bool
	defaultServer string
	// Proxies are the names of the backends and listen sections, with their place.
	Proxies map[string]string
	// frontends are the names of the frontends, with their place.
	frontends map[string]string
}

// readBase reads the operator's file. Sections and names come from our own reading of the text, which nothing confuses;
// only the global section and the last defaults section go through the parser, line by line where it can be: it loses
// what follows an overlong line, and .if blocks.
func readBase(d Document, file string) (Base, error) {
	b := Base{Proxies: map[string]string{}, frontends: map[string]string{}}
	var global, defaults []line
	for _, s := range d.sections {
		place := fmt.Sprintf("%s %s (%s:%d)", s.kind, s.name, file, s.head+1)
		switch s.kind {
		case "global":
			global = append(global, d.body(s)...)
		case "defaults":
			defaults = d.body(s)
		case "frontend":
			b.frontends[s.name] = place
		case "backend", "listen":
			b.Proxies[s.name] = place
		}
	}
	p, err := parseSections(global, defaults)
	if err != nil {
		return b, fmt.Errorf("read %s: %w", file, err)
	}
	b.readGlobal(p)
	b.readDefaults(p, defaults)
	return b, nil
}

// parseSections gives one global and one defaults section to config-parser.
func parseSections(global, defaults []line) (p parser.Parser, err error) {
	defer func() { // it panics on some malformed lines, which HAProxy refuses, too
		if r := recover(); r != nil {
			err = fmt.Errorf("config-parser panicked: %v", r)
		}
	}()
	var text strings.Builder
	for _, s := range []struct {
		header string
		lines  []line
	}{{"global\n", global}, {"defaults\n", defaults}} {
		text.WriteString(s.header)
		for _, l := range s.lines {
			if keyword := firstWord(l.raw); len(l.raw) < 60_000 && !strings.HasPrefix(keyword, ".") {
				text.WriteString("  " + strings.TrimSpace(l.raw) + "\n")
			}
		}
	}
	return parse(text.String())
}

func (b *Base) readGlobal(p parser.Parser) {
	if sockets, ok := get[[]types.Socket](p, parser.Global, parser.GlobalSectionName, "stats socket"); ok {
		for _, s := range sockets {
			if path, ok := SocketPath(s.Path); !ok {
				continue
			} else if isAdmin(s.Params) {
				b.Sockets = slices.Insert(b.Sockets, b.adminSockets, path)
				b.adminSockets++
			} else {
				b.Sockets = append(b.Sockets, path)
			}
		}
	}
	if file, ok := get[*types.StringC](p, parser.Global, parser.GlobalSectionName, "server-state-file"); ok {
		b.StateFile = strings.Trim(file.Value, `"'`)
	}
	if dir, ok := get[*types.StringC](p, parser.Global, parser.GlobalSectionName, "server-state-base"); ok && b.StateFile != "" && b.StateFile[0] != '/' {
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

func (b *Base) readDefaults(p parser.Parser, lines []line) {
	names, err := p.SectionsGet(parser.Defaults)
	if err != nil || len(names) != 1 {
		return
	}
	if mode, ok := get[*types.StringC](p, parser.Defaults, names[0], "mode"); ok {
		b.mode = mode.Value
	}
	if o, ok := get[*types.SimpleOption](p, parser.Defaults, names[0], "option idle-close-on-response"); ok {
		b.IdleClose = !o.NoOption
	}
	if s, ok := get[*types.LoadServerStateFromFile](p, parser.Defaults, names[0], "load-server-state-from-file"); ok {
		b.LoadsState = s.Argument == "global"
	}
	b.defaultServer = defaultServerWords(lines)
}

// defaultServerWords are the words of the default-server lines of a section.
func defaultServerWords(lines []line) string {
	var words []string
	for _, l := range lines {
		if firstWord(l.raw) == "default-server" {
			words = append(words, splitWords(l.raw)[1:]...)
		}
	}
	return strings.Join(words, " ")
}

// get reads an attribute; ok is false where the file does not set it.
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

// SocketPath is the path of a unix socket's address; ok is false for an address of another family.
func SocketPath(address string) (path string, ok bool) {
	address = strings.TrimPrefix(address, "unix@")
	return address, strings.HasPrefix(address, "/")
}
