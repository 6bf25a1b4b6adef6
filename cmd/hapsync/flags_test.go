package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
)

// settled is the value of a flag when a command runs.
func (b *bench) settled(t *testing.T, command, flag string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	p := b.program(new(bytes.Buffer), &stderr)
	app, value, ran := p.app(), "", false
	app.Command(command).Action = func(c *cli.Context) error {
		value, ran = strings.Join(c.StringSlice(flag), ","), true
		if value == "" {
			value = c.String(flag)
		}
		return nil
	}
	if err := app.RunContext(t.Context(), append([]string{"hapsync"}, args...)); err != nil || !ran {
		t.Fatalf("hapsync %q: %v %s", args, err, stderr.String())
	}
	return value
}

// samples are two good values of a flag; the first is not its default.
func samples(s *cli.Setting) (string, string) {
	switch {
	case s.Tag == "!!bool":
		return "true", "false"
	case s.Tag == "!!int":
		return "30", "70"
	case strings.HasSuffix(s.Name, "-timeout") || s.Name == "resync" || s.Name == "reload-interval" || s.Name == "reload-splay" || s.Name == "since":
		return "3s", "7s"
	case slices.Contains([]string{"drain", "ttl", "interval", "timeout", "settle"}, s.Name):
		return "3s", "7s"
	case slices.Contains([]string{"port", "weight", "maxconn", "rise", "fall", "max-keys", "max-hosts", "max-domains", "journal-size", "number"}, s.Name):
		return "7", "9"
	case s.Name == "addresses":
		return "10.0.0.0/8", "fd00::/8"
	case s.Name == "certs":
		return "/etc/haproxy/certs", "/etc/certs"
	case s.Name == "ip":
		return "10.0.0.1", "fd00::1"
	case s.Name == "check":
		return "tcp://127.0.0.1:1", "exec:/bin/true"
	case s.Name == "listen":
		return "127.0.0.1:9102", "unix:/run/hapsync/agent.sock"
	case s.Name == "output" || s.Name == "log-format":
		return "json", "text"
	case s.Name == "routing":
		return "map", "acl"
	case s.Name == "host-match":
		return "exact", "any-port"
	case s.Name == "first-check":
		return "haproxy", "hapsync"
	case s.Name == "dynamic-domains":
		return "off", "auto"
	case s.Name == "color":
		return "always", "never"
	case s.Name == "log-level":
		return "debug", "error"
	}
	return "one", "two"
}

func yamlOf(s *cli.Setting, value string) string {
	switch {
	case s.IsList():
		return fmt.Sprintf("%s: [%q]\n", s.Name, value)
	case s.Tag == "":
		return fmt.Sprintf("%s: %q\n", s.Name, value)
	}
	return fmt.Sprintf("%s: %s\n", s.Name, value)
}

func eachSetting(t *testing.T, test func(t *testing.T, cmd *cli.Command, s *cli.Setting)) {
	for _, cmd := range new(bench).program(nil, nil).app().Commands {
		for _, f := range cmd.Flags {
			if s, ok := f.(*cli.Setting); ok {
				t.Run(cmd.Name+" --"+s.Name, func(t *testing.T) { test(t, cmd, s) })
			}
		}
	}
}

