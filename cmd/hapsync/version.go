package main

import (
	"cmp"
	"fmt"
	"runtime/debug"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
)

// version, commit and date are set by the linker, with -ldflags "-X main.version=v1.2.3". Commit and date are needed only if Go
// does not see the repository.
var version, commit, date string

func (p program) versionCommand() *cli.Command {
	return p.environment().Command(&cli.Command{
		Name:     "version",
		Category: groupSetUp,
		Usage:    "print the versions of hapsync and of the libraries that edit HAProxy's configuration",
		Flags:    append([]cli.Flag{cli.OutputFlag()}, cli.SharedFlags(cli.Registry, cli.HAProxy)...),
		Action:   p.printVersion,
	}, cli.Page{
		Description: `Prints what this program was built from. Please add it to a bug report, beside "haproxy -v".`,
		Example:     "hapsync version\nhapsync version -o json",
	})
}

// A build is what the program was built from; a field is empty if the build does not say.
type build struct {
	Version      string `json:"version" doc:"version of hapsync"`
	Commit       string `json:"commit" doc:"commit that it was built from; empty if the build does not say"`
	Date         string `json:"date" doc:"date of that commit, in UTC; empty if the build does not say"`
	Go           string `json:"go" doc:"version of Go"`
	ClientNative string `json:"client_native" doc:"version of haproxytech/client-native"`
	ConfigParser string `json:"config_parser" doc:"version of haproxytech/config-parser"`
}

// thisBuild reads the build of the running program.
func thisBuild() build {
	b := build{Version: cmp.Or(version, "(devel)"), Commit: commit, Date: date}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	b.Version = cmp.Or(version, info.Main.Version, b.Version)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = cmp.Or(commit, s.Value)
		case "vcs.time":
			b.Date = cmp.Or(date, s.Value)
		}
	}
	for _, dep := range info.Deps {
		switch dep.Path {
		case "github.com/haproxytech/client-native/v5":
			b.ClientNative = dep.Version
		case "github.com/haproxytech/config-parser/v5":
			b.ConfigParser = dep.Version
		}
	}
	return b
}

func (p program) printVersion(c *cli.Context) error {
	b := thisBuild()
	if c.String("output") == "json" {
		return render.JSON(p.stdout, b)
	}
	const format = "hapsync %s\ncommit         %s\ndate           %s\ngo             %s\nclient-native  %s\nconfig-parser  %s\n"
	_, err := fmt.Fprintf(p.stdout, format, b.Version,
		render.Dash(b.Commit), render.Dash(b.Date), render.Dash(b.Go), render.Dash(b.ClientNative), render.Dash(b.ConfigParser))
	return err
}
