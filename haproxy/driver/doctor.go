package driver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// Check checks everything that hapsync needs of HAProxy's files and process, and what an operator should know. It changes nothing. The
// order of the findings is fixed, files first.
func (h *Instance) Check(ctx context.Context) []haproxy.Finding {
	var c findings
	c.binary(ctx, h)
	f, err := h.files.Read()
	if err != nil {
		c.fail("files", err.Error(), "")
		if h.settings.RuntimeSocket != "" { // otherwise the unreadable file would name it
			c.process(ctx, h, f)
		} else if h.settings.MasterSocket != "" {
			c.master(ctx, h, f, runtimeapi.Client{}, runtimeapi.Worker{})
		}
		return c.list
	}
	if h.learnFiles(ctx, f) {
		if f, err = h.files.Read(); err != nil {
			c.fail("files", err.Error(), "")
			return c.list
		}
	}
	c.files(h, f)
	c.configuration(ctx, h)
	c.advice(h, f)
	c.process(ctx, h, f)
	return c.list
}

type findings struct{ list []haproxy.Finding }

func (c *findings) add(level haproxy.Level, what, detail, remedy string) {
	c.list = append(c.list, haproxy.Finding{Level: level, What: what, Detail: detail, Remedy: remedy})
}

// otherVersion warns if the program that checks files has another version than the process; else it is empty.
func (h *Instance) otherVersion(ctx context.Context, running haproxy.Version) string {
	version, err := h.files.Program(ctx)
	if err != nil || version == running || running == (haproxy.Version{}) {
		return ""
	}
	return fmt.Sprintf("%s is HAProxy %s, but HAProxy %s runs: what the one takes the other may refuse; restart HAProxy, "+
		"or name the right program with --haproxy-bin", h.settings.Binary, version, running)
}

func (c *findings) ok(what, detail string)           { c.add(haproxy.LevelOK, what, detail, "") }
func (c *findings) warn(what, detail, remedy string) { c.add(haproxy.LevelWarn, what, detail, remedy) }
func (c *findings) fail(what, detail, remedy string) { c.add(haproxy.LevelFail, what, detail, remedy) }

func (c *findings) binary(ctx context.Context, h *Instance) {
	words, err := h.files.ProgramLine(ctx)
	if err != nil {
		c.fail("haproxy binary", err.Error(), "")
		return
	}
	c.ok("haproxy binary", h.settings.Binary+": "+words)
}

func (c *findings) files(h *Instance, f configfile.Reading) {
	if !h.files.OneFile() {
		c.ok("base file", h.files.Base+" can be read")
	}
	detail := fmt.Sprintf("%s can be read and replaced; backends of hapsync's: %d", h.files.Managed, len(f.Managed.Config.Backends))
	switch dir := filepath.Dir(h.files.Managed); {
	case unix.Access(dir, unix.W_OK|unix.X_OK) != nil:
		c.fail("managed file", "no file can be created in "+dir, "run hapsync as a user that may, or give it the directory")
	case f.Digest == "":
		c.warn("managed file", h.files.Managed+" is missing", "hapsync init or the next hapsync sync writes it")
	default:
		c.ok("managed file", detail)
	}
	if f.Managed.StaleMap {
		c.warn("map file", "it is missing, does not say what the managed file does, or is not the one that the managed file reads",
			"hapsync sync writes both, as after a move of the managed file")
	}
	if line, ok := h.files.Lossy(f); ok {
		c.ok("managed file", fmt.Sprintf("line %d is not as client-native would print it: hapsync makes changes as text "+
			"instead of in a transaction, and touches no line of yours either way", line))
	}
}

func (c *findings) configuration(ctx context.Context, h *Instance) {
	warnings, err := h.files.Validate(ctx)
	if err != nil {
		c.fail("haproxy -c", err.Error(), "fix the lines that it names")
		return
	}
	for _, w := range warnings {
		c.warn("haproxy -c", w, "")
	}
	if len(warnings) == 0 {
		c.ok("haproxy -c", "the configuration is valid")
	}
}

