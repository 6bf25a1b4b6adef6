// Command hapsync keeps HAProxy in line with a service registry in etcd.
//
// Each command has a file. internal/cli turns the command line, the environment and the config file into settings. exit.go
// turns errors into exit codes and messages.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/journal"
	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/driver"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
	"github.com/hapsync/hapsync/sync"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	p := program{stdout: os.Stdout, stderr: os.Stderr, getenv: takeSecrets(), environ: os.Environ, dial: dial, open: open, journal: journal.Beside,
		configFile: cli.DefaultConfigFile}
	os.Exit(p.run(ctx, os.Args))
}

// secrets are the variables that may hold a password.
func secrets() []string {
	return []string{"HAPSYNC_PASSWORD", "ETCDCTL_PASSWORD", "HAPSYNC_USER", "ETCDCTL_USER", "HAPSYNC_AGENT_URL"}
}

// takeSecrets removes the secrets from the environment, so that no child gets them: a wrapped command, a check, haproxy -c, a
// reload command. It is called before anything runs. It returns a getenv that still knows the secrets.
func takeSecrets() func(string) string {
	kept := map[string]string{}
	for _, name := range secrets() {
		kept[name] = os.Getenv(name)
		_ = os.Unsetenv(name)
	}
	return func(name string) string {
		if value, secret := kept[name]; secret {
			return value
		}
		return os.Getenv(name)
	}
}

// A program is hapsync and its connections to the outside.
type program struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        func() []string // may be nil
	dial           func(etcd.Config) (source, error)
	open           func(haproxy.Settings) (target, error)
	journal        func(managed string) (path string) // the default of --journal
	configFile     string                             // the default of --config-file; empty for none
	args           []string                           // the command line, with the program's name
	progress       *progress                          // on the terminal; nil if standard error is none
	unsaid         *error                             // the first error of say, and of help; nil outside of run
	record         func(string, cli.Page)             // gets the help of each command; may be nil
}

// A source is the registry. It must be closed.
type source interface {
	sync.Source
	sync.Follower
	Announce(ctx context.Context, conf etcd.AnnounceConfig, reports <-chan registry.AgentReport)
	Domain(ctx context.Context, name string) (registry.Snapshot, error)
	Members(ctx context.Context) []etcd.Member
	Close() error
}

// A target is one HAProxy: its process and its files.
type target interface {
	sync.Process
	sync.File
	Check(ctx context.Context) []haproxy.Finding
	Files() (haproxy.State, error)
	Certificates(ctx context.Context, dir string) ([]haproxy.Certificate, error)
	LoadCertificates(ctx context.Context, dir string) (loaded, all []haproxy.Certificate, err error)
	Preview(want haproxy.Config) (have, next string, err error)
}

// environment is where settings come from, apart from the command line.
func (p program) environment() cli.Environment {
	stderr := p.stderr
	if p.progress != nil {
		stderr = p.progress
	}
	return cli.Environment{Getenv: p.getenv, Environ: p.environ, Stderr: stderr, Record: p.record, ConfigFile: p.configFile}
}

// say prints a message. If standard output fails, run reports that.
func (p program) say(format string, args ...any) {
	_, _ = fmt.Fprintf(noting{p.stdout, p.unsaid}, format, args...)
}

// A noting writer notes the first error, for callers that do not look at it.
type noting struct {
	io.Writer
	failed *error // may be nil
}

func (n noting) Write(text []byte) (int, error) {
	written, err := n.Writer.Write(text)
	if err != nil && n.failed != nil && *n.failed == nil {
		*n.failed = fmt.Errorf("write to standard output: %w", err)
	}
	return written, err
}

func dial(cfg etcd.Config) (source, error) {
	client, err := etcd.New(cfg)
	if err != nil {
		return nil, err
	}
	return client, nil
}

func open(s haproxy.Settings) (target, error) {
	instance, err := driver.Open(s)
	if err != nil {
		return nil, err
	}
	return driver.Driver{Instance: instance}, nil
}

// run executes one command line, with the program's name, and returns the exit code.
func (p program) run(ctx context.Context, args []string) int {
	p.args, p.progress, p.unsaid = args, p.newProgress(), new(error)
	app := p.app()
	err := cmp.Or(cli.Reword(app, app.RunContext(ctx, args)), *p.unsaid)
	code := exitCode(ctx, err)
	p.explain(code, err)
	return code
}
