package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
)

// hostFlags name a host of a domain.
func hostFlags() []cli.Flag {
	return []cli.Flag{
		cli.Text(cli.Spec{Name: "domain", Required: true, Check: registry.CheckDomain, Usage: "the `DOMAIN` that the host serves"}),
		cli.Text(cli.Spec{Name: "host", Check: registry.CheckHost,
			Fallback: "the machine's host name", Usage: "`NAME` of the host: the name of its server in HAProxy, and its cookie"}),
	}
}

func drainFlag() cli.Flag {
	return cli.Text(cli.Spec{Name: "drain", Value: "5s", Check: pause,
		Usage: "`TIME` in drain before the host leaves; 0s for none"})
}

// pause checks a duration that may be 0.
func pause(s string) error {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return errors.New("must be a time with its unit, such as 5s, or 0s")
	case d < 0:
		return errors.New("must not be less than 0: a time such as 5s, or 0s")
	}
	return nil
}

// hostName is the domain and the host of the flags.
func hostName(c *cli.Context) (domain, host string, err error) {
	if domain = c.String("domain"); domain == "" {
		return "", "", cli.Usagef(c, "--domain: no domain given")
	}
	if host = c.String("host"); host != "" {
		return domain, host, nil
	}
	if host, err = os.Hostname(); err == nil {
		err = registry.CheckHost(host)
	}
	if err != nil {
		return "", "", cli.Usagef(c, "--host: the machine's host name cannot be used: %w", err)
	}
	return domain, host, nil
}

// namedHost is the domain and the host of the arguments, "a.abc.com/web1" or "a.abc.com web1"; without arguments, those of the
// flags.
func namedHost(c *cli.Context, args []string) (domain, host string, err error) {
	if len(args) == 0 && c.String("domain") == "" && !c.IsSet("host") {
		return "", "", cli.Usagef(c, "which host? such as hapsync %s a.abc.com/web1", c.Command.Name)
	}
	if len(args) == 0 {
		return hostName(c)
	}
	if c.String("domain") != "" || c.IsSet("host") {
		return "", "", cli.Usagef(c, "%s: the host is named twice, as an argument and by a flag", strings.Join(args, " "))
	}
	domain, host, err = splitName(c, args)
	if err == nil && host == "" {
		err = fmt.Errorf("%s: which host? such as %[1]s/web1", domain)
	}
	if err != nil {
		return "", "", cli.Usage(c, err)
	}
	return domain, host, nil
}

// splitName parses "domain/host", "domain host" or "domain".
func splitName(c *cli.Context, args []string) (domain, host string, err error) {
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			return "", "", fmt.Errorf("stray argument %q (flags come before arguments)", arg)
		}
	}
	typed := strings.Join(args, " ")
	words := strings.Split(strings.Join(args, "/"), "/")
	if strings.HasPrefix(typed, "/") {
		key := strings.Trim(strings.TrimPrefix(typed, strings.TrimRight(c.String("prefix"), "/")), "/")
		words = strings.Split(key, "/")
		return "", "", fmt.Errorf("%q is a key of etcd: name the host without the prefix, as %s", typed, strings.Join(words[:min(2, len(words))], "/"))
	}
	if len(words) > 2 {
		return "", "", fmt.Errorf("%q has more than a domain and a host: name them as a.abc.com/web1", typed)
	}
	domain, host, _ = strings.Cut(strings.Join(args, "/"), "/")
	if err = registry.CheckDomain(domain); err == nil && host != "" {
		err = registry.CheckHost(host)
	}
	return strings.ToLower(domain), host, err
}

func (p program) deregisterCommand() *cli.Command {
	return p.environment().Command(&cli.Command{
		Name:      "deregister",
		ArgsUsage: "[DOMAIN HOST]",
		Category:  groupHosts,
		Usage:     "take a host out of the registry, also one that is registered elsewhere",
		Flags:     slices.Concat(hostFlags(), []cli.Flag{drainFlag()}, waitFlags(waitUntilApplied), cli.SharedFlags(cli.HAProxy)),
		Action:    p.deregister,
	}, cli.Page{
		Description: `Sets the host's state to drain, waits, sets it to maint and deletes its keys: no request fails. A hapsync register
that runs for the host sees that it was taken out on purpose, and leaves it out until it is started again. With --wait it
ends when every agent has applied that, and no session is left on the host.`,
		Example:   "hapsync deregister --drain 30s a.abc.com/server1\nhapsync deregister --domain a.abc.com --host server1",
		ExitCodes: `0 out; 1 error, or there is no such host; 2 usage; 3 registry not reachable; 7 --wait: not in effect; 130 interrupted`,
	})
}

func (p program) deregister(c *cli.Context) error {
	domain, host, err := namedHost(c, c.Args().Slice())
	if err != nil {
		return err
	}
	wait, err := newWaiter(c)
	if err != nil {
		return err
	}
	client, err := p.client(c)
	if err != nil {
		return err
	}
	defer client.Close()
	end := p.progress.on("%s, and for the drain of %s", etcdOf(c), c.Duration("drain"))
	at, undrained, err := client.Deregister(c.Context, domain, host, c.Duration("drain"))
	end()
	if err != nil {
		return err
	}
	if undrained != nil {
		p.environment().Logger(c).Warn("etcd let the host be deleted only: it left without a drain", "error", undrained)
	}
	p.say("%s/%s is out of the registry\n", domain, host)
	return p.await(c, client, wait, registry.Ack{Revision: at, Domain: strings.ToLower(domain), Host: host, Finished: true})
}

