// Command hapsync-demo is the playground: etcd, HAProxy and a few web servers on this machine, without configuration, and a
// tour of hapsync. It runs the real hapsync binary, checks everything that it shows, and ends all processes that it started.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/mattn/go-isatty"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// options are the command line.
type options struct {
	hapsync string // the path of the binary
	haproxy string // the path of the binary
	exit    bool   // end after the tour
}

func main() {
	// Linux ends the children together with the thread that started them (Pdeathsig). The main thread lives as long as the process.
	runtime.LockOSThread()
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	opts, err := parse(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	context.AfterFunc(ctx, stop) // a second ^C ends the demo at once

	out := newPrinter(os.Stdout)
	err = play(ctx, opts, out)
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "\nhapsync-demo: interrupted")
		return exitInterrupted
	}
	fmt.Fprintf(os.Stderr, "\nhapsync-demo: %v\n", err)
	return exitFailed
}

// parse reads the command line and finds the binaries. It writes errors to stderr.
func parse(args []string, stderr io.Writer) (options, error) {
	var opts options
	flags := flag.NewFlagSet("hapsync-demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&opts.hapsync, "hapsync", beside("hapsync"), "`path` of the hapsync binary")
	flags.StringVar(&opts.haproxy, "haproxy", "haproxy", "HAProxy's `binary`: a path, or a name to be found in PATH")
	flags.BoolVar(&opts.exit, "exit", false, "end after the tour: code 0 if all of it went well, else 1 (always if standard input is no terminal)")
	flags.Usage = func() {
		fmt.Fprintf(stderr, "hapsync-demo: etcd, HAProxy and a few web servers on this machine, and a tour of hapsync\n\n"+
			"Usage: hapsync-demo [--exit] [--hapsync PATH] [--haproxy BINARY]\n\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	opts.exit = opts.exit || unattended(os.Stdin)
	err := opts.find()
	if flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(stderr, "hapsync-demo: %v\n", err)
	}
	return opts, err
}

// unattended reports whether no one can press ^C: standard input is closed, or no terminal.
func unattended(stdin *os.File) bool { return !isatty.IsTerminal(stdin.Fd()) }

// find turns the names of the binaries into absolute paths.
func (o *options) find() error {
	path, err := exec.LookPath(o.hapsync)
	if err != nil {
		return fmt.Errorf("no hapsync: %w (`make build` makes it; --hapsync says where it is)", err)
	}
	if o.hapsync, err = filepath.Abs(path); err != nil {
		return err
	}
	if path, err = exec.LookPath(o.haproxy); err != nil {
		return fmt.Errorf("no HAProxy: %w (`make deps` installs it; --haproxy says where it is)", err)
	}
	o.haproxy, err = filepath.Abs(path)
	return err
}

// beside returns the path of a file in the directory of this program.
func beside(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(self), name)
}
