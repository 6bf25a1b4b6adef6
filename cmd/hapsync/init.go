package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/registry"
)

func (p program) initCommand() *cli.Command {
	flags := []cli.Flag{
		cli.List(cli.Spec{Name: "bind", Value: ":80",
			Usage: "`ADDRESS` of the frontend; with several --frontend, one for each, in their order"}),
		cli.Text(cli.Spec{Name: "stats-bind", Value: "127.0.0.1:8404", Check: cli.ConfigWord,
			Usage: "`ADDRESS` of the statistics page"}),
		cli.Text(cli.Spec{Name: "run-dir", Value: "/run/haproxy", Check: cli.ConfigWord,
			Usage: "`DIRECTORY` of HAProxy's sockets, haproxy.sock and haproxy-master.sock"}),
		cli.Text(cli.Spec{Name: "state-file", Check: cli.ConfigWord,
			Fallback: "/var/lib/hapsync/hapsync.state; beside the managed file if the base file is not in /etc/haproxy",
			Usage:    "`FILE` that keeps the servers' health over a reload"}),
		cli.Text(cli.Spec{Name: "https", Check: cli.ConfigWord,
			Usage: "`DIRECTORY` of certificates, such as /etc/haproxy/certs: the first frontend also listens with TLS, and offers HTTP/2"}),
		cli.Text(cli.Spec{Name: "https-bind", Value: ":443", Check: cli.ConfigWord, Usage: "`ADDRESS` for --https"}),
		cli.Toggle(cli.Spec{Name: "systemd",
			Usage: "also make HAProxy's unit start it with both files and a master's socket for the group haproxy: create " + dropIn}),
	}
	return p.environment().Command(&cli.Command{
		Name:     "init",
		Category: groupSetUp,
		Usage:    "create the base and the managed file if they are missing, and say how to start HAProxy",
		Flags:    append(flags, cli.SharedFlags(cli.Registry)...),
		Action:   p.init,
	}, cli.Page{
		Description: `Creates the base file (sockets, time-outs, statistics page; a comment explains each choice), the managed file
with an empty frontend, the state file and the directories they need. What exists is never touched. With --https
the frontend serves every domain on both ports; the redirect to HTTPS and HSTS stand there as comments.
Then has haproxy check the result, and prints how to start HAProxy with both files.`,
		Example: `
hapsync init
hapsync init --systemd
hapsync init --bind 10.0.0.1:80
hapsync init --https /etc/haproxy/certs
hapsync init --base-file ~/lb/haproxy.cfg --managed-file ~/lb/hapsync.cfg --run-dir ~/lb --bind :8080
hapsync init --frontend webin --bind :80 --frontend internal --bind 10.0.0.1:8000`,
		ExitCodes: `0 all there; 1 error; 2 usage; 4 haproxy refuses the files`,
	})
}

func (p program) init(c *cli.Context) error {
	s, err := p.setup(c)
	if err != nil {
		return err
	}
	if err := p.tryOut(c.Context, s); err != nil {
		return err
	}
	if err := p.create(s); errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w\nrun it as a user who may write there (sudo), or choose other places: see hapsync init --help", err)
	} else if err != nil {
		return err
	}
	if err := p.validate(c.Context, s); err != nil {
		return err
	}
	p.printStart(s)
	return nil
}

func (p program) setup(c *cli.Context) (setup, error) {
	settings, err := p.haproxySettings(c)
	if err != nil {
		return setup{}, err
	}
	s := setup{
		baseFile:      settings.BaseFile,
		managedFile:   settings.ManagedFile,
		exact:         c.String("host-match") == "exact",
		byMap:         c.String("routing") == "map",
		frontends:     settings.Frontends,
		binds:         cli.Words(c.StringSlice("bind")...),
		statsBind:     c.String("stats-bind"),
		statsPassword: rand.Text(),
		runDir:        c.String("run-dir"),
		stateFile:     c.String("state-file"),
		account:       workerAccount(os.Geteuid()),
		binary:        settings.Binary,
		systemd:       c.Bool("systemd"),
		certs:         c.String("https"),
		tlsBind:       c.String("https-bind"),
	}
	for _, path := range []*string{&s.baseFile, &s.managedFile, &s.runDir} {
		if *path, err = filepath.Abs(*path); err != nil {
			return setup{}, err
		}
	}
	if s.certs != "" {
		if s.certs, err = filepath.Abs(s.certs); err != nil {
			return setup{}, err
		}
	}
	if s.stateFile == "" {
		s.stateFile = defaultStateFile(s)
	}
	if s.stateFile, err = filepath.Abs(s.stateFile); err != nil {
		return setup{}, err
	}
	return s, checkSetup(c, s)
}

func defaultStateFile(s setup) string {
	if strings.HasPrefix(s.baseFile, "/etc/haproxy/") {
		return "/var/lib/hapsync/hapsync.state"
	}
	return filepath.Join(filepath.Dir(s.managedFile), "hapsync.state")
}

