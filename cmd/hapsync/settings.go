package main

import (
	"cmp"
	"strings"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/journal"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
	"github.com/hapsync/hapsync/sync"
)

// registryConfig is what the Registry flags say; etcd.New checks it.
func (p program) registryConfig(c *cli.Context) (etcd.Config, error) {
	cfg := etcd.Config{
		Endpoints:    cli.Words(c.StringSlice("endpoints")...),
		Prefix:       c.String("prefix"),
		CACert:       c.String("cacert"),
		Cert:         c.String("cert"),
		Key:          c.String("key"),
		PasswordFile: c.String("password-file"),
		DialTimeout:  c.Duration("dial-timeout"),
		MaxKeys:      c.Int("max-keys"),
		Settle:       c.Duration("settle"),
	}
	var err error
	if cfg.Addresses, err = addresses(c); err != nil {
		return cfg, err
	}
	if cfg.Domains, err = patterns(c); err != nil {
		return cfg, err
	}
	cfg.User, cfg.Password, _ = strings.Cut(c.String("user"), ":")
	if len(cfg.Endpoints) == 0 {
		return cfg, cli.Usagef(c, "--endpoints: no URL given")
	}
	if cfg.User != "" && cfg.Password == "" && cfg.PasswordFile == "" {
		cfg.Password = cmp.Or(p.getenv("HAPSYNC_PASSWORD"), p.getenv("ETCDCTL_PASSWORD"))
	}
	return cfg, nil
}

// addresses says which addresses hosts may have.
func addresses(c *cli.Context) (registry.Addresses, error) {
	networks, err := registry.ParseNetworks(cli.Words(c.StringSlice("addresses")...)...)
	if err != nil {
		return registry.Addresses{}, cli.Usagef(c, "--addresses: %w", err)
	}
	return registry.Addresses{Only: networks, Loopback: c.Bool("allow-loopback")}, nil
}

// patterns are the domains of --domains.
func patterns(c *cli.Context) (registry.Patterns, error) {
	found := registry.Patterns(cli.Words(c.StringSlice("domains")...))
	for _, pattern := range found {
		if err := registry.CheckPattern(pattern); err != nil {
			return nil, cli.Usagef(c, "--domains: %w", err)
		}
	}
	return found, nil
}

// haproxySettings are what the HAProxy flags say.
func (p program) haproxySettings(c *cli.Context) (haproxy.Settings, error) {
	frontends := cli.Words(c.StringSlice("frontend")...)
	if len(frontends) == 0 {
		return haproxy.Settings{}, cli.Usagef(c, "--frontend: no name given")
	}
	for _, name := range frontends {
		if strings.Trim(name, proxyName) != "" {
			return haproxy.Settings{}, cli.Usagef(c, "--frontend %q: a name has letters, digits and - _ . : only", name)
		}
	}
	settings := haproxy.Settings{
		BaseFile:           c.String("base-file"),
		ManagedFile:        c.String("managed-file"),
		Files:              cli.Words(c.StringSlice("haproxy-file")...),
		Frontends:          frontends,
		Binary:             c.String("haproxy-bin"),
		RuntimeSocket:      c.String("runtime-socket"),
		MasterSocket:       c.String("master-socket"),
		ReloadCommand:      strings.Fields(c.String("reload-command")),
		DrainTimeout:       c.Duration("drain-timeout"),
		ReloadTimeout:      c.Duration("reload-timeout"),
		HAProxyChecksFirst: c.String("first-check") == "haproxy",
		StaticDomains:      c.String("dynamic-domains") == "off",
		Logger:             p.environment().Logger(c),
	}
	settings.Spares = haproxy.Spares{Count: c.Int("spare-backends"), Options: layout(c, settings).Plain()}
	return settings, nil
}

// journalFile is the journal; ok is false if none is kept.
func (p program) journalFile(c *cli.Context) (file journal.File, ok bool) {
	managed := c.String("managed-file")
	path := cmp.Or(c.String("journal"), p.journal(managed))
	return journal.File{Path: path, Size: int64(c.Int("journal-size")) << 20, Managed: managed}, path != "off"
}

// proxyName are the characters that HAProxy allows in the name of a frontend.
const proxyName = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:"

func layout(c *cli.Context, settings haproxy.Settings) sync.Layout {
	return sync.Layout{
		Frontends: settings.Frontends, Cookie: c.String("cookie"),
		HostMatch: sync.HostMatch(c.String("host-match")), Routing: sync.Routing(c.String("routing")),
	}
}

func policy(c *cli.Context) sync.Policy {
	return sync.Policy{
		MaxRemoval: c.Int("max-removal"), AllowMassRemoval: c.Bool("allow-mass-removal"),
		MaxHosts: c.Int("max-hosts"), MaxDomains: c.Int("max-domains"),
	}
}
