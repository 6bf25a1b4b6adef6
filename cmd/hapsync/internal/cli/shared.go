package cli

import (
	"slices"

	urfave "github.com/urfave/cli/v2"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// Categories of the shared flags.
const (
	Registry = "Registry"
	HAProxy  = "HAProxy"
	General  = "Settings and logging"
)

// SharedFlags may come before or after the command. A command accepts those of the irrelevant categories, but hides them.
func SharedFlags(irrelevant ...string) []urfave.Flag {
	var flags []urfave.Flag
	for _, f := range slices.Concat(registryFlags(), haproxyFlags(), generalFlags()) {
		s := f.(*Setting)
		s.Hidden = s.Hidden || slices.Contains(irrelevant, s.Category)
		flags = append(flags, s)
	}
	return flags
}

func registryFlags() []urfave.Flag {
	const category = Registry
	return []urfave.Flag{
		List(Spec{Name: "endpoints", Aliases: []string{"node"}, Env: []string{"ETCDCTL_ENDPOINTS"}, Category: category,
			Value: "http://127.0.0.1:2379", Usage: "`URL` of an etcd member; repeat it, or separate with commas"}),
		Text(Spec{Name: "prefix", Category: category, Value: "/services/web",
			Usage: "`KEY` below which the domains are"}),
		List(Spec{Name: "domains", Category: category, Fallback: "any",
			Usage: "`DOMAIN` that HAProxy serves, or that containers may serve (register --docker), such as a.abc.com or " +
				"*.abc.com; repeat it, or separate with commas"}),
		Text(Spec{Name: "cacert", Env: []string{"ETCDCTL_CACERT"}, Category: category, Fallback: "the system's",
			Usage: "PEM `FILE` with the certificate authorities that etcd's certificate is checked against"}),
		Text(Spec{Name: "cert", Env: []string{"ETCDCTL_CERT"}, Category: category,
			Usage: "PEM `FILE` with the client certificate"}),
		Text(Spec{Name: "key", Env: []string{"ETCDCTL_KEY"}, Category: category,
			Usage: "PEM `FILE` with the client certificate's key"}),
		Text(Spec{Name: "user", Env: []string{"ETCDCTL_USER"}, Category: category,
			Usage: "etcd user, as `NAME` or NAME:PASSWORD (others see it in the process list: prefer --password-file)"}),
		Text(Spec{Name: "password-file", Category: category, Fallback: "$HAPSYNC_PASSWORD, then $ETCDCTL_PASSWORD",
			Usage: "`FILE` with the user's password"}),
		List(Spec{Name: "addresses", Category: category,
			Usage: "`NETWORK` that hosts' addresses must be in, such as 10.0.0.0/8; repeat it, or separate with commas (default: all but special ones)"}),
		Toggle(Spec{Name: "allow-loopback", Category: category,
			Usage: "take hosts at loopback addresses, for sites of one machine"}),
		Text(Spec{Name: "max-keys", Category: category, Value: "50000", Check: Positive,
			Usage: "most `KEYS` of one domain that are read"}),
		Text(Spec{Name: "dial-timeout", Env: []string{"ETCDCTL_DIAL_TIMEOUT"}, Category: category, Value: "5s", Check: Duration,
			Usage: "`TIME` after which etcd counts as not reachable"}),
	}
}

func haproxyFlags() []urfave.Flag {
	const category = HAProxy
	return []urfave.Flag{
		Text(Spec{Name: "base-file", Category: category, Value: "/etc/haproxy/haproxy.cfg",
			Usage: "`FILE` of the operator's configuration: read, never written"}),
		Text(Spec{Name: "managed-file", Category: category, Value: "/etc/haproxy/hapsync.cfg",
			Usage: "`FILE` with the managed frontends and backends; may be the base file"}),
		Text(Spec{Name: "max-hosts", Category: category, Value: "1000", Check: Positive,
			Usage: "most `HOSTS` of one domain that HAProxy gets; those that it has already stay"}),
		Text(Spec{Name: "max-domains", Category: category, Value: "20000", Check: Positive,
			Usage: "most `DOMAINS` that HAProxy gets; those that it has already stay"}),
		Text(Spec{Name: "journal", Category: category, Fallback: "beside the managed file",
			Usage: "`FILE` that keeps what passes did, for hapsync history; off for none"}),
		Text(Spec{Name: "journal-size", Category: category, Value: "16", Check: Positive,
			Usage: "most `MEGABYTES` of the journal; beyond, the older half goes"}),
		List(Spec{Name: "haproxy-file", Category: category,
			Usage: "`FILE` or directory that HAProxy is started with; name all, in HAProxy's order, if its process does not tell them"}),
		List(Spec{Name: "frontend", Category: category, Value: "webin",
			Usage: "`NAME` of a frontend that gets the ACLs and use_backend rules; repeat it, or separate with commas"}),
		Text(Spec{Name: "cookie", Category: category, Value: haproxy.StickyName, Check: func(s string) error { return registry.CheckOption("cookie", s) },
			Usage: "`COOKIE` of domains that have no key for it, as the key has it: off, or a name and words such as httponly, secure, samesite=lax"}),
		Text(Spec{Name: "host-match", Category: category, Value: "auto", Choices: []string{"auto", "exact", "any-port"},
			Usage: "which `HOSTS` lead to a domain: exact (without a port), any-port, or auto: what the managed file has, any-port in a new one"}),
		Text(Spec{Name: "routing", Category: category, Value: "acl", Choices: []string{"acl", "map"},
			Usage: "`WAY` from a frontend to a domain's backend: acl (a rule for each domain), or map (one rule that reads a " +
				"map file beside the managed file)"}),
		Text(Spec{Name: "haproxy-bin", Category: category, Value: "haproxy",
			Usage: "the haproxy `PROGRAM` that validates configurations"}),
		Text(Spec{Name: "runtime-socket", Category: category, Fallback: "the first one of level admin in the base file",
			Usage: "`PATH` of a stats socket of level admin, or its address as on a bind line"}),
		Text(Spec{Name: "master-socket", Category: category, Fallback: "HAPSYNC_MASTER_SOCKET of a setenv line in the base " +
			"file, else the one that HAProxy was started with",
			Usage: "`PATH` of the master's socket, or its address as behind -S, for reloads"}),
		Text(Spec{Name: "reload-command", Category: category,
			Usage: "`COMMAND` that reloads if there is no master socket; split at white space and run without a shell"}),
		Text(Spec{Name: "drain-timeout", Category: category, Value: "10s", Check: Duration,
			Usage: "`TIME` that a removed server has to finish its sessions"}),
		Text(Spec{Name: "first-check", Category: category, Value: "hapsync", Choices: []string{"hapsync", "haproxy"},
			Usage: "`WHO` makes the first check of a new server: hapsync at once, if it can make the check that HAProxy would " +
				"make, or haproxy alone, one interval later"}),
		Text(Spec{Name: "dynamic-domains", Category: category, Value: "auto", Choices: []string{"auto", "off"},
			Usage: "`WHICH` domains come and go without a reload: auto (those that HAProxy and its files allow), or off"}),
		Text(Spec{Name: "spare-backends", Category: category, Value: "10", Check: UpTo(maxSpares), Tag: "!!int",
			Usage: "`NUMBER` of empty backends in the managed file, in which so many new domains come without a reload before HAProxy 3.4"}),
		Text(Spec{Name: "reload-timeout", Category: category, Value: "60s", Check: Duration,
			Usage: "`TIME` after which a reload has failed"}),
	}
}

// maxSpares limits the spare backends, because each has its lines in HAProxy's statistics.
const maxSpares = 1000

func generalFlags() []urfave.Flag {
	const category = General
	return []urfave.Flag{
		Text(Spec{Name: "config-file", Category: category, Fallback: DefaultConfigFile + ", if it exists",
			Usage: "YAML `FILE` with settings: the keys are the names of the flags; /dev/null for none"}),
		Text(Spec{Name: "log-level", Category: category, Value: "info", Choices: []string{"debug", "info", "warn", "error"},
			Usage: "least `LEVEL` that is logged: debug, info, warn or error"}),
		Text(Spec{Name: "log-format", Category: category, Value: "text", Choices: []string{"text", "json"},
			Usage: "`FORMAT` of the log on standard error: text or json"}),
		Text(Spec{Name: "color", Category: category, Value: "auto", Choices: []string{"auto", "always", "never"},
			Usage: "`WHEN` output has colours: auto (on a terminal, unless NO_COLOR is set), always or never"}),
	}
}

// OutputFlag is the format of a command's output.
func OutputFlag() urfave.Flag {
	return Text(Spec{Name: "output", Aliases: []string{"o"}, Value: "text", Choices: []string{"text", "json"},
		Usage: "`FORMAT` on standard output: text or json"})
}