// TestPrecedence tries each setting once, in the first command that has it. TestEveryFlagIsDocumented checks that settings of
// one name have one type.
func TestPrecedence(t *testing.T) {
	seen := map[string]bool{"config-file": true}
	eachSetting(t, func(t *testing.T, cmd *cli.Command, s *cli.Setting) {
		if seen[s.Name] {
			return
		}
		seen[s.Name] = true
		one, two := samples(s)
		flag := func(value string) string { return "--" + s.Name + "=" + value }
		file := writeFile(t, yamlOf(s, one))
		b := &bench{env: map[string]string{}}
		check := func(what, want string, args ...string) {
			t.Helper()
			if got := b.settled(t, cmd.Name, s.Name, args...); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		if s.IsList() || s.Tag != "!!bool" {
			want := s.Value
			if s.IsList() && want == "" {
				want = "[]"
			}
			check("the default counts where nothing is set", want, cmd.Name)
		}
		b.env["HAPSYNC_CONFIG_FILE"] = file
		check("the config file overrides the default", one, cmd.Name)
		b.env[s.Env[len(s.Env)-1]] = two
		check("the environment overrides the config file", two, cmd.Name)
		b.env[s.Env[0]] = one
		check("HAPSYNC_ comes before other variables", one, cmd.Name)
		if isShared(s) {
			check("a flag before the command overrides the environment", two, flag(two), cmd.Name)
			check("a flag after the command overrides one before it", one, flag(two), cmd.Name, flag(one))
		}
		check("a flag after the command overrides the environment", two, cmd.Name, flag(two))
	})
}

func isShared(s *cli.Setting) bool {
	return slices.ContainsFunc(cli.SharedFlags(), func(f cli.Flag) bool { return f.Names()[0] == s.Name })
}

func TestConfigFileFlagMayStandInBothPlaces(t *testing.T) {
	file := writeFile(t, "prefix: /from/file\n")
	for _, args := range [][]string{{"--config-file", file, "list"}, {"list", "--config-file", file}} {
		if got := new(bench).settled(t, "list", "prefix", args...); got != "/from/file" {
			t.Errorf("%q: prefix %q", args, got)
		}
	}
}

func TestListsAndAliases(t *testing.T) {
	for _, tt := range []struct {
		name, flag, want string
		args             []string
	}{
		{"commas", "endpoints", "http://a:1,http://b:1", []string{"sync", "--endpoints", "http://a:1, http://b:1"}},
		{"repeated", "endpoints", "http://a:1,http://b:1", []string{"sync", "--endpoints", "http://a:1", "--endpoints", "http://b:1"}},
		{"repeated before the command", "frontend", "x,y", []string{"--frontend", "x", "--frontend", "y", "sync"}},
		{"after the command replaces before", "frontend", "z", []string{"--frontend", "x,y", "sync", "--frontend", "z"}},
		{"--node is --endpoints", "endpoints", "http://a:1", []string{"sync", "--node", "http://a:1"}},
		{"--node before the command", "endpoints", "http://a:1", []string{"--node", "http://a:1", "sync"}},
		{"--noop is --dry-run", "dry-run", "true", []string{"sync", "--noop"}},
		{"-o is --output", "output", "json", []string{"plan", "-o", "json"}},
		{"--onetime is taken", "onetime", "true", []string{"sync", "--onetime"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := new(bench).settled(t, tt.args[slices.IndexFunc(tt.args, isCommand)], tt.flag, tt.args...); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func isCommand(arg string) bool { return arg == "sync" || arg == "plan" }

func TestEveryFlagIsDocumented(t *testing.T) {
	types := map[string]string{}
	eachSetting(t, func(t *testing.T, _ *cli.Command, s *cli.Setting) {
		if s.GetUsage() == "" {
			t.Error("no usage text")
		}
		if want := cli.Variable(s.Name); s.GetEnvVars()[0] != want {
			t.Errorf("environment %v, want %s first", s.GetEnvVars(), want)
		}
		if !s.Hidden {
			wantContains(t, "help line", s.String(), "--"+s.Name, "$"+cli.Variable(s.Name))
		}
		if have, ok := types[s.Name]; ok && have != s.Tag {
			t.Errorf("type %q here and %q in another command: the config file needs one", s.Tag, have)
		}
		types[s.Name] = s.Tag
	})
}

func TestEveryCommandIsDocumented(t *testing.T) {
	app := new(bench).program(new(bytes.Buffer), new(bytes.Buffer)).app()
	for _, cmd := range app.Commands {
		t.Run(cmd.Name, func(t *testing.T) {
			example := "hapsync " + cmd.Name
			if cmd.Hidden && strings.HasPrefix(cmd.UsageText, "hapsync help ") {
				example = "hapsync help " // it is there to be read
			}
			calls := [][]string{{"help", cmd.Name}, {cmd.Name, "--help"}, {cmd.Name, "-h"}}
			if cmd.Name == "help" {
				calls = calls[:1] // the others show the overview
			}
			for _, args := range calls {
				got := new(bench).run(t, args...)
				if got.code != exitOK || got.stderr != "" {
					t.Errorf("%q: code %d, %s", args, got.code, got.stderr)
				}
				wantContains(t, "help", got.stdout, "USAGE:", "DESCRIPTION:", "EXAMPLE:\n   "+example)
			}
			if cmd.Usage == "" {
				t.Error("no usage text")
			}
		})
	}
}

func TestHelpShowsNoForeignFlags(t *testing.T) {
	help := new(bench).run(t, "list", "--help").stdout
	wantContains(t, "help of list", help, "hapsync help flags", ": Registry, Settings and logging.")
	if strings.Contains(help, "--managed-file") || strings.Contains(help, "--prefix KEY") {
		t.Errorf("help of list shows flags that are not its own: %s", help)
	}
}

func TestSharedFlagsAreShownOnce(t *testing.T) {
	shared, overview := new(bench).run(t, "help", "flags"), new(bench).run(t, "--help").stdout
	wantContains(t, "overview", overview, "hapsync help flags", "--version")
	for _, f := range cli.SharedFlags() {
		if f.(*cli.Setting).Hidden {
			continue
		}
		if name := "--" + f.Names()[0] + " "; !strings.Contains(shared.stdout, name) || strings.Contains(overview, "   "+name) {
			t.Errorf("%s is not shown, or in the overview, too", name)
		}
	}
}

func TestPasswords(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		env                  map[string]string
		args                 []string
		user, password, file string
	}{
		{name: "none"},
		{name: "in --user", args: []string{"--user", "root:s3:cret"}, user: "root", password: "s3:cret"},
		{name: "in a file", args: []string{"--user", "root", "--password-file", "/f"}, user: "root", file: "/f"},
		{name: "in etcdctl's variables", env: map[string]string{"ETCDCTL_USER": "root", "ETCDCTL_PASSWORD": "s3cret"},
			user: "root", password: "s3cret"},
		{name: "HAPSYNC_PASSWORD first", env: map[string]string{"HAPSYNC_PASSWORD": "ours", "ETCDCTL_PASSWORD": "theirs"},
			args: []string{"--user", "root"}, user: "root", password: "ours"},
		{name: "the file before the variable", env: map[string]string{"ETCDCTL_PASSWORD": "s3cret"},
			args: []string{"--user", "root", "--password-file", "/f"}, user: "root", file: "/f"},
		{name: "not without a user", env: map[string]string{"ETCDCTL_PASSWORD": "s3cret"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &bench{env: tt.env}
			if got := b.run(t, append([]string{"list"}, tt.args...)...); got.code != exitOK {
				t.Fatalf("code %d: %s", got.code, got.stderr)
			}
			if d := b.dialled; d.User != tt.user || d.Password != tt.password || d.PasswordFile != tt.file {
				t.Errorf("user %q, password %q, file %q", d.User, d.Password, d.PasswordFile)
			}
		})
	}
}

func TestPasswordsAreNeverPrinted(t *testing.T) {
	b := &bench{env: map[string]string{"ETCDCTL_USER": "root:s3cret", "HAPSYNC_LOG_LEVEL": "debug"}, snapshotErr: io.ErrUnexpectedEOF}
	for _, args := range [][]string{
		{"list"}, {"check"}, {"sync", "--dial-timeout", "x"}, {"sync", "--help"},
		{"--user", "root:s3cret", "sync", "--help"}, {"sync", "--user", "root:s3cret", "--bogus"},
	} {
		if got := b.run(t, args...); strings.Contains(got.stdout+got.stderr, "s3cret") {
			t.Errorf("%q prints the password:\n%s%s", args, got.stdout, got.stderr)
		}
	}
}
