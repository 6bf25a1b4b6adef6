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

// A program remembers what the file of a program said of itself, until that file is another one.
type program struct {
	mu      sync.Mutex
	path    string
	file    os.FileInfo
	words   string // the first line of -v
	version haproxy.Version
}

// versionLine is what "haproxy -v" begins with. A program that does not is no HAProxy, and its verdict is worth nothing.
var versionLine = regexp.MustCompile(`^HA-?Proxy version (\S+)`)

// isHAProxy returns the version of the program, and the line that has it. The error says that it is not HAProxy.
func (c checker) isHAProxy(ctx context.Context) (haproxy.Version, string, error) {
	path, err := exec.LookPath(c.binary)
	if err != nil {
		return haproxy.Version{}, "", fmt.Errorf("run %s: %w (is HAProxy installed? name it with --haproxy-bin)", c.binary, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return haproxy.Version{}, "", fmt.Errorf("run %s: %w", c.binary, err)
	}
	p := c.program
	if p == nil {
		p = new(program)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.path == path && os.SameFile(p.file, info) && p.file.ModTime().Equal(info.ModTime()) && p.file.Size() == info.Size() {
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
		return haproxy.Version{}, "", fmt.Errorf("%s is not HAProxy: \"%[1]s -v\" does not say \"HAProxy version\" (name HAProxy with --haproxy-bin)", c.binary)
	}
	version, err := haproxy.ParseVersion(m[1])
	if err != nil {
		return haproxy.Version{}, "", fmt.Errorf("%s -v: %w", c.binary, err)
	}
	p.path, p.file, p.words, p.version = path, info, first, version
	return version, first, nil
}

// Program returns the version of the HAProxy that validates, and the first line that "haproxy -v" prints. It asks once for each
// file of the program.
func (c *Files) Program(ctx context.Context) (haproxy.Version, string, error) {
	return c.checker.isHAProxy(ctx)
}