func (p program) stateCommand(state registry.HostState, usage, description string) *cli.Command {
	return p.environment().Command(&cli.Command{
		Name:      string(state),
		ArgsUsage: "[DOMAIN HOST]",
		Category:  groupHosts,
		Usage:     usage,
		Flags:     slices.Concat(hostFlags(), waitFlags(waitUntilApplied), cli.SharedFlags(cli.HAProxy)),
		Action:    func(c *cli.Context) error { return p.setHost(c, c.Args().Slice(), "state", string(state)) },
	}, cli.Page{
		Description: description,
		Example:     fmt.Sprintf("hapsync %s a.abc.com/server1\nhapsync %[1]s --domain a.abc.com --host server1", state),
		ExitCodes:   `0 set; 1 error, or there is no such host; 2 usage; 3 registry not reachable; 7 --wait: not in effect; 130 interrupted`,
	})
}

func (p program) readyCommand() *cli.Command {
	return p.stateCommand(registry.Ready, "let a host take requests again",
		`Sets the host's state to ready. If hapsync register checks the host, the state follows that check from then on.`)
}

func (p program) drainCommand() *cli.Command {
	return p.stateCommand(registry.Drain, "let a host finish with the clients that it has",
		`Sets the host's state to drain: it gets no new clients; those with its cookie still come. It stays so until hapsync ready.
With --wait it ends when every agent has applied that, and no session is left on the host at some moment since.`)
}

func (p program) maintCommand() *cli.Command {
	return p.stateCommand(registry.Maint, "take a host out of service for maintenance",
		`Sets the host's state to maint: it gets no requests. It stays so until hapsync ready.`)
}

func (p program) weightCommand() *cli.Command {
	return p.environment().Command(&cli.Command{
		Name:      "weight",
		Category:  groupHosts,
		Usage:     "set the weight of a host",
		ArgsUsage: "[DOMAIN HOST] WEIGHT",
		Flags:     slices.Concat(hostFlags(), waitFlags(waitUntilApplied), cli.SharedFlags(cli.HAProxy)),
		Action: func(c *cli.Context) error {
			name, value, err := splitWeight(c, c.Args().Slice())
			if err != nil {
				return cli.Usage(c, err)
			}
			return p.setHost(c, name, "weight", value)
		},
	}, cli.Page{
		Description: `Sets the host's weight, 0 to 256, relative to the others of the domain.`,
		Example:     "hapsync weight a.abc.com/server1 10\nhapsync weight --domain a.abc.com --host server1 10",
		ExitCodes:   `0 set; 1 error, or there is no such host; 2 usage; 3 registry not reachable; 7 --wait: not in effect; 130 interrupted`,
	})
}

// splitWeight splits the arguments of hapsync weight into those that name the host, and the weight.
func splitWeight(c *cli.Context, args []string) (name []string, weight string, err error) {
	last := len(args) - 1
	if last >= 0 {
		if err = registry.CheckValue("weight", args[last]); err == nil {
			return args[:last], args[last], nil
		}
	}
	switch domain := c.String("domain"); {
	case last < 0 && domain != "":
		return nil, "", fmt.Errorf("which weight? such as hapsync weight --domain %s --host %s 10", domain, cmp.Or(c.String("host"), "web1"))
	case last < 0:
		return nil, "", errors.New("which weight? such as hapsync weight a.abc.com/web1 10")
	case domain == "" && (last == 0 || last == 1 && !strings.Contains(args[0], "/")):
		return nil, "", fmt.Errorf("which weight? such as hapsync weight %s 10", strings.Join(args, "/"))
	}
	return nil, "", err
}

func (p program) setHost(c *cli.Context, name []string, attribute, value string) error {
	domain, host, err := namedHost(c, name)
	if err != nil {
		return err
	}
	wait, err := newWaiter(c)
	if err != nil {
		return err
	}
	client, err := p.client(c)
	if err != nil {
		return err
	}
	defer client.Close()
	end := p.progress.on("%s", etcdOf(c))
	at, err := client.SetHost(c.Context, domain, host, attribute, value)
	end()
	if err != nil {
		return err
	}
	p.say("%s of %s/%s is %s\n", attribute, domain, host, value)
	leaves := value == string(registry.Drain) || value == string(registry.Maint)
	return p.await(c, client, wait, registry.Ack{Revision: at, Domain: strings.ToLower(domain), Host: host, Finished: leaves})
}

// client is the registry for writing. It does not connect yet. Bad settings are a usage error.
func (p program) client(c *cli.Context) (*etcd.Client, error) {
	cfg, err := p.registryConfig(c)
	if err != nil {
		return nil, err
	}
	client, err := etcd.New(cfg)
	if err != nil {
		return nil, cli.Usage(c, err)
	}
	return client, nil
}

// number checks a number of 1 to 1000.
func number(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 || n > 1000 {
		return errors.New("must be a number, 1 to 1000")
	}
	return nil
}
