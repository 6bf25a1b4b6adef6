// Command hapsync keeps HAProxy in line with a service registry in etcd.
//
// One file per command; internal/cli turns the command line, the environment
// and the config file into settings; exit.go turns errors into exit codes and into what a person reads.
package main

import (
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
	p := program{stdout: os.Stdout, stderr: os.Stderr, getenv: environment(), dial: dial, open: open, journal: journal.Beside,
		configFile: cli.DefaultConfigFile}
	os.Exit(p.run(ctx, os.Args))
}

// secrets are the variables that may hold a password.
func secrets() []string {
	return []string{"HAPSYNC_PASSWORD", "ETCDCTL_PASSWORD", "HAPSYNC_USER", "ETCDCTL_USER", "HAPSYNC_AGENT_URL"}
}

// environment takes the secrets out of the environment, so that no child gets them: a wrapped command, a check, haproxy -c, a
// reload command. It is called before anything runs, and returns what os.Getenv has returned until then.
func environment() func(string) string {
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

// A program is hapsync with what it gets from outside.
type program struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	dial           func(etcd.Config) (source, error)
	open           func(haproxy.Settings) (target, error)
	journal        func(managed string) (path string) // where the journal is if --journal does not say
	configFile     string                             // is read where no other one is named; empty for none
	args           []string                           // the command line, program name included
	waits          *waits                             // what a person is told who waits; nil where no one looks
	record         func(string, cli.Page)             // is told the help of each command; nil if not needed
}

// A source is a registry that can be hung up.
type source interface {
	sync.Source
	sync.Follower
	Announce(ctx context.Context, conf etcd.AnnounceConfig, reports <-chan registry.AgentReport)
	Domain(ctx context.Context, name string) (registry.Snapshot, error)
	Members(ctx context.Context) []etcd.Member
	Close() error
}

// A target is a HAProxy that can be locked against other writers, and looked at by check and list.
type target interface {
	sync.Process
	sync.File
	Check(ctx context.Context) []haproxy.Finding
	Files() (haproxy.State, error)
	Certificates(ctx context.Context, dir string) ([]haproxy.Certificate, error)
	LoadCertificates(ctx context.Context, dir string) (loaded, all []haproxy.Certificate, err error)
	Preview(want haproxy.Config) (have, next string, err error)
}

// environment is what settings come from beside the command line.
func (p program) environment() cli.Environment {
	stderr := p.stderr
	if p.waits != nil {
		stderr = p.waits
	}
	return cli.Environment{Getenv: p.getenv, Stderr: stderr, Record: p.record, ConfigFile: p.configFile}
}

// say tells a person what happens. If standard output fails, there is no other place to say so.
func (p program) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.stdout, format, args...)
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

// run carries out one command line, program name included, and returns the exit code.
func (p program) run(ctx context.Context, args []string) int {
	p.args, p.waits = args, p.newWaits()
	err := p.app().RunContext(ctx, args)
	code := exitCode(ctx, err)
	p.explain(code, err)
	return code
}
