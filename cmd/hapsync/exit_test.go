package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

func TestExitCode(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("while at work: %w", err) }
	for _, tt := range []struct {
		err  error
		code int
	}{
		{nil, 0},
		{errors.New("something else"), 1},
		{wrap(haproxy.ErrLocked), 1},
		{wrap(haproxy.ErrConflict), 1},
		{cli.UsageError{Err: errors.New("bad")}, 2},
		{wrap(registry.ErrUnavailable), 3},
		{wrap(haproxy.ErrDown), 4},
		{wrap(haproxy.ErrRefused), 4},
		{wrap(errNotRunning), 4},
		{wrap(&haproxy.InvalidConfigError{}), 4},
		{wrap(&haproxy.ReloadError{}), 4},
		{wrap(haproxy.ErrNotReloaded), 4},
		{wrap(&exec.ExitError{ProcessState: &os.ProcessState{}}), 1},
		{wrap(&sync.HeldError{}), 5},
		{errLeftOut, 6},
		{errChanges, 10},
	} {
		if got := exitCode(t.Context(), tt.err); got != tt.code {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.code)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := oneHost()
	b.snapshotErr = context.Canceled
	got := b.runContext(ctx, "list")
	if got.code != exitInterrupted {
		t.Errorf("code %d", got.code)
	}
	wantContains(t, "message", got.stderr, "hapsync: interrupted")
	if got := b.runContext(ctx, "list", "--bogus"); got.code != exitUsage {
		t.Errorf("usage: code %d", got.code)
	}
}

func TestAPassThatIsFinishedAfterASignalHasItsOwnCode(t *testing.T) {
	for name, tt := range map[string]struct {
		put  func(b *bench)
		code int
	}{
		"in line": {func(*bench) {}, 0},
		"left out": {func(b *bench) {
			b.snapshot.Problems = []registry.Problem{{Key: "/services/web/b.abc.com/bad/port", Reason: "no port", Domain: "b.abc.com"}}
		}, 6},
		"refused":   {func(b *bench) { b.commitErr = &haproxy.InvalidConfigError{} }, 4},
		"held":      {func(b *bench) { b.commitErr = &sync.HeldError{} }, 5},
		"disk full": {func(b *bench) { b.commitErr = syscall.ENOSPC }, 1},
		"cut off":   {func(b *bench) { b.commitErr = fmt.Errorf("write: %w", context.Canceled) }, 130},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		b := oneHost()
		b.writing = cancel
		tt.put(b)
		if got := b.runContext(ctx, "sync"); got.code != tt.code || ctx.Err() == nil {
			t.Errorf("%s: code %d, want %d\n%s", name, got.code, tt.code, got.stderr)
		}
		cancel()
	}
}

