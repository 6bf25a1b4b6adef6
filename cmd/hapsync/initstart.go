package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hapsync/hapsync/haproxy/configfile"
)

// tryOut has haproxy check the files before init writes them: later runs keep existing files, so a bad one would stay.
func (p program) tryOut(ctx context.Context, s setup) error {
	path, err := exec.LookPath(s.binary)
	if err != nil {
		return nil //nolint:nilerr // validate says it
	}
	dir, err := tryoutDir(s)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files, trial := s.files(), s
	if _, err := os.Stat(s.certs); err != nil && s.certs != "" {
		trial.certs = filepath.Join(dir, "certs") // empty, like the one that init makes
		if err := os.Mkdir(trial.certs, 0o700); err != nil {
			return err
		}
	}
	texts := []string{trial.base(), trial.managed()}
	if s.oneFile() {
		texts = []string{trial.base() + "\n" + trial.managed()}
	}
	empty := filepath.Join(dir, "empty.map") // instead of the map file, which does not exist yet
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		return err
	}
	if mapFile, ok := configfile.MapFile(s.managedFile); ok {
		for i := range texts {
			texts[i] = strings.ReplaceAll(texts[i], "map("+mapFile+")", "map("+empty+")")
		}
	}
	for i, file := range files {
		if _, err := os.Lstat(file); err == nil {
			continue
		}
		files[i] = filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(file)))
		if err := os.WriteFile(files[i], []byte(texts[i]), 0o600); err != nil {
			return err
		}
	}
	if _, err := configfile.Validate(ctx, path, files...); err != nil {
		return fmt.Errorf("nothing is written: %w", err)
	}
	return nil
}

// tryoutDir makes a temporary directory; beside the managed file if the usual place is read-only, as in a container.
func tryoutDir(s setup) (string, error) {
	dir, err := os.MkdirTemp("", "hapsync-init-")
	if err == nil {
		return dir, nil
	}
	beside, failed := os.MkdirTemp(filepath.Dir(s.files()[len(s.files())-1]), ".hapsync-init-")
	if failed != nil {
		return "", err
	}
	return beside, nil
}

// validate has haproxy check the files. Without a haproxy it prints that.
func (p program) validate(ctx context.Context, s setup) error {
	path, err := exec.LookPath(s.binary)
	if err != nil {
		p.say("not checked: there is no %s program here (--haproxy-bin)\n", s.binary)
		return nil
	}
	warnings, err := configfile.Validate(ctx, path, s.files()...)
	if err != nil {
		return err
	}
	p.say("checked  haproxy -c accepts the configuration\n")
	for _, w := range warnings {
		p.say("warning  %s\n", w)
	}
	return nil
}

func (s setup) files() []string {
	if s.oneFile() {
		return []string{s.baseFile}
	}
	return []string{s.baseFile, s.managedFile}
}

// dropIn is a file that systemd reads together with HAProxy's unit.
const dropIn = "/etc/systemd/system/haproxy.service.d/hapsync.conf"

// unit is the text of the drop-in.
func (s setup) unit(master string) string {
	return fmt.Sprintf(`[Service]
ExecStart=
ExecStart=%[1]s -Ws %[2]s -p /run/haproxy.pid -S %[3]s
ExecReload=
ExecReload=%[1]s -c -q %[2]s
ExecReload=/bin/kill -USR2 $MAINPID
`, s.program(), s.fileArgs(), master)
}

func (s setup) fileArgs() string { return "-f " + strings.Join(s.files(), " -f ") }

// printStart prints how to start HAProxy, and what comes next.
func (p program) printStart(s setup) {
	named := s.namedMaster()
	master := cmp.Or(named, s.masterSocket())
	options := "-S " + master
	if !s.oneFile() {
		options += " -f " + s.managedFile
	}
	if named == "" {
		p.say("\nHAProxy after 3.0 does not tell its master's socket. Write it into the global section of %s:\n\n"+
			"    setenv HAPSYNC_MASTER_SOCKET %s\n", s.baseFile, s.masterSocket())
	}
	if s.systemd {
		p.say("\nNext, which also tells systemd of the new file:\n\n    systemctl enable --now hapsync-agent\n    systemctl restart haproxy\n")
		return
	}
	p.say(`
Start HAProxy:

    %[6]s -W -S %[1]s %[2]s

or, under systemd, in /etc/default/haproxy (Debian, Ubuntu):

    CONFIG="%[3]s"
    EXTRAOPTS="%[4]s"

where the unit has these variables (systemctl cat haproxy); elsewhere with "systemctl edit haproxy":

%[7]s
and then "systemctl restart haproxy". Next:

    hapsync check%[5]s
    hapsync sync%[5]s
`, master, s.fileArgs(), s.baseFile, options, s.flagArgs(), s.binary, indent(s.unit(master)))
	if text, err := os.ReadFile(s.baseFile); err == nil && strings.Contains(string(text), "stats auth "+statsUser+":") {
		p.say("\nThe statistics page is /stats on %s, for the user %s with the password behind \"stats auth\" in %s.\n",
			s.statsBind, statsUser, s.baseFile)
	}
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}

// namedMaster is the master socket in the base file; empty if there is none. init may not have written that file.
func (s setup) namedMaster() string {
	text, err := os.ReadFile(s.baseFile)
	if err != nil {
		return ""
	}
	m := regexp.MustCompile(`(?m)^[ \t]*setenv[ \t]+"?HAPSYNC_MASTER_SOCKET"?[ \t]+["']?([^\s"'#]+)`).FindSubmatch(text)
	if m == nil {
		return ""
	}
	return string(m[1])
}

// program is the absolute path of haproxy, which systemd needs; Debian's path if haproxy is not installed yet.
func (s setup) program() string {
	path, err := exec.LookPath(s.binary)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "/usr/sbin/haproxy"
	}
	return path
}

// flagArgs are the flags that the next commands need to find the same files.
func (s setup) flagArgs() string {
	args := ""
	if s.binary != "haproxy" {
		args += " --haproxy-bin " + s.binary
	}
	if s.baseFile != "/etc/haproxy/haproxy.cfg" {
		args += " --base-file " + s.baseFile
	}
	if s.managedFile != "/etc/haproxy/hapsync.cfg" {
		args += " --managed-file " + s.managedFile
	}
	if names := strings.Join(s.frontends, ","); names != "webin" {
		args += " --frontend " + names
	}
	return args
}
