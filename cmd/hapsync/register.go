package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/daemon"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
	"github.com/hapsync/hapsync/registry/health"
	"github.com/hapsync/hapsync/registry/registrar"
)

func (p program) registerCommand() *cli.Command {
	value := func(attribute string) func(string) error {
		return func(s string) error { return registry.CheckValue(attribute, s) }
	}
	flags := slices.Concat(hostFlags(), []cli.Flag{
		cli.Text(cli.Spec{Name: "ip", Check: value("ip"), Fallback: "the local one that leads to etcd", Usage: "`ADDRESS` of the host"}),
		cli.Text(cli.Spec{Name: "port", Required: true, Check: value("port"), Usage: "`PORT` of the host"}),
		cli.Text(cli.Spec{Name: "weight", Check: value("weight"), Fallback: "1", Usage: "`WEIGHT` of the host, 0 to 256, relative to the others"}),
		cli.Text(cli.Spec{Name: "maxconn", Check: value("maxconn"), Fallback: "no limit", Usage: "most concurrent `CONNECTIONS`"}),
		cli.Toggle(cli.Spec{Name: "backup", Usage: "use the host only when all others are down"}),
		cli.Toggle(cli.Spec{Name: "one-key",
			Usage: "write the address as ip:port into one key, the host itself, as other tools read it, and not as the keys ip and port"}),
		cli.Text(cli.Spec{Name: "ttl", Value: "15s", Check: leaseTime, Usage: "`TIME` after which a host that has died is out of the registry"}),
		drainFlag(),
	}, waitFlags("leave again unless every agent that reports applies the registration in time"), []cli.Flag{
		cli.Toggle(cli.Spec{Name: "replace", Usage: "take the name over from the one that has it"}),
		cli.Text(cli.Spec{Name: "check", Check: checkSpec,
			Usage: "`CHECK` the host, and register it only while it is good: http://127.0.0.1:10000/health, tcp://127.0.0.1:10000, exec:/path"}),
		cli.Text(cli.Spec{Name: "interval", Value: "2s", Check: cli.Duration, Usage: "`TIME` between two checks"}),
		cli.Text(cli.Spec{Name: "timeout", Value: "1s", Check: cli.Duration, Usage: "`TIME` after which a check has failed"}),
		cli.Text(cli.Spec{Name: "rise", Value: "2", Check: number, Usage: "good `CHECKS` in a row after which the host is good"}),
		cli.Text(cli.Spec{Name: "fall", Value: "3", Check: number, Usage: "bad `CHECKS` in a row after which it is bad"}),
	}, dockerFlags(), cli.SharedFlags(cli.HAProxy))
	return p.environment().Command(&cli.Command{
		Name:      "register",
		Category:  groupHosts,
		Usage:     "register a host for as long as it runs, and run its command; or this machine's containers",
		ArgsUsage: "[-- COMMAND [ARGUMENT...]]",
		Flags:     flags,
		Action:    p.register,
	}, cli.Page{
		Description: `Writes all keys of the host in one transaction, under a lease that it keeps alive. A lease that is lost is followed
by a new one, with the keys again. SIGTERM, SIGINT and SIGHUP take the host out: state drain, the time of --drain, state maint,
and the keys are deleted. A second signal deletes them at once, a third one ends hapsync, whatever it is doing. A host that dies without
that leaves when its lease ends, after --ttl.

With --wait the host stays only if every agent applies the registration before --wait-timeout; then systemd is told that
it is ready (Type=notify).

If another process has the name, register refuses, unless --replace is given. With --check the host is in the registry once it is good;
when it turns bad its state becomes maint, and ready again later. A state that an operator sets stays until hapsync ready.

A command after -- is started. The host is registered when the command takes connections, or when --check says that it is good.
SIGTERM and SIGINT take the host out first, and are then passed on; a second one kills the command. Other signals are passed on
at once. If the host cannot be registered, the command gets SIGTERM, and SIGKILL 10 seconds later. When the
command ends, hapsync takes the host out, and ends with the same code (128 and the number for a signal).

With --docker the containers of this machine's Docker engine are registered that have the label hapsync.domain. The labels
hapsync.host, .port, .weight, .check and .network say more. A host is called <machine>_<container> if no label names it,
follows Docker's HEALTHCHECK, and leaves when the container is told to stop. --host is then the name of the machine.
--domains says which domains containers may claim; --replace takes over only names at this machine's or the container's own address.`,
		Example: `
hapsync register --domain a.abc.com --host server1 --ip 10.0.0.1 --port 10000
hapsync register --domain a.abc.com --port 10000 --check http://127.0.0.1:10000/health
hapsync register --domain a.abc.com --port 10000 -- /usr/local/bin/server --listen :10000
hapsync register --docker`,
		ExitCodes: `0 ended by SIGTERM, SIGINT or SIGHUP; 1 error, or another has the name; 2 usage; 3 the user may not register it; 7 --wait: not in effect; otherwise with a command after --: that of the command`,
	})
}

// leaseTime checks the TTL of a lease.
func leaseTime(s string) error {
	if d, err := time.ParseDuration(s); err != nil || d < 2*time.Second || d%time.Second != 0 {
		return errors.New("must be whole seconds, 2s or more, such as 15s")
	}
	return nil
}