// checkSetup refuses values that are not one word each in HAProxy's configuration, or that would clash there.
func checkSetup(c *cli.Context, s setup) error {
	if len(s.binds) != len(s.frontends) {
		return cli.Usagef(c, "--bind: %s for %s: give one --bind for each --frontend, in the same order",
			registry.Count(len(s.binds), "value"), registry.Count(len(s.frontends), "frontend"))
	}
	if slices.Contains(s.frontends, "stats") {
		return cli.Usagef(c, "--frontend stats: init gives this name to the frontend of the statistics page")
	}
	type option struct{ flag, value string }
	places := []option{{"stats-bind", s.statsBind}, {"https-bind", s.tlsBind}}
	for _, bind := range s.binds {
		places = append(places, option{"bind", bind})
	}
	words := append([]option{{"run-dir", s.runDir}, {"state-file", s.stateFile}}, places...)
	if s.certs != "" {
		words = append(words, option{"https", s.certs})
	}
	for _, w := range words {
		if err := cli.ConfigWord(w.value); err != nil {
			return cli.Usagef(c, "--%s %q: %w", w.flag, w.value, err)
		}
	}
	for _, place := range places {
		if !strings.ContainsAny(place.value, ":/@") {
			return cli.Usagef(c, "--%s %s: an address has a port, such as :80 or 10.0.0.1:80", place.flag, place.value)
		}
	}
	const longest = 97 // HAProxy's limit for the path of a socket
	if len(s.masterSocket()) > longest {
		return cli.Usagef(c, "--run-dir %s: a socket's path has %d characters at most: choose a shorter one", s.runDir, longest)
	}
	return nil
}

// create writes the missing files. The base file comes after the files that it names.
func (p program) create(s setup) error {
	needs := func(string) bool { return true }
	if have, err := os.ReadFile(s.baseFile); err == nil {
		needs = func(path string) bool { return strings.Contains(string(have), path) }
	}
	if needs(s.runDir + "/") {
		if err := p.makeDir(s.runDir); err != nil {
			return err
		}
	}
	if needs(s.stateFile) {
		if err := p.makeFile(s.stateFile, forAll(), "1\n"); err != nil { // the version of the format, and no server
			return err
		}
	}
	if s.certs != "" {
		if err := p.makeSecretDir(s.certs, s.secret().group); err != nil {
			return err
		}
	}
	mapFile, ok := configfile.MapFile(s.managedFile)
	have, err := os.ReadFile(s.managedFile)
	if ok && (err != nil || strings.Contains(string(have), mapFile)) {
		if err := p.makeFile(mapFile, forAll(), ""); err != nil {
			return err
		}
	}
	if s.oneFile() {
		return p.makeFile(s.baseFile, s.secret(), s.base()+"\n"+s.managed())
	}
	if err := p.makeFile(s.baseFile, s.secret(), s.base()); err != nil {
		return err
	}
	if err := p.makeFile(s.managedFile, forAll(), s.managed()); err != nil || !s.systemd {
		return err
	}
	unit := s.unit(s.masterSocket() + ",mode,660,group,haproxy")
	return p.makeFile(dropIn, forAll(), "# Written once by \"hapsync init --systemd\".\n"+unit)
}

func (p program) makeDir(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil { //nolint:gosec // HAProxy's user reads what root writes
		return err
	}
	p.say("created  %s\n", path)
	return nil
}

// makeSecretDir makes a directory that only its owner and a group can read.
func (p program) makeSecretDir(path string, group int) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := p.makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := errors.Join(os.Mkdir(path, 0o750), os.Chown(path, -1, group)); err != nil {
		return err
	}
	p.say("created  %s\n", path)
	return nil
}

// readable says who may read a file besides its owner: all, or a group. Group -1 is that of this process.
type readable struct {
	mode  fs.FileMode
	group int
}

func forAll() readable { return readable{0o644, -1} }

// secret allows HAProxy's group, which the agent has, too: the file has a password.
func (s setup) secret() readable {
	r := readable{0o640, -1}
	if group, err := user.LookupGroup(s.account.name); err == nil {
		r.group, _ = strconv.Atoi(group.Gid)
	}
	return r
}

// makeFile creates a file completely or not at all, and never replaces a file.
func (p program) makeFile(path string, who readable, content string) error {
	if _, err := os.Lstat(path); err == nil {
		p.say("kept     %s (it exists: init never changes a file)\n", path)
		return nil
	}
	if err := p.makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := writeNew(path, who, content); err != nil {
		return err
	}
	p.say("created  %s\n", path)
	return nil
}

func writeNew(path string, who readable, content string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".hapsync-init-*")
	if err != nil {
		return err
	}
	_, err = tmp.WriteString(content)
	err = errors.Join(err, ownedAs(tmp, filepath.Dir(path)), tmp.Chown(-1, who.group), tmp.Chmod(who.mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Link(tmp.Name(), path) // unlike a rename, it fails if path exists
	}
	return errors.Join(err, os.Remove(tmp.Name()))
}

// ownedAs gives a file that root makes in another user's directory to that user, such as the agent's.
func ownedAs(file *os.File, dir string) error {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	if owner.Uid == 0 {
		return nil
	}
	return file.Chown(int(owner.Uid), int(owner.Gid))
}
