package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/containers"
)

// dockerFlags are those of hapsync register --docker.
func dockerFlags() []cli.Flag {
	return []cli.Flag{
		toggle(spec{name: "docker", usage: "register the containers of this machine's Docker engine that have the label " + containers.LabelDomain}),
		toggle(spec{name: "internal", usage: "with --docker: take the address that a container has in its network, not its published port"}),
		toggle(spec{name: "registrator-names", usage: "with --docker: take registrator's SERVICE_NAME and SERVICE_<port>_NAME, too"}),
		text(spec{name: "resync", value: "60s", check: duration,
			usage: "with --docker: `TIME` after which the containers are read and compared although nothing is known to have changed"}),
	}
}

// ofContainers are the flags whose place labels take, and the labels.
func ofContainers() [][2]string {
	return [][2]string{{"domain", containers.LabelDomain}, {"port", containers.LabelPort}, {"weight", containers.LabelWeight},
		{"check", containers.LabelCheck}, {"maxconn", ""}, {"backup", ""}}
}

// registerContainers is hapsync register --docker.
func (p program) registerContainers(c *cli.Context) error {
	d, err := p.newDock(c)
	if err != nil {
		return err
	}
	defer d.engine.Close()
	if d.client, err = p.client(c); err != nil {
		return err
	}
	defer d.client.Close()
	d.run(c.Context)
	return nil
}

// newDock reads the flags.
func (p program) newDock(c *cli.Context) (*dock, error) {
	if words := c.Args().Slice(); len(words) > 0 {
		return nil, usagef(c, "--docker takes no command: %q", words[0])
	}
	for _, flag := range ofContainers() {
		switch value := c.String(flag[0]); {
		case value == "" || value == "false":
		case flag[1] == "":
			return nil, usagef(c, "--%s does not go with --docker", flag[0])
		default:
			return nil, usagef(c, "--%s does not go with --docker: each container says it with its label %s", flag[0], flag[1])
		}
	}
	log := p.logger(c)
	settings := containers.Settings{Machine: c.String("host"), Internal: c.Bool("internal"), RegistratorNames: c.Bool("registrator-names")}
	if settings.Machine == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, usagef(c, "--host: not given, and this machine has no name: %w", err)
		}
		settings.Machine = name
	}
	ip, err := machineIP(c, log)
	if err != nil {
		return nil, err
	}
	settings.IP = ip
	engine, err := containers.Open()
	if err != nil {
		return nil, usageError{command: commandName(c), err: err}
	}
	return &dock{
		engine: engine, settings: settings, log: log, wake: make(chan struct{}, 1), resync: c.Duration("resync"),
		conf: stayConfig{ttl: c.Duration("ttl"), drain: c.Duration("drain"), replace: c.Bool("replace"), gate: gate{
			interval: c.Duration("interval"), timeout: c.Duration("timeout"), rise: c.Int("rise"), fall: c.Int("fall")}},
	}, nil
}

// machineIP is what --ip says, or else the local address that leads to etcd.
func machineIP(c *cli.Context, log *slog.Logger) (netip.Addr, error) {
	if value := c.String("ip"); value != "" {
		ip, err := netip.ParseAddr(value)
		if err != nil {
			return netip.Addr{}, usagef(c, "--ip: %w", err)
		}
		return ip.Unmap(), nil
	}
	ip, err := localIP(c.Context, words(c.StringSlice("endpoints")...))
	if err != nil {
		return netip.Addr{}, usagef(c, "--ip: not given, and no local address found: %w", err)
	}
	log.Info("the host is registered with the local address that leads to etcd", "ip", ip.String())
	if ip.IsLoopback() {
		log.Warn("only this machine reaches that address: give another one with --ip, unless HAProxy runs here", "ip", ip.String())
	}
	return ip, nil
}

// checkOf is the probe of a container's check; nil where it has none.
func checkOf(host containers.Host) probe {
	switch host.Check {
	case "":
		return nil
	case "tcp":
		return tcpProbe(host.Addr.String())
	}
	return httpProbe(fmt.Sprintf("http://%s%s", host.Addr, host.Check))
}
