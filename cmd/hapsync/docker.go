package main

import (
	"context"
	"log/slog"
	"net/netip"
	"os"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"

	"github.com/hapsync/hapsync/registry/docker"
)

// dockerFlags are those of hapsync register --docker.
func dockerFlags() []cli.Flag {
	return []cli.Flag{
		cli.Toggle(cli.Spec{Name: "docker", Usage: "register the containers of this machine's Docker engine that have the label " + docker.LabelDomain}),
		cli.Toggle(cli.Spec{Name: "internal", Usage: "with --docker: take the address that a container has in its network, not its published port"}),
		cli.Toggle(cli.Spec{Name: "registrator-names", Usage: "with --docker: take registrator's SERVICE_NAME and SERVICE_<port>_NAME, too"}),
		cli.Text(cli.Spec{Name: "resync", Value: "60s", Check: cli.Duration,
			Usage: "with --docker: `TIME` after which the containers are read and compared although nothing is known to have changed"}),
	}
}

// replacedByLabels are flags that do not go with --docker, and the labels that replace them.
func replacedByLabels() [][2]string {
	return [][2]string{{"domain", docker.LabelDomain}, {"port", docker.LabelPort}, {"weight", docker.LabelWeight},
		{"check", docker.LabelCheck}, {"maxconn", ""}, {"backup", ""}}
}

// registerContainers is hapsync register --docker.
func (p program) registerContainers(c *cli.Context) error {
	conf, err := p.dockerConfig(c)
	if err != nil {
		return err
	}
	if conf.Engine, err = docker.Open(""); err != nil {
		return cli.Usage(c, err)
	}
	defer conf.Engine.Close()
	if conf.Client, err = p.client(c); err != nil {
		return err
	}
	defer conf.Client.Close()
	return untilSignals(c.Context, conf.Logger, func(ctx, alive context.Context) error {
		docker.New(conf).Run(ctx, alive)
		return nil
	})
}

// dockerConfig is what the flags say.
func (p program) dockerConfig(c *cli.Context) (docker.Config, error) {
	if words := c.Args().Slice(); len(words) > 0 {
		return docker.Config{}, cli.Usagef(c, "--docker takes no command: %q", words[0])
	}
	for _, flag := range replacedByLabels() {
		switch value := c.String(flag[0]); {
		case value == "" || value == "false":
		case flag[1] == "":
			return docker.Config{}, cli.Usagef(c, "--%s does not go with --docker", flag[0])
		default:
			return docker.Config{}, cli.Usagef(c, "--%s does not go with --docker: each container says it with its label %s", flag[0], flag[1])
		}
	}
	log := p.environment().Logger(c)
	domains, err := patterns(c)
	if err != nil {
		return docker.Config{}, err
	}
	settings := docker.Settings{
		Machine: c.String("host"), Internal: c.Bool("internal"), RegistratorNames: c.Bool("registrator-names"),
		OneKey: c.Bool("one-key"), Domains: domains,
	}
	if settings.Machine == "" {
		name, err := os.Hostname()
		if err != nil {
			return docker.Config{}, cli.Usagef(c, "--host: not given, and this machine has no name: %w", err)
		}
		settings.Machine = name
	}
	if settings.Addresses, err = addresses(c); err != nil {
		return docker.Config{}, err
	}
	settings.IP, err = machineIP(c, log)
	return docker.Config{
		Settings: settings, TTL: c.Duration("ttl"), Drain: c.Duration("drain"), Replace: c.Bool("replace"),
		Check: checkTimes(c), Resync: c.Duration("resync"), Logger: log,
	}, err
}

// machineIP is --ip, or else the local address of the route to etcd.
func machineIP(c *cli.Context, log *slog.Logger) (netip.Addr, error) {
	if value := c.String("ip"); value != "" {
		ip, err := netip.ParseAddr(value)
		if err != nil {
			return netip.Addr{}, cli.Usagef(c, "--ip: %w", err)
		}
		return ip.Unmap(), nil
	}
	ip, err := localIP(c.Context, cli.Words(c.StringSlice("endpoints")...))
	if err != nil {
		return netip.Addr{}, cli.Usagef(c, "--ip: not given, and no local address found: %w", err)
	}
	log.Info("the host's address is the local one that leads to etcd", "ip", ip.String())
	if ip.IsLoopback() {
		log.Warn("only this machine reaches that address: give another one with --ip, unless HAProxy runs here", "ip", ip.String())
	}
	return ip, nil
}