func TestUsageErrors(t *testing.T) {
	for _, tt := range []struct {
		args string
		want []string
	}{
		{"", []string{"which command?"}},
		{"synk", []string{`unknown command "synk" (did you mean sync?)`, "usage: hapsync [flags] command", "see hapsync --help"}},
		{"help synk", []string{`unknown command "synk" (did you mean sync?)`, "see hapsync --help"}},
		{"help dran", []string{`unknown command "dran" (did you mean drain?)`}},
		{"help xyzzy", []string{"unknown command \"xyzzy\"\n"}},
		{"--bogus sync", []string{"unknown flag --bogus", "see hapsync --help"}},
		{"sync --fronted x", []string{"unknown flag --fronted (did you mean --frontend?)", "usage: hapsync sync [flags]\nsee hapsync sync --help"}},
		{"xyzzy", []string{"unknown command \"xyzzy\"\n"}},
		{"sync --xyzzy x", []string{"unknown flag --xyzzy\n"}},
		{"weight --hots x", []string{"(did you mean --host?)", "usage: hapsync weight [flags] [DOMAIN HOST] WEIGHT\n"}},
		{"--dry-run sync", []string{`--dry-run is a flag of "hapsync sync": write it after the command`}},
		{"sync webin --dry-run", []string{`stray argument`}},
		{"plan webin", []string{`stray argument "webin"`}},
		{"plan -o xml", []string{`"xml"`, "text or json"}},
		{"plan --max-removal 0", []string{`"0" for flag --max-removal: must be a share in percent`}},
		{"plan --max-removal 101", []string{"1 to 100"}},
		{"plan --dial-timeout 5", []string{"--dial-timeout", "with its unit"}},
		{"--dial-timeout -5s plan", []string{"--dial-timeout", "must be more than 0"}},
		{"drain --wait --wait-timeout 0s a.abc.com/h", []string{"--wait-timeout", "must be more than 0"}},
		{"history --since -1h", []string{"--since", "must be more than 0"}},
		{"sync --dry-run=yes", []string{`"yes" for -`, "--dry-run", "must be true or false"}},
		{"check -o json", []string{"unknown flag -o\n"}},
		{"list -x", []string{"unknown flag -x\n"}},
		{"list -output", []string{"flag needs an argument: --output"}},
		{"-x list", []string{"unknown flag -x\n"}},
		{"list -o", []string{"flag needs an argument: -o\n"}},
		{"list -o xml", []string{`"xml" for flag -o: must be text or json`}},
		{"explain", []string{"which domain? such as hapsync explain a.abc.com"}},
		{"explain /services/web/a.abc.com/s1", []string{`"/services/web/a.abc.com/s1" is a key of etcd: name the host without the prefix, as a.abc.com/s1`}},
		{"maint /services/web/a.abc.com/s1", []string{`is a key of etcd: name the host without the prefix, as a.abc.com/s1`}},
		{"maint /services/web/a.abc.com/s1/ip", []string{`as a.abc.com/s1`}},
		{"maint /a.abc.com/s1", []string{`as a.abc.com/s1`}},
		{"maint a.abc.com/", []string{"a.abc.com: which host? such as a.abc.com/web1"}},
		{"maint a.abc.com/s1/s2", []string{`"a.abc.com/s1/s2" has more than a domain and a host`}},
		{"weight a.abc.com/s1 5 6", []string{`"a.abc.com/s1 5" has more than a domain and a host`, "a.abc.com/web1", "WEIGHT"}},
		{"weight", []string{"which weight? such as hapsync weight a.abc.com/web1 10"}},
		{"weight a.abc.com/s1", []string{"which weight? such as hapsync weight a.abc.com/s1 10"}},
		{"weight a.abc.com s1", []string{"which weight? such as hapsync weight a.abc.com/s1 10"}},
		{"drain", []string{"which host? such as hapsync drain a.abc.com/web1"}},
		{"sync --rewrite=maybe", []string{"--rewrite"}},
		{"sync --prefix", []string{"flag needs an argument: --prefix"}},
		{"sync --endpoints ,", []string{"--endpoints: no URL"}},
		{"sync --frontend a;b", []string{`--frontend "a;b"`}},
		{"register --port 1", []string{"--domain: no domain given"}},
		{"register --domain a.abc.com --host h --ip 10.0.0.1", []string{"--port: no port given"}},
		{"register --domain *.abc.com", []string{"--domain", "wildcard"}},
		{"register --domain a_b", []string{"--domain", `only letters, digits, "-" and "."`}},
		{"register --host a/b", []string{"--host", `host "a/b" has "/"`}},
		{"register --ip localhost", []string{"--ip", "is not an IPv4 or IPv6 address"}},
		{"register --ip 10.0.0.0/8", []string{"--ip", "is a network"}},
		{"register --ip 0.0.0.0", []string{"--ip", "unspecified"}},
		{"register --port 0", []string{"--port", "is not a number of 1 to 65535"}},
		{"register --port 080", []string{"--port", "leading zeros"}},
		{"register --weight 257", []string{"--weight", "is not a number of 0 to 256"}},
		{"register --maxconn -1", []string{"--maxconn", "is not a number of 0 to 1000000"}},
		{"register --ttl 1s", []string{"--ttl", "whole seconds, 2s or more"}},
		{"register --ttl 2500ms", []string{"--ttl", "whole seconds"}},
		{"register --drain -1s", []string{"--drain", "or 0s"}},
		{"register --rise 0", []string{"--rise", "1 to 1000"}},
		{"register --interval 0s", []string{"--interval", "must be more than 0"}},
		{"register --check ftp://x", []string{"--check", "exec:/path"}},
		{"register --check http://", []string{"--check", "URL"}},
		{"register --check tcp://x", []string{"--check", "tcp://127.0.0.1:10000"}},
		{"register --check exec:true", []string{"--check", "with its path"}},
		{"register --domain a.abc.com --port 1 sleep 1", []string{`stray argument "sleep" (a command comes after --)`}},
		{"weight --domain a.abc.com --host h", []string{"which weight? such as hapsync weight --domain a.abc.com --host h 10"}},
		{"weight --domain a.abc.com --host h 300", []string{`weight "300"`}},
		{"drain --host h", []string{"--domain: no domain given"}},
		{"drain --domain a.abc.com a.abc.com/h", []string{"named twice"}},
		{"deregister --domain a.abc.com --host h,i", []string{"--host", `","`}},
		{"completion", []string{"which shell? hapsync completion bash, hapsync completion zsh or hapsync completion fish"}},
		{"completion tcsh", []string{`"tcsh"`, "bash, zsh or fish"}},
		{"completion bash zsh", []string{`stray argument "zsh"`}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			b := oneHost()
			got := b.run(t, strings.Fields(tt.args)...)
			if got.code != exitUsage || got.stdout != "" || b.wrote {
				t.Errorf("code %d, stdout %q, wrote %t", got.code, got.stdout, b.wrote)
			}
			wantContains(t, "message", got.stderr, tt.want...)
			if n := strings.Count(got.stderr, "hapsync: "); n != 1 {
				t.Errorf("%d messages, want 1:\n%s", n, got.stderr)
			}
			if lines := strings.Count(got.stderr, "\n"); lines > 3 && tt.args != "" {
				t.Errorf("%d lines, want 3 at most:\n%s", lines, got.stderr)
			}
		})
	}
}

