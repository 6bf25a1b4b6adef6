package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hapsync/hapsync/haproxy/configfile"
)

// validate has haproxy check the files. Without a haproxy there is nothing to validate with, which is said.
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

// printStart says how HAProxy is started with the files, and what comes next.
func (p program) printStart(s setup) {
	files := "-f " + strings.Join(s.files(), " -f ")
	options := "-S " + s.masterSocket()
	if !s.oneFile() {
		options += " -f " + s.managedFile
	}
	if !s.baseNamesMaster() {
		p.say("\nHAProxy after 3.0 does not tell its master's socket. Write it into the global section of %s:\n\n    setenv HAPSYNC_MASTER_SOCKET %s\n",
			s.baseFile, s.masterSocket())
	}
	p.say(`
Start HAProxy:

    %[6]s -W -S %[1]s %[2]s

or, under systemd, in /etc/default/haproxy (Debian, Ubuntu):

    CONFIG="%[3]s"
    EXTRAOPTS="%[4]s"

where the unit has these variables (systemctl cat haproxy); elsewhere with "systemctl edit haproxy":

    [Service]
    ExecStart=
    ExecStart=%[7]s -Ws %[2]s -p /run/haproxy.pid -S %[1]s
    ExecReload=
    ExecReload=%[7]s -c -q %[2]s
    ExecReload=/bin/kill -USR2 $MAINPID

and then "systemctl restart haproxy". Next:

    hapsync check%[5]s
    hapsync sync%[5]s
`, s.masterSocket(), files, s.baseFile, options, s.flagArgs(), s.binary, s.program())
}

// baseNamesMaster reports whether hapsync finds the master's socket in the base file: one that init did not write may
// not name it.
func (s setup) baseNamesMaster() bool {
	text, err := os.ReadFile(s.baseFile)
	return err == nil && strings.Contains(string(text), "HAPSYNC_MASTER_SOCKET")
}

// program is the absolute path of haproxy, which systemd wants; Debian's where there is none yet.
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
