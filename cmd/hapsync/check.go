package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

func (p program) checkCommand() *cli.Command {
	return p.command(&cli.Command{
		Name:   "check",
		Usage:  "can everything be reached and done? one line each, with the way out",
		Flags:  sharedFlags(),
		Action: p.check,
	}, page{
		description: `Looks at the registry, the files, the haproxy program, the running process and its sockets, and says of each
whether it is as hapsync needs it (ok), works but should be mended (warn), or stands in the way (fail).
It reads only.`,
		example:   `hapsync check --endpoints http://10.0.0.11:2379`,
		exitCodes: `0 nothing failed; 1 error; 2 usage; 3 the registry failed first; 4 HAProxy failed first; 130 interrupted`,
	})
}

func (p program) check(c *cli.Context) error {
	settings, err := p.haproxySettings(c)
	if err != nil {
		return err
	}
	found, err := p.checkRegistry(c)
	if err != nil {
		return err
	}
	failed := p.report(nil, found)
	return p.report(failed, p.checkHAProxy(c.Context, settings))
}

// A finding is what check says of one thing.
type finding struct {
	level  string // ok, warn or fail
	what   string
	detail string
	remedy string
	err    error // behind a failure
}

// report prints findings and returns the first failure, which may be from before.
func (p program) report(failed error, findings []finding) error {
	for _, f := range findings {
		p.say("%s\n", f)
		if f.level == "fail" && failed == nil {
			failed = checkError{f.what, f.err}
		}
	}
	return failed
}

// A checkError is the first failure, which decides the exit code; its reason is on standard output already.
type checkError struct {
	what string
	err  error
}

func (e checkError) Error() string { return "check: " + e.what + " failed, see above" }
func (e checkError) Unwrap() error { return e.err }

func (f finding) String() string {
	line := fmt.Sprintf("%-5s%s", f.level, f.what)
	if f.detail != "" {
		line += ": " + f.detail
	}
	if f.remedy != "" && f.level != "ok" {
		line += " (" + f.remedy + ")"
	}
	return line
}

// checkRegistry returns an error only for settings that cannot be followed.
func (p program) checkRegistry(c *cli.Context) ([]finding, error) {
	what := "registry " + strings.Join(words(c.StringSlice("endpoints")...), ", ")
	source, err := p.registry(c)
	if isUsage(err) {
		return nil, err
	}
	if err != nil {
		return []finding{{level: "fail", what: what, detail: err.Error(), err: err}}, nil
	}
	defer source.Close()
	s, err := source.Snapshot(c.Context)
	if err != nil {
		return []finding{{level: "fail", what: what, detail: err.Error(), err: err}}, nil
	}
	prefix := c.String("prefix")
	found := []finding{{level: "ok", what: what, detail: fmt.Sprintf("revision %d, %s below %s, %s",
		s.Revision, count(s.Keys, "key"), prefix, count(len(s.Domains), "domain"))}}
	if s.Keys == 0 {
		found = append(found, finding{level: "warn", what: "prefix " + prefix, detail: "there is no key below it",
			remedy: "nothing is registered yet, or the prefix is another one: --prefix"})
	}
	if len(s.Problems) > 0 {
		found = append(found, finding{level: "warn", what: "keys", detail: count(len(s.Problems), "problem"),
			remedy: "hapsync list names the keys and the reasons"})
	}
	return found, nil
}
