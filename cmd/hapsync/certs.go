package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/daemon"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/certfile"
)

// certsFlag is the directory of certificates that the agent watches.
func certsFlag() cli.Flag {
	return cli.Text(cli.Spec{Name: "certs", Check: certfile.CheckDir,
		Usage: "`DIRECTORY` that HAProxy loads certificates from (bind ... ssl crt DIRECTORY): new and changed ones are put into it without a reload"})
}

func (p program) certsCommand() *cli.Command {
	flags := []cli.Flag{
		certsFlag(), cli.OutputFlag(),
		cli.Toggle(cli.Spec{Name: "load", Usage: "put those that are new or changed into the running HAProxy"}),
	}
	return p.environment().Command(&cli.Command{
		Name:     "certs",
		Category: groupLook,
		Usage:    "show the certificates of a directory, and what HAProxy has of them",
		Flags:    append(flags, cli.SharedFlags(cli.Registry)...),
		Action:   p.certs,
	}, cli.Page{
		Description: `Each file of --certs with its names, when it expires, and whether HAProxy's process has it: loaded, changed (the process
has another one), new (the process has none), waiting (it was written a moment ago), or bad. A file has a certificate, its chain and its key, one after the
other. Before HAProxy gets it, it is looked at: it must be whole, its key must belong to it, it must be valid, and for
a name. With --load those that are new or changed go into the process, without a reload; the agent does that, too, if it has --certs.
Keys go to HAProxy's stats socket, and nowhere else.`,
		Example: `
hapsync certs --certs /etc/haproxy/certs
hapsync certs --certs /etc/haproxy/certs --load
hapsync certs --certs /etc/haproxy/certs -o json`,
		ExitCodes: `0 shown, or put into HAProxy; 1 error, or a file cannot be used; 2 usage; 4 HAProxy not reachable`,
	})
}

func (p program) certs(c *cli.Context) error {
	dir := c.String("certs")
	if dir == "" {
		return cli.Usagef(c, "--certs: name the directory, such as /etc/haproxy/certs")
	}
	settings, err := p.haproxySettings(c)
	if err != nil {
		return err
	}
	target, err := p.open(settings)
	if err != nil {
		return err
	}
	page := render.Certificates{Version: 1, Directory: dir, Loaded: []string{}}
	var loaded []haproxy.Certificate
	if c.Bool("load") {
		select {
		case <-time.After(certfile.Fresh): // a script may have written a file just before
		case <-c.Done():
			return c.Err()
		}
		loaded, page.Certificates, err = target.LoadCertificates(c.Context, dir)
	} else {
		page.Certificates, err = target.Certificates(c.Context, dir)
	}
	for _, l := range loaded {
		page.Loaded = append(page.Loaded, l.File)
	}
	if len(page.Certificates) > 0 || err == nil {
		err = errors.Join(err, p.write(c, page))
	}
	if bad := page.Bad(); err == nil && bad > 0 {
		err = fmt.Errorf("%d of %d files cannot be used: the reasons stand above", bad, len(page.Certificates))
	}
	return err
}

// watchedCerts is the agent's watch of the certificates; nil if no directory is given.
func watchedCerts(c *cli.Context, loader daemon.CertLoader, log *slog.Logger) *daemon.Certs {
	dir := c.String("certs")
	if dir == "" {
		return nil
	}
	return &daemon.Certs{Dir: dir, Loader: loader, Log: log}
}

// checkCertificates returns the warnings about certificates; nil if no directory is given.
func checkCertificates(ctx context.Context, dir string, instance target) []haproxy.Finding {
	if dir == "" {
		return nil
	}
	all, err := instance.Certificates(ctx, dir)
	var found []haproxy.Finding
	for _, line := range haproxy.Warnings(all, time.Now()) {
		found = append(found, haproxy.Finding{Level: haproxy.LevelWarn, What: "certificates", Detail: strings.TrimPrefix(line, "certificate ")})
	}
	switch {
	case err != nil:
		found = append(found, haproxy.Finding{Level: haproxy.LevelWarn, What: "certificates", Detail: err.Error()})
	case len(found) == 0:
		found = append(found, haproxy.Finding{Level: haproxy.LevelOK, What: "certificates", Detail: fmt.Sprintf("%d in %s", len(all), dir)})
	}
	return found
}