func (c *findings) advice(h *Instance, f configfile.Reading) {
	for _, w := range h.files.Warnings(f) {
		c.warn("files", w, "")
	}
	if !f.Base.IdleClose {
		c.warn("reload", "keep-alive clients may lose a request at a reload",
			"write \"option idle-close-on-response\" into the defaults of "+h.files.Base)
	}
	if !f.Base.HardStop {
		c.warn("reload", "old workers stay for as long as a client holds a connection",
			"write \"hard-stop-after 60s\" into the global section of "+h.files.Base)
	}
	c.health(h, f)
	for _, name := range f.Base.Unresolved {
		c.warn("addresses", name+": only addresses of this machine are refused to hosts for this name",
			"write the address into the file, or into /etc/hosts")
	}
	c.cookies(f)
	c.words(f)
	c.routing(f)
}

// manyRules is the number of rules from which the map is worthwhile: the domain of the last rule then has some 30 % fewer requests per
// second than that of the first (BenchmarkRouting). The difference grows with their number.
const manyRules = 300

// routing recommends the map to a frontend with many rules.
func (c *findings) routing(f configfile.Reading) {
	rules := map[string]int{}
	for _, r := range f.Managed.Config.Rules {
		if !r.ByMap {
			rules[r.Frontend]++
		}
	}
	for _, frontend := range slices.Sorted(maps.Keys(rules)) {
		if n := rules[frontend]; n >= manyRules {
			c.warn("routing", fmt.Sprintf("HAProxy tries the rules of %d domains in frontend %s one after the other: "+
				"the more there are, the fewer requests it serves", n, frontend),
				"--routing map has one rule for all domains, which looks them up in a map file")
		}
	}
}

// descriptors checks whether HAProxy could start again with the servers of the managed file.
func (c *findings) descriptors(h *Instance, f configfile.Reading) {
	d := h.started.descriptors
	room, known := d.Room()
	if !known {
		return // the process may be in another container
	}
	checks := f.Managed.Config.Descriptors()
	detail := fmt.Sprintf("HAProxy needs %d of %d to start again, %d of them for the checks of servers", d.Other+checks, d.Limit, checks)
	if checks > room {
		c.fail("descriptors", detail+": it does not start, and haproxy -c does not tell", "raise LimitNOFILE of HAProxy's unit "+
			"(or ulimit-n, fd-hard-limit), lower its maxconn, or put \"off\" into the check key of domains")
		return
	}
	c.ok("descriptors", detail)
}

// words warns of words behind servers that belong into default-server.
func (c *findings) words(f configfile.Reading) {
	const remedy = "write what all servers are to have into a default-server line of the defaults"
	shared, differ := map[string][]string{}, []string{}
	for _, b := range f.Managed.Config.Backends {
		if words := b.SharedWords(); words != "" {
			shared[words] = append(shared[words], b.Name)
		} else if slices.ContainsFunc(b.Servers, func(s haproxy.Server) bool { return haproxy.WithoutID(s.Params) != "" }) {
			differ = append(differ, b.Name)
		}
	}
	for _, words := range slices.Sorted(maps.Keys(shared)) {
		c.warn("words", fmt.Sprintf("%q stands behind the servers of %s: hosts that come get it, too, but none of a new domain, "+
			"or of one whose last host has gone", words, configfile.FirstOf(shared[words])), remedy)
	}
	if len(differ) > 0 {
		c.warn("words", fmt.Sprintf("not the same words stand behind the servers of %s: hosts that come get none of them",
			configfile.FirstOf(differ)), remedy)
	}
}

