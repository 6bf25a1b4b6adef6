package configfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"

	"github.com/hapsync/hapsync/haproxy"
)

// A program caches facts about an executable file, until the file changes.
type program struct {
	mu      sync.Mutex
	path    string
	file    os.FileInfo
	words   string // the first line of -v; empty if the version comes from a process of that file
	version haproxy.Version
}

func (p *program) isOf(path string, file os.FileInfo) bool {
	return p.path == path && os.SameFile(p.file, file) && p.file.ModTime().Equal(file.ModTime()) && p.file.Size() == file.Size()
}

// versionLine is the start of the output of "haproxy -v". A program that prints something else is not HAProxy, and cannot check files.
var versionLine = regexp.MustCompile(`^HA-?Proxy version (\S+)`)

// isHAProxy returns the version of the program. The error says that it is not HAProxy.
func (c checker) isHAProxy(ctx context.Context) (haproxy.Version, error) {
	version, _, err := c.ask(ctx, func(*program) bool { return true })
	return version, err
}

// file finds the program.
func (c checker) file() (path string, info os.FileInfo, err error) {
	if path, err = exec.LookPath(c.binary); err != nil {
		return "", nil, fmt.Errorf("run %s: %w (is HAProxy installed? name it with --haproxy-bin)", c.binary, err)
	}
	if info, err = os.Stat(path); err != nil {
		return "", nil, fmt.Errorf("run %s: %w", c.binary, err)
	}
	return path, info, nil
}

// ask returns what is cached about the program, if that is enough, or else the output of -v.
func (c checker) ask(ctx context.Context, enough func(*program) bool) (haproxy.Version, string, error) {
	path, info, err := c.file()
	if err != nil {
		return haproxy.Version{}, "", err
	}
	p := c.program
	if p == nil {
		p = new(program)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isOf(path, info) && enough(p) {
		return p.version, p.words, nil
	}
	out, err := c.output(ctx, []string{"-v"})
	var refused *haproxy.InvalidConfigError
	if errors.As(err, &refused) {
		err = fmt.Errorf("%s is not HAProxy: it refuses -v (name HAProxy with --haproxy-bin)", c.binary)
	}
	if err != nil {
		return haproxy.Version{}, "", err
	}
	first, _, _ := strings.Cut(out, "\n")
	m := versionLine.FindStringSubmatch(first)
	if m == nil {
		return haproxy.Version{}, "", fmt.Errorf("%s is not HAProxy: \"%[1]s -v\" does not say \"HAProxy version\" "+
			"(name HAProxy with --haproxy-bin)", c.binary)
	}
	version, err := haproxy.ParseVersion(m[1])
	if err != nil {
		return haproxy.Version{}, "", fmt.Errorf("%s -v: %w", c.binary, err)
	}
	p.path, p.file, p.words, p.version = path, info, first, version
	return version, first, nil
}

// Program returns the version of the HAProxy that checks files. It runs that only once for each executable file, and not at all if Runs has
// told the version.
func (c *Files) Program(ctx context.Context) (haproxy.Version, error) {
	return c.checker.isHAProxy(ctx)
}

// ProgramLine returns the first line that "haproxy -v" prints.
func (c *Files) ProgramLine(ctx context.Context) (string, error) {
	_, words, err := c.checker.ask(ctx, func(p *program) bool { return p.words != "" })
	return words, err
}

// Runs says which version a process of HAProxy has. If the process runs the program that checks files, that has the same version. The
// executable of another user's process, or of one in another container, cannot be compared: then the program is run.
func (c *Files) Runs(pid int, version haproxy.Version) {
	path, file, err := c.checker.file()
	if err != nil {
		return
	}
	running, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil || !os.SameFile(running, file) {
		return
	}
	p := c.checker.program
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isOf(path, file) {
		p.path, p.file, p.words, p.version = path, file, "", version
	}
}
