package main

import (
	"os"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
)

func TestConfigFile(t *testing.T) {
	file := writeFile(t, `# settings of hapsync
endpoints:
  - http://10.0.0.11:2379
  - http://10.0.0.12:2379
frontend: webin,webin-tls
drain-timeout: 20s
max-removal: 30 # a flag of sync and plan
detailed-exitcode: true
`)
	b := &bench{}
	for flag, want := range map[string]string{
		"endpoints":     "http://10.0.0.11:2379,http://10.0.0.12:2379",
		"frontend":      "webin,webin-tls",
		"drain-timeout": "20s",
		"max-removal":   "30",
	} {
		if got := b.settled(t, "sync", flag, "sync", "--config-file", file); got != want {
			t.Errorf("%s: %q, want %q", flag, got, want)
		}
	}
}

func TestBadConfigFile(t *testing.T) {
	for _, tt := range []struct{ name, content, want string }{
		{"an unknown key", "prefix: /x\nendpoint: http://a:1\n", `:2: unknown key "endpoint" (did you mean endpoints?)`},
		{"a key given twice", "prefix: /x\nprefix: /y\n", ":2: prefix: set twice, first in line 1"},
		{"a number for text", "prefix: 5\n", ":1: prefix: want text"},
		{"a list for one value", "prefix: [/a, /b]\n", ":1: prefix: want text"},
		{"a map in a list", "endpoints:\n  - url: x\n", ":1: endpoints: want text"},
		{"a word for a number", "max-removal: half\n", ":1: max-removal: want a number"},
		{"a number out of range", "max-removal: 0\n", `:1: max-removal: "0": must be a share in percent`},
		{"a word for a switch", "rewrite: maybe\n", ":1: rewrite: want true or false"},
		{"a time without a unit", "\ndial-timeout: \"5\"\n", ":2: dial-timeout: \"5\": must be a time with its unit"},
		{"a choice that is none", "log-format: xml\n", `log-format: "xml": must be text or json`},
		{"a null", "prefix:\n", ":1: prefix: want text"},
		{"a list of keys", "- prefix\n", ":1: want one `flag: value` a line"},
		{"two documents", "prefix: /x\n---\nprefix: /y\n", "want one YAML document"},
		{"no YAML", "prefix: [\n", "line"},
		{"the file itself", "config-file: other.yaml\n", `unknown key "config-file"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := writeFile(t, tt.content)
			got := new(bench).run(t, "list", "--config-file", file)
			if got.code != exitUsage {
				t.Errorf("code %d, want %d", got.code, exitUsage)
			}
			wantContains(t, "message", got.stderr, "hapsync: "+file+":", tt.want, "see hapsync list --help")
		})
	}
}

func TestEmptyAndMissingConfigFile(t *testing.T) {
	for _, content := range []string{"", "# nothing\n", "{}\n", "null\n"} {
		if got := new(bench).run(t, "list", "--config-file", writeFile(t, content)); got.code != exitOK {
			t.Errorf("%q: code %d: %s", content, got.code, got.stderr)
		}
	}
	got := new(bench).run(t, "list", "--config-file", "/nowhere/hapsync.yaml")
	if got.code != exitUsage {
		t.Errorf("code %d", got.code)
	}
	wantContains(t, "message", got.stderr, "/nowhere/hapsync.yaml", "no such file")
}

func TestWarnsOfAPasswordThatEveryoneCanRead(t *testing.T) {
	file := writeFile(t, "user: root:s3cret\n")
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		got := new(bench).run(t, "list", "--config-file", file)
		if warned := strings.Contains(got.stderr, "chmod o-r"); warned != want || got.code != exitOK {
			t.Errorf("mode %o: warned %t, code %d", mode, warned, got.code)
		}
	}
}

func TestConfigFileSaysWhatItWantsSuchThatDoingSoHelps(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"drain-timeout: 30", "such as 5s"}, {"resync: 60", "such as 5s"}, {"ttl: 15", "such as 15s"}, {"log-level: 3", "debug or info"},
		{"output: true", "text or json"}, {"prefix: 5", "put it in quotes"}, {"port: 99999", "65535"}, {"max-removal: x", "a number"}, {"wait: 1", "true or false"},
	} {
		got := new(bench).run(t, "list", "--config-file", writeFile(t, tt.line+"\n"))
		if got.code != exitUsage || !strings.Contains(got.stderr, tt.want) {
			t.Errorf("%s: code %d: %s", tt.line, got.code, got.stderr)
		}
	}
}

func TestConfigFileTakesNumbersWithoutQuotes(t *testing.T) {
	file := writeFile(t, "port: 10000\nrise: 3\nmax-keys: 500\n")
	for flag, want := range map[string]string{"port": "10000", "rise": "3", "max-keys": "500"} {
		if got := new(bench).settled(t, "register", flag, "register", "--config-file", file); got != want {
			t.Errorf("%s: %q, want %q", flag, got, want)
		}
	}
}

func TestALineOfTheConfigFileIsReadAsItWasWritten(t *testing.T) {
	for _, tt := range []struct{ name, tag, value string }{
		{"domains", "!!seq", "*.abc.com,b.org"},
		{"endpoints", "!!seq", "http://[::1]:2379"},
		{"runtime-socket", "", "@abc"},
		{"runtime-socket", "", "/run/ö: x"},
		{"reload-command", "", "a x: y"},
		{"reload-command", "", "systemctl reload haproxy # now"},
		{"reload-command", "", "'a' \"b\" %x"},
		{"dial-timeout", "", "5s"},
		{"max-removal", "!!int", "30"},
		{"allow-loopback", "!!bool", "true"},
		{"frontend", "!!seq", "off,true"},
		{"name", "", "on"},
	} {
		line := (&cli.Setting{Spec: cli.Spec{Name: tt.name, Tag: tt.tag}}).YAML(tt.value)
		if got := new(bench).settled(t, "agent", tt.name, "agent", "--config-file", writeFile(t, line+"\n")); got != tt.value {
			t.Errorf("%s: %q, want %q", line, got, tt.value)
		}
	}
}

func TestDefaultConfigFileIsReadIfItExists(t *testing.T) {
	file, other := writeFile(t, "prefix: /default\n"), writeFile(t, "drain-timeout: 7s\n")
	for _, tt := range []struct {
		name, config, want string
		env                map[string]string
		args               []string
	}{
		{name: "there", config: file, want: "/default"},
		{name: "not there", config: "/nowhere/hapsync.yaml", want: "/services/web"},
		{name: "another file", config: file, args: []string{"--config-file", other}, want: "/services/web"},
		{name: "another file by the variable", config: file, env: map[string]string{"HAPSYNC_CONFIG_FILE": other}, want: "/services/web"},
		{name: "none", config: file, args: []string{"--config-file", "/dev/null"}, want: "/services/web"},
		{name: "a variable overrides it", config: file, env: map[string]string{"HAPSYNC_PREFIX": "/mine"}, want: "/mine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &bench{config: tt.config, env: tt.env}
			for _, command := range []string{"init", "check", "plan", "sync", "agent", "register", "deregister", "drain", "list", "agents", "explain", "status"} {
				if got := b.settled(t, command, "prefix", append([]string{command}, tt.args...)...); got != tt.want {
					t.Errorf("%s: prefix %q, want %q", command, got, tt.want)
				}
			}
		})
	}
}

func TestDefaultConfigFileIsNamedByCheck(t *testing.T) {
	b := oneHost()
	b.config = writeFile(t, "prefix: /default\n")
	wantContains(t, "check", b.run(t, "check").stdout, "ok   config file: "+b.config+"\n", " below /default\n")
	if err := os.Chmod(b.config, 0o664); err != nil {
		t.Fatal(err)
	}
	wantContains(t, "check", b.run(t, "check").stdout, "warn config file: others than its owner can write "+b.config)
	if got := b.run(t, "check", "--config-file", "/dev/null"); strings.Contains(got.stdout, "config file") {
		t.Errorf("check names a config file where there is none:\n%s", got.stdout)
	}
}

func TestDefaultConfigFileThatCannotCountIsAnError(t *testing.T) {
	writable := writeFile(t, "prefix: /default\n")
	if err := os.Chmod(writable, 0o666); err != nil {
		t.Fatal(err)
	}
	closed := "/proc/sys/net/ipv4/route/flush" // which no user may read, root neither
	for _, tt := range []struct {
		config string
		want   []string
	}{
		{writable, []string{writable + " is not read: every user of this machine can write it (mode 0666)", "chmod o-w " + writable, "/dev/null for none"}},
		{writeFile(t, "prefix: [\n"), []string{"hapsync.yaml:"}},
		{closed, []string{"permission denied", "sudo", "--config-file (/dev/null for none)"}},
	} {
		b := oneHost()
		b.config = tt.config
		got := b.run(t, "list")
		if got.code != exitUsage {
			t.Errorf("%s: code %d", tt.config, got.code)
		}
		wantContains(t, "message", got.stderr, tt.want...)
		for _, args := range [][]string{{"version"}, {"completion", "bash"}, {"list", "--config-file", "/dev/null"}, {"list", "--help"}} {
			if got := b.run(t, args...); got.code != exitOK {
				t.Errorf("%s: %q: code %d: %s", tt.config, args, got.code, got.stderr)
			}
		}
	}
}
