package main

import (
	"log/slog"
	"os"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
)

func reportPrefixFlag() cli.Flag {
	return cli.Text(cli.Spec{Name: "report-prefix", Value: registry.DefaultReportPrefix, Usage: "`KEY` below which agents report"})
}

// reportPrefix is the prefix of the agents' reports.
func reportPrefix(c *cli.Context) (string, error) {
	prefix, err := registry.CheckReportPrefix(c.String("report-prefix"), c.String("prefix"))
	if err != nil {
		return "", cli.Usagef(c, "--report-prefix: %w", err)
	}
	return prefix, nil
}

// announceConfig says where the agent reports; nil if it does not.
func (p program) announceConfig(c *cli.Context, log *slog.Logger) (*etcd.AnnounceConfig, error) {
	if c.Bool("no-report") {
		return nil, nil
	}
	prefix, err := reportPrefix(c)
	if err != nil {
		return nil, err
	}
	name := c.String("name")
	if name == "" {
		name, err = os.Hostname()
		if err == nil {
			err = registry.CheckHost(name)
		}
	}
	if err != nil {
		log.Warn("the agent does not report: the machine's host name cannot be used, give another one with --name", "error", err)
		return nil, nil
	}
	return &etcd.AnnounceConfig{Prefix: prefix, Name: name, Logger: log}, nil
}
