package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
	"github.com/hapsync/hapsync/sync"
)

func (p program) checkCommand() *cli.Command {
	return p.environment().Command(&cli.Command{
		Name:     "check",
		Category: groupSetUp,
		Usage:    "can everything be reached and done? one line each, with the way out",
		Flags:    append([]cli.Flag{certsFlag()}, cli.SharedFlags()...),
		Action:   p.check,
	}, cli.Page{
		Description: `Looks at the registry, the files, the haproxy program, the running process and its sockets, and says of each
whether it is as hapsync needs it (ok), works but should be fixed (warn), or does not work (fail).
It reads only.`,
		Example:   `hapsync check --endpoints http://10.0.0.11:2379`,
		ExitCodes: `0 nothing failed; 2 usage; 3 the registry failed; 4 HAProxy or its files failed; 130 interrupted`,
	})
}

func (p program) check(c *cli.Context) error {
	settings, err := p.haproxySettings(c)
	if err != nil {
		return err
	}
	found, err := p.checkRegistry(c)
	if err != nil {
		return err
	}
	failed := p.printFindings(append(found, checkSecrets(c)...), exitRegistry)
	return cmp.Or(failed, p.printFindings(p.checkHAProxy(c, settings), exitHAProxy))
}

// A checkError is the first failure. Its reason has been printed.
type checkError struct {
	what string
	code int
}

func (e checkError) Error() string { return "check: " + e.what + " failed, see above" }

// printFindings prints a line for each finding, and returns the first failure.
func (p program) printFindings(found []haproxy.Finding, code int) error {
	var failed error
	for _, f := range found {
		p.say("%s\n", findingLine(f))
		if f.Level == haproxy.LevelFail && failed == nil {
			failed = checkError{f.What, code}
		}
	}
	return failed
}

func findingLine(f haproxy.Finding) string {
	line := fmt.Sprintf("%-5s%s", f.Level, f.What)
	if f.Detail != "" {
		line += ": " + strings.ReplaceAll(f.Detail, "\n", "; ")
	}
	if f.Remedy != "" {
		line += " (" + f.Remedy + ")"
	}
	return line
}

func (p program) checkHAProxy(c *cli.Context, settings haproxy.Settings) []haproxy.Finding {
	instance, err := p.open(settings)
	if err != nil {
		return []haproxy.Finding{{Level: haproxy.LevelFail, What: "haproxy", Detail: err.Error()}}
	}
	defer p.progress.on("HAProxy, and haproxy -c")()
	base := cmp.Or(settings.BaseFile, settings.ManagedFile)
	found := append(instance.Check(c.Context), checkNewDomains(c.Context, instance, layout(c, settings), base)...)
	return append(found, checkCertificates(c.Context, c.String("certs"), instance)...)
}

// checkNewDomains says whether new domains come without a reload, and if they do not, why.
func checkNewDomains(ctx context.Context, instance target, l sync.Layout, base string) []haproxy.Finding {
	st, err := instance.State(ctx, haproxy.Everything())
	if err != nil || st.Down != nil {
		return nil // another check has said it
	}
	if !st.Capabilities.Backends {
		return checkSpares(l, st)
	}
	f := haproxy.Finding{Level: haproxy.LevelWarn, What: "new domains"}
	switch change := l.NeedsReload(st).(type) {
	case nil:
		f.Level, f.Detail = haproxy.LevelOK, "come without a reload"
	case haproxy.AddBackend:
		f.Detail = "each takes a reload: no named defaults section says exactly what the managed file says for a domain"
		lines := fmt.Sprintf(`the line "balance %s"`, change.Options.Balance)
		if change.Options.Cookie != "" {
			lines = fmt.Sprintf(`the lines "balance %s" and "cookie %s"`, change.Options.Balance, change.Options.Cookie)
		}
		f.Remedy = fmt.Sprintf(`in %s give the defaults that hold for the managed file a name, such as web; `+
			`below it write "defaults domain from web" with %s, then "defaults from web" as the last line, and reload HAProxy`, base, lines)
	case haproxy.AddRule:
		f.Detail = fmt.Sprintf("the next one takes a reload: HAProxy has loaded no rule of frontend %s that reads the map file "+
			"and comes right behind the rules of all domains", change.Rule.Frontend)
		f.Remedy = mapRuleRemedy
	}
	if !st.Dynamic.Allowed {
		f.Level, f.Detail, f.Remedy = haproxy.LevelOK, "each takes a reload, as --dynamic-domains off asks for", ""
	}
	return []haproxy.Finding{f}
}

const mapRuleRemedy = "hapsync writes that rule with the next new domain; if it is there, " +
	"move your use_backend rules out from between hapsync's, and reload HAProxy"

