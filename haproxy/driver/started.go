package driver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// started is how a worker was started.
type started struct {
	worker runtimeapi.Worker
	files  []string
	// variables are the names of the environment variables that the worker was asked for.
	variables []string
	// unloaded says that the managed file is not among the files; empty if it is, or if hapsync cannot tell.
	unloaded string
	// master is the address of the master's socket on the command line; empty if there is none, or if it cannot be read.
	master string
	// maxConn is the -n of the command line, which overrides maxconn of the files; 0 without one.
	maxConn int
	// descriptors were computed by the last State of all domains, or else by the first State of some.
	descriptors haproxy.Descriptors
}

// without reports whether the worker was started without the managed file.
func (s started) without(w runtimeapi.Worker) bool { return s.unloaded != "" && s.worker.Same(w) }

// warning is the warning of a worker that was started without the managed file.
func (s started) warning() string {
	return s.unloaded + "; a reload does not change that: start it with both"
}

// learnFiles asks each worker once which files it was started with, and for its variables, and uses both. changed means that the files must
// be read again.
func (h *Instance) learnFiles(ctx context.Context, f configfile.Reading) (changed bool) {
	r, err := h.runtime(f.Base)
	if err != nil {
		return false
	}
	w, err := r.Info(ctx)
	if err != nil {
		return false
	}
	known := h.started.worker.Same(w)
	if !known {
		h.started = started{worker: w}
		h.files.Runs(w.Pid, w.Version)
		changed = h.files.ForgetAnswers()
	}
	changed = h.learnVariables(ctx, r, f) || changed
	if known {
		return changed
	}
	args := commandLine(w.Pid)
	h.started.maxConn = args.maxConn
	if configfile.Reachable(args.master) {
		h.started.master = args.master
	}
	changed = h.files.UseMaster(args.master) || changed
	for _, list := range [][]string{args.files, configFiles(ctx, r, w.Pid)} {
		if len(list) == 0 {
			continue
		}
		if len(h.settings.Files) > 0 {
			h.started.files = list
			return changed
		}
		if h.files.Use(list) {
			h.started.files = list
			return true
		}
		if !slices.ContainsFunc(list, isMissing) { // otherwise the files are of another machine or container
			h.started.files = list
		}
		if within(list, h.files.Base) && !within(list, h.files.Managed) {
			h.started.unloaded = fmt.Sprintf("HAProxy was started with %s only, not with %s", strings.Join(list, " and "), h.files.Managed)
		}
	}
	return changed
}

// learnVariables asks the worker once for the variables that the files use, since HAProxy's environment is not hapsync's. changed means that
// the files must be read again.
func (h *Instance) learnVariables(ctx context.Context, r runtimeapi.Client, f configfile.Reading) (changed bool) {
	names := f.Variables()
	if slices.Equal(names, h.started.variables) {
		return false
	}
	values := map[string]string{}
	for _, name := range names {
		reply, err := r.Ask(ctx, "show env "+name)
		if err != nil {
			return false
		}
		_, value, _ := strings.Cut(reply, "=")
		values[name] = strings.TrimRight(value, "\r\n")
	}
	h.started.variables = names
	return h.files.UseVariables(values)
}

func isMissing(path string) bool {
	_, err := os.Stat(path)
	return err != nil
}

// within reports whether a list has a file or its directory.
func within(list []string, file string) bool {
	return slices.ContainsFunc(list, func(path string) bool {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			path = target
		}
		return path == file || path == filepath.Dir(file)
	})
}

// A command is a parsed command line.
type command struct {
	files   []string // behind -f; may contain directories
	master  string   // the address of the master's socket
	maxConn int
}

// commandLine is the command line of a process; zero if it cannot be read: the process may be another user's, or in another container.
func commandLine(pid int) command {
	proc := fmt.Sprintf("/proc/%d/", pid)
	text, err := os.ReadFile(proc + "cmdline")
	if err != nil {
		return command{}
	}
	dir, err := os.Readlink(proc + "cwd")
	if err != nil {
		dir = ""
	}
	args := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
	if !strings.Contains(filepath.Base(args[0]), "haproxy") {
		return command{}
	}
	var c command
	for i := 1; i < len(args); i++ {
		if args[i] == "--" {
			c.files = append(c.files, args[i+1:]...)
			break
		}
		if i+1 == len(args) || !slices.Contains([]string{"-f", "-S", "-C", "-n"}, args[i]) {
			continue
		}
		switch i++; args[i-1] {
		case "-f":
			c.files = append(c.files, args[i])
		case "-S":
			c.master, _, _ = strings.Cut(args[i], ",")
		case "-C":
			dir = args[i]
		case "-n":
			c.maxConn, _ = strconv.Atoi(args[i])
		}
	}
	c.files = absolute(c.files, dir)
	if path := strings.TrimPrefix(c.master, "unix@"); path != "" && !strings.ContainsAny(path, "@:") {
		c.master = strings.Join(absolute([]string{path}, dir), "")
	}
	return c
}

// configFiles are the files from the worker's environment, in which directories are expanded.
func configFiles(ctx context.Context, r runtimeapi.Client, pid int) []string {
	reply, err := r.Ask(ctx, "show env HAPROXY_CFGFILES")
	if err != nil {
		return nil
	}
	_, value, ok := strings.Cut(strings.TrimSpace(reply), "=")
	if !ok {
		return nil
	}
	dir, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return absolute(strings.Split(value, ";"), dir)
}

// absolute prepends dir to relative paths. It returns nil if it needs dir, and dir is not absolute.
func absolute(list []string, dir string) []string {
	for i, path := range list {
		if filepath.IsAbs(path) {
			continue
		}
		if !filepath.IsAbs(dir) {
			return nil
		}
		list[i] = filepath.Join(dir, path)
	}
	return list
}
