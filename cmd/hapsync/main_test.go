package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
)

// A bench runs hapsync in this process, with a registry and a HAProxy that are plain values. Tests that use it do
// not run in parallel: urfave keeps its help flag and help command in package variables.
type bench struct {
	env      map[string]string
	config   string // the default config file
	snapshot registry.Snapshot
	state    haproxy.State
	servers  []haproxy.ServerStatus
	keys     []registry.Key
	members  []etcd.Member
	kept     string
	journal  string // its path; empty for none
	waiting  haproxy.Wait
	findings []haproxy.Finding

	certificates []haproxy.Certificate

	serversErr, snapshotErr, keysErr, openErr, stateErr, lockErr, commitErr, runErr, reloadErr error

	dialled etcd.Config
	opened  haproxy.Settings
	locked  bool
	wrote   bool
	writing func() // called before the file is written
	relists atomic.Int32
	looks   atomic.Int32 // at the servers
	// keyLooks counts calls of Keys.
	keyLooks atomic.Int32
	updates  chan registry.Snapshot // what the registry tells, instead of snapshot
}

// An outcome is the visible result of a run.
type outcome struct {
	code           int
	stdout, stderr string
}

func (b *bench) run(t *testing.T, args ...string) outcome {
	t.Helper()
	return b.runContext(t.Context(), args...)
}

func (b *bench) runContext(ctx context.Context, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := b.program(&stdout, &stderr).run(ctx, append([]string{"hapsync"}, args...))
	return outcome{code, stdout.String(), stderr.String()}
}

func (b *bench) environ() (all []string) {
	for name, value := range b.env {
		all = append(all, name+"="+value)
	}
	return all
}

func (b *bench) program(stdout, stderr *bytes.Buffer) program {
	return program{
		stdout:     stdout,
		stderr:     stderr,
		configFile: b.config,
		getenv:     func(name string) string { return b.env[name] },
		environ:    b.environ,
		journal:    func(string) string { return cmp.Or(b.journal, "off") },
		dial: func(cfg etcd.Config) (source, error) {
			b.dialled = cfg
			return benchSource{b}, nil
		},
		open: func(s haproxy.Settings) (target, error) {
			b.opened = s
			return benchTarget{b}, b.openErr
		},
	}
}

type benchSource struct{ *bench }

func (b benchSource) Snapshot(context.Context) (registry.Snapshot, error) {
	return b.snapshot, b.snapshotErr
}
func (b benchSource) Close() error { return nil }

func (b benchSource) Domain(_ context.Context, name string) (registry.Snapshot, error) {
	s := b.snapshot
	s.Domains = slices.DeleteFunc(slices.Clone(s.Domains), func(d *registry.Domain) bool { return d.Name != name })
	return s, b.snapshotErr
}

func (b benchSource) Members(context.Context) []etcd.Member { return b.members }

func (b benchSource) Keys(context.Context, string) ([]registry.Key, error) {
	b.keyLooks.Add(1)
	if err := cmp.Or(b.snapshotErr, b.keysErr); err != nil {
		return nil, err
	}
	return b.keys, nil
}

// Announce takes the reports.
func (b benchSource) Announce(ctx context.Context, _ etcd.AnnounceConfig, reports <-chan registry.AgentReport) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-reports:
		}
	}
}

func (b benchSource) Relist() { b.relists.Add(1) }

// Follow delivers the updates of the bench, or its snapshot, or its error.
func (b benchSource) Follow(ctx context.Context, update func(registry.Update), lost func(error)) error {
	switch {
	case b.snapshotErr != nil:
		lost(b.snapshotErr)
	case b.updates == nil:
		update(registry.Update{Snapshot: b.snapshot, All: true})
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s := <-b.updates:
			update(registry.Update{Snapshot: s, All: true})
		}
	}
}

type benchTarget struct{ *bench }

func (b benchTarget) Certificates(context.Context, string) ([]haproxy.Certificate, error) {
	return b.certificates, nil
}

func (b benchTarget) LoadCertificates(context.Context, string) (loaded, all []haproxy.Certificate, err error) {
	return nil, b.certificates, nil
}

func (b benchTarget) Files() (haproxy.State, error) { return b.state, b.stateErr }

func (b benchTarget) Servers(context.Context, ...string) ([]haproxy.ServerStatus, error) {
	b.looks.Add(1)
	return b.servers, b.serversErr
}

func (b benchTarget) Lock() (func() error, error) {
	b.locked = true
	return func() error { return nil }, b.lockErr
}

func (b benchTarget) State(context.Context, haproxy.Scope) (haproxy.State, error) {
	return b.state, b.stateErr
}

func (b benchTarget) Check(context.Context) []haproxy.Finding { return b.findings }

func (b benchTarget) Identity(context.Context) (haproxy.Identity, error) {
	return b.state.Identity(), b.stateErr
}

func (b benchTarget) Cached(haproxy.Scope) (haproxy.State, bool) { return haproxy.State{}, false }

func (b benchTarget) Look(context.Context) (func(context.Context) (haproxy.Look, error), error) {
	return nil, errors.New("a bench reads everything by State")
}

func (b benchTarget) Forget(...string) {}

func (b benchTarget) Read() (haproxy.Config, haproxy.Digest, error) {
	return b.state.File, b.state.Digest, nil
}

// Preview has a line for each server.
func (b benchTarget) Preview(want haproxy.Config) (have, next string, err error) {
	text := func(c haproxy.Config) (text string) {
		for _, b := range c.Backends {
			for _, s := range b.Servers {
				text += b.Name + " " + s.Name + " " + s.String() + "\n"
			}
		}
		return text
	}
	return text(b.state.File), text(want), nil
}

func (b benchTarget) Loaded() (haproxy.Config, error) { return b.state.File, nil }

func (b benchTarget) Write(_ context.Context, e haproxy.Edit) error { return b.write(e.Want) }

func (b benchTarget) Waiting() (haproxy.Wait, bool) { return b.waiting, b.waiting != haproxy.Wait{} }

func (b benchTarget) Claim(haproxy.Config) error { return nil }

func (b benchTarget) Keep([]byte) error { return nil }

func (b benchTarget) Kept() ([]byte, error) { return []byte(b.kept), nil }

func (b benchTarget) write(want haproxy.Config) error {
	if b.writing != nil {
		b.writing()
	}
	if b.commitErr != nil {
		return b.commitErr
	}
	b.wrote, b.state.File = true, want
	return nil
}

func (b benchTarget) Run(context.Context, []haproxy.Change) (haproxy.Outcome, error) {
	return haproxy.Outcome{}, b.runErr
}

func (b benchTarget) Reload(context.Context) error {
	if b.reloadErr == nil {
		b.state.Live = b.state.File
	}
	return b.reloadErr
}

// oneHost is a registry with one good host, and a HAProxy that has nothing yet.
func oneHost() *bench {
	return &bench{
		snapshot: registry.Snapshot{Revision: 812, Keys: 2, Domains: []*registry.Domain{{
			Name: "a.abc.com",
			Hosts: []registry.Host{{Name: "server1", Addr: netip.MustParseAddrPort("10.0.0.1:10000"),
				Weight: 1, State: registry.Ready}},
		}}},
		state: haproxy.State{Digest: "x", Capabilities: haproxy.CapabilitiesOf(haproxy.Version{Major: 3, Minor: 2})},
	}
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hapsync.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantContains(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s lacks %q:\n%s", what, w, text)
		}
	}
}