func (p program) register(c *cli.Context) error {
	if c.Bool("docker") {
		return p.registerContainers(c)
	}
	words, err := p.words(c)
	if err != nil {
		return err
	}
	client, err := p.client(c)
	if err != nil {
		return err
	}
	defer client.Close()
	conf, err := p.registration(c, client, len(words) > 0)
	if err != nil {
		return err
	}
	r, err := registrar.New(conf)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return taken(untilSignals(c.Context, conf.Logger, r.Run))
	}
	child, err := registrar.Start(words, p.stdout, p.stderr)
	if err != nil {
		return err
	}
	return taken(r.RunWith(c.Context, child))
}

// words are the command after --; none if there is no --.
func (p program) words(c *cli.Context) ([]string, error) {
	words := c.Args().Slice()
	at := len(p.args) - len(words) - 1
	behind := at >= 0 && p.args[at] == "--"
	switch {
	case len(words) > 0 && !behind:
		return nil, cli.Usagef(c, "stray argument %q (a command comes after --)", words[0])
	case behind && (len(words) == 0 || words[0] == ""):
		return nil, cli.Usagef(c, "no command after --: give one, or leave -- out to register the host without a command (is a variable empty?)")
	}
	return words, nil
}

// taken adds a remedy to the error that another host has the name.
func taken(err error) error {
	var held *etcd.HeldError
	if errors.As(err, &held) {
		return fmt.Errorf("%w: end that registration, give another --host, or take the name over with --replace", err)
	}
	return err
}

// registration is what the flags describe.
func (p program) registration(c *cli.Context, client *etcd.Client, command bool) (registrar.Config, error) {
	log := p.environment().Logger(c)
	waiter, err := newWaiter(c)
	if err != nil {
		return registrar.Config{}, err
	}
	host, err := p.hostOf(c, log)
	if err != nil {
		return registrar.Config{}, err
	}
	conf := registrar.Config{
		Client: client, Domain: c.String("domain"), Host: host, TTL: c.Duration("ttl"), Drain: c.Duration("drain"),
		Replace: c.Bool("replace"), Logger: log,
	}
	conf.Confirm = func(ctx context.Context, at registry.Revision) error {
		if waiter != nil {
			n, err := waiter.wait(ctx, client, registry.Ack{Revision: at, Domain: strings.ToLower(conf.Domain), Host: host.Name}, nil)
			if err != nil {
				return err
			}
			log.Info("applied by every agent", "agents", n, "revision", at)
		}
		daemon.Notify(log, daemon.Ready)
		return nil
	}
	switch check := c.String("check"); {
	case check != "":
		probe, err := health.Parse(check)
		if err != nil {
			return registrar.Config{}, cli.Usagef(c, "--check: %q %w", check, err)
		}
		times := checkTimes(c)
		times.Probe = probe
		conf.Check = &times
	case command:
		conf.UntilGood = true
		conf.Check = &health.Check{Probe: health.TCP(host.Addr.String()), Rise: 1, Fall: 1,
			Interval: 100 * time.Millisecond, Timeout: time.Second}
	}
	return conf, nil
}

// checkTimes are a check without its probe.
func checkTimes(c *cli.Context) health.Check {
	return health.Check{Interval: c.Duration("interval"), Timeout: c.Duration("timeout"), Rise: c.Int("rise"), Fall: c.Int("fall")}
}

// checkSpec checks the flag --check.
func checkSpec(value string) error {
	_, err := health.Parse(value)
	return err
}

// hostOf is the host that the flags describe.
func (p program) hostOf(c *cli.Context, log *slog.Logger) (registry.Host, error) {
	_, name, err := hostName(c)
	if err != nil {
		return registry.Host{}, err
	}
	values := map[string]string{}
	if c.IsSet("backup") {
		values["backup"] = strconv.FormatBool(c.Bool("backup"))
	}
	for _, attribute := range []string{"ip", "port", "weight", "maxconn"} {
		if value := c.String(attribute); value != "" {
			values[attribute] = value
		}
	}
	if values["port"] == "" {
		return registry.Host{}, cli.Usagef(c, "--port: no port given")
	}
	if values["ip"] == "" {
		ip, err := machineIP(c, log)
		if err != nil {
			return registry.Host{}, err
		}
		values["ip"] = ip.String()
	}
	host, err := registry.ParseHost(name, values)
	if err != nil {
		return registry.Host{}, cli.Usage(c, err)
	}
	allowed, err := addresses(c)
	if err == nil {
		err = allowed.Check(host.Addr)
	}
	if err != nil {
		return registry.Host{}, cli.Usage(c, err)
	}
	host.OneKey = c.Bool("one-key")
	return host, nil
}

// localIP is this machine's address on the route to the first endpoint that has a route. It sends no packet.
func localIP(ctx context.Context, endpoints []string) (netip.Addr, error) {
	err := errors.New("no endpoint")
	for _, endpoint := range endpoints {
		if _, after, ok := strings.Cut(endpoint, "://"); ok {
			endpoint = after
		}
		var conn net.Conn
		if conn, err = new(net.Dialer).DialContext(ctx, "udp", strings.TrimRight(endpoint, "/")); err == nil {
			_ = conn.Close()
			return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
		}
	}
	return netip.Addr{}, err
}