// health checks whether a reload can pass on the servers' health.
func (c *findings) health(h *Instance, f configfile.Reading) {
	remedy := "write \"server-state-file /var/lib/hapsync/hapsync.state\" into the global section and " +
		"\"load-server-state-from-file global\" into the defaults of " + h.files.Base
	switch file := f.Base.StateFile; {
	case file == "" || !f.Base.LoadsState:
		c.warn("health", "a reload forgets which servers are down, and sends them requests until a check fails", remedy)
	case file[0] != '/':
		c.warn("health", "the server-state file "+file+" is not named by its whole path", remedy)
	case unix.Access(filepath.Dir(file), unix.W_OK|unix.X_OK) != nil:
		c.warn("health", "the server-state file "+file+" cannot be replaced",
			"give hapsync's user its directory: install -d -o hapsync -g haproxy "+filepath.Dir(file))
	case writableByOthers(file):
		c.warn("health", "others than hapsync's user, HAProxy's workers perhaps, may replace the server-state file "+file+
			", and so move servers at a reload", "give hapsync a folder of its own: install -d -o hapsync -g haproxy /var/lib/hapsync, "+
			"and name a file there in "+h.files.Base+"; or chmod go-w "+filepath.Dir(file)+" "+file)
	default:
		c.ok("health", "goes with a reload, in "+file)
	}
}

// cookies lists backends whose cookie is neither hidden from scripts nor limited to HTTPS.
func (c *findings) cookies(f configfile.Reading) {
	var names []string
	for _, b := range f.Managed.Config.Backends {
		words := strings.Fields(b.Options.Cookie)
		if len(words) > 0 && !slices.Contains(words, "httponly") && !slices.Contains(words, "secure") {
			names = append(names, b.Name)
		}
	}
	switch n := len(names); {
	case n == 1:
		c.ok("cookie", "that of "+names[0]+" has"+cookieFacts)
	case n > 1:
		c.ok("cookie", fmt.Sprintf("those of %s and %d more have%s", names[0], n-1, cookieFacts))
	}
}

const cookieFacts = " neither HttpOnly nor Secure, and clients see the names of hosts: if that matters, " +
	"add \"httponly secure\" to --cookie or to the key cookie of the domain"

// writableByOthers reports whether users other than its owner may write a file, or replace it.
func writableByOthers(path string) bool {
	for _, p := range []string{path, filepath.Dir(path)} {
		if info, err := os.Stat(p); err == nil && info.Mode()&0o022 != 0 && info.Mode()&os.ModeSticky == 0 {
			return true
		}
	}
	return false
}

func (c *findings) process(ctx context.Context, h *Instance, f configfile.Reading) {
	r, err := h.runtime(f.Base)
	var w runtimeapi.Worker
	if err == nil {
		w, err = r.Info(ctx)
	}
	if err != nil {
		c.fail("stats socket", err.Error(), "")
		c.master(ctx, h, f, r, w)
		return
	}
	c.ok("stats socket", fmt.Sprintf("HAProxy %s answers on %s as process %d", w.Version, r.Socket, w.Pid))
	if warning := h.otherVersion(ctx, w.Version); warning != "" {
		c.warn("haproxy binary", warning, "")
	}
	if level, err := r.Ask(ctx, "show cli level"); err != nil || strings.TrimSpace(level) != "admin" {
		c.fail("stats socket", "its level is not admin", "write \"level admin\" behind the stats socket in "+h.files.Base)
	}
	if caps := haproxy.CapabilitiesOf(w.Version); caps.CookieLive {
		c.ok("capabilities", "servers come, go and change without a reload")
	} else {
		c.warn("capabilities", fmt.Sprintf("HAProxy %s takes no cookie on a server that is added live: each new server costs a reload",
			w.Version), "HAProxy 3.0 and later do")
	}
	c.loads(h)
	c.others(ctx, h)
	c.descriptors(h, f)
	c.master(ctx, h, f, r, w)
}

// others lists the servers in managed backends that are not hapsync's.
func (c *findings) others(ctx context.Context, h *Instance) {
	st, err := h.State(ctx)
	if err != nil {
		return // other findings say why
	}
	var places []string
	for _, other := range st.NotOurs {
		places = append(places, other.Place)
	}
	slices.Sort(places)
	for _, place := range places {
		c.ok("servers", place+": not hapsync's, left alone")
	}
}

