package main

import (
	"slices"

	"github.com/urfave/cli/v2"
)

// The categories of the shared flags.
const (
	categoryRegistry = "Registry"
	categoryHAProxy  = "HAProxy"
	categoryGeneral  = "Settings and logging"
)

// sharedFlags stand before or after the command. Those of a category that does not concern a command are
// accepted there and not shown.
func sharedFlags(unconcerned ...string) []cli.Flag {
	var flags []cli.Flag
	for _, f := range slices.Concat(registryFlags(), haproxyFlags(), generalFlags()) {
		s := f.(*setting)
		s.hidden = s.hidden || slices.Contains(unconcerned, s.category)
		flags = append(flags, s)
	}
	return flags
}

func registryFlags() []cli.Flag {
	const category = categoryRegistry
	return []cli.Flag{
		list(spec{name: "endpoints", aliases: []string{"node"}, env: []string{"ETCDCTL_ENDPOINTS"}, category: category,
			value: "http://127.0.0.1:2379", usage: "`URL` of an etcd member; repeat it, or separate with commas"}),
		text(spec{name: "prefix", category: category, value: "/services/web",
			usage: "`KEY` below which the domains are"}),
		text(spec{name: "cacert", env: []string{"ETCDCTL_CACERT"}, category: category,
			usage: "PEM `FILE` with the certificate authorities that etcd's certificate is checked against"}),
		text(spec{name: "cert", env: []string{"ETCDCTL_CERT"}, category: category,
			usage: "PEM `FILE` with the client certificate"}),
		text(spec{name: "key", env: []string{"ETCDCTL_KEY"}, category: category,
			usage: "PEM `FILE` with the client certificate's key"}),
		text(spec{name: "user", env: []string{"ETCDCTL_USER"}, category: category,
			usage: "etcd user, as `NAME` or NAME:PASSWORD (others see it in the process list: prefer --password-file)"}),
		text(spec{name: "password-file", category: category,
			usage: "`FILE` with the user's password; without it, $HAPSYNC_PASSWORD or $ETCDCTL_PASSWORD"}),
		text(spec{name: "dial-timeout", env: []string{"ETCDCTL_DIAL_TIMEOUT"}, category: category, value: "5s", check: duration,
			usage: "`TIME` after which etcd counts as not reachable"}),
	}
}

func haproxyFlags() []cli.Flag {
	const category = categoryHAProxy
	return []cli.Flag{
		text(spec{name: "base-file", category: category, value: "/etc/haproxy/haproxy.cfg",
			usage: "`FILE` of the operator's configuration: read, never written"}),
		text(spec{name: "managed-file", category: category, value: "/etc/haproxy/hapsync.cfg",
			usage: "`FILE` with the managed frontends and backends; may be the base file"}),
		list(spec{name: "frontend", category: category, value: "webin",
			usage: "`NAME` of a frontend that gets the ACLs and use_backend rules; repeat it, or separate with commas"}),
		text(spec{name: "haproxy-bin", category: category, value: "haproxy",
			usage: "the haproxy `PROGRAM` that validates configurations"}),
		text(spec{name: "runtime-socket", category: category,
			usage: "`PATH` of a stats socket of level admin; without it, the first one in the base file"}),
		text(spec{name: "master-socket", category: category,
			usage: "`PATH` of the master's socket; without it, HAPSYNC_MASTER_SOCKET of the base file's setenv line"}),
		text(spec{name: "reload-command", category: category,
			usage: "`COMMAND` that reloads where there is no master socket; split at white space and run without a shell"}),
		text(spec{name: "drain-timeout", category: category, value: "10s", check: duration,
			usage: "`TIME` that a removed server has to finish its sessions"}),
		text(spec{name: "reload-timeout", category: category, value: "60s", check: duration,
			usage: "`TIME` after which a reload has failed"}),
	}
}

func generalFlags() []cli.Flag {
	const category = categoryGeneral
	return []cli.Flag{
		text(spec{name: "config-file", category: category,
			usage: "YAML `FILE` with settings: the keys are the names of the flags"}),
		text(spec{name: "log-level", category: category, value: "info", check: oneOf("debug", "info", "warn", "error"),
			usage: "least `LEVEL` that is logged: debug, info, warn or error"}),
		text(spec{name: "log-format", category: category, value: "text", check: oneOf("text", "json"),
			usage: "`FORMAT` of the log on standard error: text or json"}),
	}
}

func outputFlag() cli.Flag {
	return text(spec{name: "output", aliases: []string{"o"}, value: "text", check: oneOf("text", "json"),
		usage: "`FORMAT` on standard output: text or json"})
}
