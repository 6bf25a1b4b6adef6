package configfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// A checker runs haproxy -c and similar commands.
type checker struct {
	binary  string
	timeout time.Duration
	// nice is the lowest niceness of the command: half a second of work with 10,000 domains should not slow HAProxy down.
	nice  int
	waits *haproxy.Waits
	// program caches facts about the binary; nil caches nothing.
	program *program
	// env returns additional environment variables; it may be nil.
	env func() []string
}

// Validate checks files with haproxy -c, in their order, and returns its warnings. If HAProxy refuses them, the error is an
// *InvalidConfigError.
func Validate(ctx context.Context, binary string, files ...string) (warnings []string, err error) {
	return checker{binary: binary, timeout: time.Minute}.check(ctx, files...)
}

// check runs haproxy -c on files, in their order, and returns its warnings. If HAProxy refuses them, the error is an *InvalidConfigError
// without Domains. -c opens no sockets and counts no descriptors, so HAProxy may still fail to start with a valid configuration.
func (c checker) check(ctx context.Context, files ...string) (warnings []string, err error) {
	if _, err := c.isHAProxy(ctx); err != nil {
		return nil, err
	}
	args := []string{"-c"}
	for _, f := range files {
		args = append(args, "-f", f)
	}
	warnings, err = c.run(ctx, args)
	var invalid *haproxy.InvalidConfigError
	if errors.As(err, &invalid) && needsMaster.MatchString(invalid.Output) {
		return c.run(ctx, slices.Insert(args, 1, "-W"))
	}
	return warnings, err
}

// needsMaster matches the refusal of a program section (HAProxy 2.6 to 3.2), which -W would accept. Not every check has -W, because with it
// 2.6 and 3.0 accept an empty file.
var needsMaster = regexp.MustCompile(`'program' section.* master.worker mode`)

// run runs haproxy with arguments that make it print and exit, and returns its warnings.
func (c checker) run(ctx context.Context, args []string) (warnings []string, err error) {
	out, err := c.output(ctx, args)
	if err != nil {
		return nil, err
	}
	return messages(out, "[WARNING]"), nil
}

// output is what haproxy prints with some arguments. If it exits with another code than 0, or prints errors and then crashes, the error is an
// *InvalidConfigError.
func (c checker) output(ctx context.Context, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	defer c.waits.Begin("haproxy " + args[0])()
	var out bytes.Buffer
	cmd, err := c.start(ctx, args, &out)
	for errors.Is(err, syscall.ETXTBSY) && ctx.Err() == nil { // an upgrade of the package is writing the program
		<-time.After(20 * time.Millisecond)
		cmd, err = c.start(ctx, args, &out)
	}
	if err == nil {
		c.lowerPriority(cmd.Process.Pid)
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", c.noVerdict(args[0], ctx.Err())
	case errors.As(err, &exit) && (exit.Exited() || len(messages(out.String(), "[ALERT]")) > 0):
		// 3.2 and 3.4 crash after some errors
		return "", &haproxy.InvalidConfigError{Output: alerts(out.String())}
	case errors.As(err, &exit):
		return "", fmt.Errorf("%s %s ended without an answer: %w (is memory short?)", c.binary, args[0], err)
	case err != nil:
		return "", fmt.Errorf("run %s %s: %w (is HAProxy installed? name it with --haproxy-bin)", c.binary, args[0], err)
	}
	return out.String(), nil
}

func (c checker) start(ctx context.Context, args []string, out io.Writer) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, c.binary, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if c.env != nil {
		cmd.Env = append(os.Environ(), c.env()...)
	}
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Start()
	return cmd, err
}

// lowerPriority raises the niceness of a process, unless this process has a higher one. Errors do not matter.
func (c checker) lowerPriority(pid int) {
	const top = 20 // the system call returns 20 less the niceness
	if own, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0); err == nil && top-own < c.nice {
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, pid, c.nice)
	}
}

// noVerdict is the error of a command that was killed before it answered.
func (c checker) noVerdict(flag string, why error) error {
	if errors.Is(why, context.DeadlineExceeded) {
		return fmt.Errorf("haproxy %s %w within %s; try it by hand: does it wait for a name server, or for a disk?",
			flag, haproxy.ErrNoVerdict, c.timeout)
	}
	return fmt.Errorf("haproxy %s was interrupted: %w", flag, why)
}

// alerts are the errors in the output of haproxy -c, without process ids and closing lines; the whole output if there are none.
func alerts(output string) string {
	found := messages(output, "[ALERT]")
	found = slices.DeleteFunc(found, func(m string) bool {
		m = strings.ToLower(m)
		return strings.Contains(m, "error(s) found in configuration file") || strings.Contains(m, "fatal errors found in configuration")
	})
	if len(found) == 0 {
		return strings.TrimSpace(output)
	}
	return strings.Join(found, "\n")
}

var logPrefix = regexp.MustCompile(`^\[[A-Z]+\]\s+\(\d+\) : (config : )?`)

// messages are the messages of one level, such as "[WARNING]". Continuation lines are joined to their message.
func messages(output, level string) []string {
	var found []string
	in := false
	for l := range strings.Lines(output) {
		l = strings.TrimRight(l, " \t\r\n")
		switch {
		case strings.HasPrefix(l, "["):
			if in = strings.HasPrefix(l, level); in {
				found = append(found, logPrefix.ReplaceAllString(l, ""))
			}
		case in && strings.TrimSpace(l) != "" && len(found) > 0:
			found[len(found)-1] += " " + strings.TrimSpace(l)
		}
	}
	return found
}

var placeOfAlert = regexp.MustCompile(`\[([^\]\s]+):(\d+)\]|(?:proxy|backend|Proxy|use_backend:|default_backend:) '([^']+)'`)

// domainsOf are the managed domains to which alerts refer, by a line of the candidate or by a backend, sorted.
func domainsOf(output, candidate string, d Document) []string {
	found := map[string]bool{}
	for _, m := range placeOfAlert.FindAllStringSubmatch(output, -1) {
		if m[3] != "" {
			if domain, ok := haproxy.DomainOf(m[3]); ok {
				found[domain] = true
			}
			continue
		}
		n, err := strconv.Atoi(m[2])
		if err != nil || m[1] != candidate || n < 1 || n > len(d.lines) {
			continue
		}
		if domain, _, ours := ownLine(d.lines[n-1]); ours {
			found[domain] = true
			continue
		}
		i, _ := slices.BinarySearchFunc(d.sections, n, func(s section, n int) int { return s.end - n })
		if i < len(d.sections) && d.sections[i].kind == "backend" {
			if domain, ok := haproxy.DomainOf(d.sections[i].name); ok {
				found[domain] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