// checkSpares says whether the next new domain comes without a reload, in a spare backend.
func checkSpares(l sync.Layout, st haproxy.State) []haproxy.Finding {
	f := haproxy.Finding{Level: haproxy.LevelOK, What: "new domains"}
	free, ready := st.Dynamic.Spares[l.Plain()]
	switch {
	case st.Dynamic.Spares == nil || !st.Capabilities.CookieLive || len(st.Dynamic.Spares) == 0 && len(st.File.Rules) == 0:
		return nil // spare backends are off, of no use, or come with the first domain
	case len(st.Dynamic.Spares) == 0:
		f.Level = haproxy.LevelWarn
		f.Detail = "the next one takes a reload: HAProxy has loaded no spare backend"
		f.Remedy = "hapsync writes them with the next new domain; if they are there, " +
			"take your lines and comments out of them, and the lines that name them, and reload HAProxy"
	case !ready:
		f.Detail = "the next one takes a reload: the spare backends that HAProxy has loaded have another balance or cookie"
	case free == 0:
		f.Detail = "the next one takes a reload, which frees all spare backends"
	case l.NeedsReload(st) != nil:
		f.Level = haproxy.LevelWarn
		f.Detail = "each takes a reload: a frontend has no rule that reads the map file and comes right behind the rules of all domains"
		f.Remedy = mapRuleRemedy
	default:
		f.Detail = fmt.Sprintf("%d come without a reload, in spare backends", free)
	}
	return []haproxy.Finding{f}
}

// checkRegistry returns an error only for bad settings.
func (p program) checkRegistry(c *cli.Context) ([]haproxy.Finding, error) {
	source, err := p.registry(c)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	s, err := source.Snapshot(c.Context)
	if err != nil {
		found := unreachable(err)
		if len(cli.Words(c.StringSlice("endpoints")...)) > 1 && c.Err() == nil {
			found = append(found, checkMembers(source.Members(c.Context))...) // they name the endpoint
		}
		return found, nil
	}
	prefix := c.String("prefix")
	found := []haproxy.Finding{{Level: haproxy.LevelOK, What: "registry", Detail: fmt.Sprintf("etcd answers on %s at revision %d, with %s below %s",
		strings.Join(cli.Words(c.StringSlice("endpoints")...), ", "), s.Revision, registry.Count(s.Keys, "key"), prefix)}}
	found = append(found, checkMembers(source.Members(c.Context))...)
	if s.Keys == 0 {
		found = append(found, haproxy.Finding{Level: haproxy.LevelWarn, What: "prefix", Detail: "there is no key below " + prefix,
			Remedy: "nothing is registered yet, or the prefix is another one: --prefix"})
	}
	if len(s.Problems) > 0 {
		found = append(found, haproxy.Finding{Level: haproxy.LevelWarn, What: "keys", Detail: registry.Count(len(s.Problems), "problem"),
			Remedy: "hapsync list names the keys and the reasons"})
	}
	if s.Ignored.Keys > 0 {
		found = append(found, haproxy.Finding{Level: haproxy.LevelOK, What: "ignored keys", Detail: s.Ignored.String()})
	}
	return found, nil
}

func unreachable(err error) []haproxy.Finding {
	return []haproxy.Finding{{Level: haproxy.LevelFail, What: "registry", Detail: err.Error()}}
}

// checkMembers says what is wrong with the members of etcd.
func checkMembers(members []etcd.Member) (found []haproxy.Finding) {
	warn := func(what, detail, remedy string) {
		found = append(found, haproxy.Finding{Level: haproxy.LevelWarn, What: what, Detail: detail, Remedy: remedy})
	}
	if etcd.Clusters(members) > 1 {
		found = append(found, differentClusters(members))
	}
	var alarms []string
	for _, m := range members {
		alarms = append(alarms, m.Alarms...)
		switch {
		case m.Err != nil:
			warn("endpoint", m.Endpoint+" does not answer: "+m.Err.Error(), "the others are enough as long as one of them answers")
		case m.Learner:
			warn("endpoint", m.Endpoint+" is a learner, which answers no request", "it is passed over until `etcdctl member promote`")
		case m.NoLeader:
			warn("endpoint", m.Endpoint+" has no leader", "it has lost the other members")
		}
	}
	slices.Sort(alarms)
	for _, alarm := range slices.Compact(alarms) {
		switch alarm {
		case "NOSPACE":
			warn("alarm", "etcd takes no writes, because it is over its quota (NOSPACE)", "compact it, defragment it, then `etcdctl alarm disarm`")
		default:
			warn("alarm", "etcd has the alarm "+alarm, "`etcdctl alarm list`")
		}
	}
	return found
}

func differentClusters(members []etcd.Member) haproxy.Finding {
	var each []string
	for _, m := range members {
		if m.Cluster != 0 {
			each = append(each, fmt.Sprintf("%s is of cluster %x", m.Endpoint, m.Cluster))
		}
	}
	return haproxy.Finding{Level: haproxy.LevelFail, What: "endpoints",
		Detail: "they belong to different clusters: " + strings.Join(each, ", "), Remedy: "give those of one only"}
}