// loads checks whether the process was started with both files, and with the files that hapsync was told, in that order.
func (c *findings) loads(h *Instance) {
	list := h.started.files
	named := strings.Join(list, ", ")
	switch {
	case h.started.unloaded != "":
		c.fail("process", h.started.unloaded, fmt.Sprintf("start HAProxy with -f %s -f %s", h.files.Base, h.files.Managed))
	case len(list) == 0:
		// unknown
	case len(h.settings.Files) > 0 && !configfile.SameFiles(list, h.settings.Files):
		c.warn("process", fmt.Sprintf("it was started with %s, and hapsync was told %s: haproxy -c judges other files than HAProxy loads, "+
			"and names of other files are not known to be taken", named, strings.Join(h.settings.Files, ", ")),
			"name the same files in the same order with --haproxy-file, or none")
	case len(h.settings.Files) == 0 && !h.files.Names(list):
		c.warn("process", fmt.Sprintf("it was started with %s, and hapsync was told %s and %s: haproxy -c judges other files than HAProxy loads, "+
			"and names of other files are not known to be taken", named, h.files.Base, h.files.Managed),
			"name the files that HAProxy loads with --base-file and --managed-file, or start it with those")
	case h.files.Reversed(list):
		c.warn("process", fmt.Sprintf("it was started with %s: HAProxy reads %s first, so that the defaults of %s do not hold for hapsync's "+
			"frontends and backends", named, h.files.Managed, h.files.Base),
			fmt.Sprintf("start HAProxy with -f %s -f %s", h.files.Base, h.files.Managed))
	case len(list) > 2:
		c.ok("process", "it was started with "+named+", which haproxy -c gets as well")
	default:
		c.ok("process", "it was started with these files")
	}
}

func (c *findings) master(ctx context.Context, h *Instance, f configfile.Reading, r runtimeapi.Client, w runtimeapi.Worker) {
	l := h.reloader(ctx, f.Base, r)
	if l.Master == "" && len(l.Command) > 0 {
		c.ok("reload", "by the command "+strings.Join(l.Command, " "))
		return
	}
	if l.Master == "" && w.Pid == 0 {
		return // the process might name it, but does not answer
	}
	if l.Master == "" {
		c.fail("reload", "there is no way to reload",
			"start HAProxy with -W -S SOCKET and name that with --master-socket, or name a --reload-command")
		return
	}
	procs, err := l.Master.Procs(ctx)
	switch {
	case errors.Is(err, fs.ErrPermission):
		c.fail("master socket", err.Error(), "start HAProxy with -W -S "+string(l.Master)+",mode,660,group,haproxy")
	case err != nil:
		c.fail("master socket", err.Error(), "start HAProxy with -W -S "+string(l.Master))
	case w.Pid != 0 && !procs.Has(w.Pid):
		c.fail("master socket", fmt.Sprintf("%s is of another HAProxy than %s", l.Master, r.Socket), "name the right one with --master-socket")
	default:
		c.ok("master socket", fmt.Sprintf("%s answers, %s", l.Master, oldWorkers(procs)))
		c.second(h, procs)
	}
}

func oldWorkers(p runtimeapi.Procs) string {
	if len(p.Old) == 0 {
		return "no old workers"
	}
	return strconv.Itoa(len(p.Old)) + " old workers still have connections"
}

// second warns of a second HAProxy with the same file: it would share the ports, and silently get half of the requests.
func (c *findings) second(h *Instance, ours runtimeapi.Procs) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == ours.Master || ours.Has(pid) {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			continue
		}
		args := strings.Split(string(cmdline), "\x00")
		if filepath.Base(args[0]) == "haproxy" && !slices.Contains(args, "-c") && slices.Contains(args, h.files.Managed) {
			c.warn("process", fmt.Sprintf("process %d is another HAProxy with %s: the two share the requests", pid, h.files.Managed), "stop one of them")
			return
		}
	}
}