func TestBadVariableIsNamed(t *testing.T) {
	b := &bench{env: map[string]string{"HAPSYNC_DIAL_TIMEOUT": "soon"}}
	got := b.run(t, "list")
	if got.code != exitUsage {
		t.Errorf("code %d", got.code)
	}
	wantContains(t, "message", got.stderr, `hapsync: HAPSYNC_DIAL_TIMEOUT: "soon": must be a time with its unit`)
}

func TestAVariableOfASwitchIsTrueOrFalse(t *testing.T) {
	b := &bench{env: map[string]string{"HAPSYNC_ALLOW_LOOPBACK": "yes"}}
	got := b.run(t, "list")
	if got.code != exitUsage {
		t.Errorf("code %d", got.code)
	}
	wantContains(t, "message", got.stderr, `hapsync: HAPSYNC_ALLOW_LOOPBACK: "yes": must be true or false`+"\n")
}

func TestAMistypedVariableIsNamed(t *testing.T) {
	for name, want := range map[string]string{
		"HAPSYNC_ENDPOINT":      "HAPSYNC_ENDPOINTS",
		"HAPSYNC_MANAGEDFILE":   "HAPSYNC_MANAGED_FILE",
		"HAPSYNC_ALLOWLOOPBACK": "HAPSYNC_ALLOW_LOOPBACK",
		"HAPSYNC_PASSWORT":      "HAPSYNC_PASSWORD",
		"HAPSYNC_ENDPOINTS":     "", "HAPSYNC_MASTER_SOCKET": "", "HAPSYNC_PASSWORD": "", "HAPSYNC_CONFIG_FILE": "", "HAPSYNC_DOCKER": "",
		"HAPSYNC_VERSION": "", "HAPSYNC_TESTS": "", "HAPSYNC_COMPOSE": "", "HAPSYNC_LOAD": "", "HAPSYNC_NETNS": "", "HAPSYNC_STORM": "",
		"HAPSYNC_RESTARTS": "", "HAPSYNC_PACKAGES": "", "HAPSYNC_TEST_DIR": "", "HAPROXY_BINARIES": "", "HAPSYNC_FLAGS": "", "HAPSYNC_SYSTEMD": "",
	} {
		b := oneHost()
		b.env = map[string]string{name: "/dev/null"}
		got := b.run(t, "list")
		warned := strings.Contains(got.stderr, `msg="hapsync does not read this variable" variable=`+name+` remedy="did you mean `+want+`?"`)
		if got.code != exitOK || warned != (want != "") || want == "" && got.stderr != "" {
			t.Errorf("%s: code %d, %q", name, got.code, got.stderr)
		}
		if got := b.run(t, "version"); got.stderr != "" {
			t.Errorf("%s: version says %q", name, got.stderr)
		}
	}
}

func TestRealRegistrySettingsAreUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--prefix", "services"}, {"--endpoints", "ftp://x:1"}, {"--cert", "a.pem"}, {"--user", "root"},
	} {
		b := new(bench)
		p := b.program(nil, nil)
		p.dial = dial
		err := p.app().RunContext(t.Context(), append([]string{"hapsync", "list"}, args...))
		if got := exitCode(t.Context(), err); got != exitUsage && args[0] != "--cert" {
			t.Errorf("%q: code %d, %v", args, got, err)
		}
	}
}
