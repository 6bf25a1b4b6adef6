package main

import (
	"strings"
	"testing"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
)

func TestAHostIsNamedAsItIsPrinted(t *testing.T) {
	for _, tt := range []struct {
		args                []string
		domain, host, wrong string
	}{
		{args: []string{"a.abc.com/web1"}, domain: "a.abc.com", host: "web1"},
		{args: []string{"A.abc.com", "web1"}, domain: "a.abc.com", host: "web1"},
		{args: []string{"--domain", "a.abc.com", "--host", "web1"}, domain: "a.abc.com", host: "web1"},
		{args: []string{"a.abc.com"}, wrong: "which host?"},
		{args: []string{"a.abc.com/web1", "--wait"}, wrong: "flags come before arguments"},
		{args: []string{"--domain", "a.abc.com", "b.abc.com/web1"}, wrong: "named twice"},
		{args: []string{"--host", "web2", "b.abc.com/web1"}, wrong: "named twice"},
		{args: []string{"a.abc.com/web1/x"}, wrong: "web1/x"},
		{args: []string{"a_b/web1"}, wrong: "a_b"},
		{args: []string{"a.abc.com", "web1", "x"}, wrong: "a.abc.com web1 x"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			app := new(bench).program(nil, nil).app()
			var domain, host string
			var err error
			command := app.Command("drain")
			command.Action = func(c *cli.Context) error {
				domain, host, err = namedHost(c, c.Args().Slice())
				return err
			}
			if got := app.RunContext(t.Context(), append([]string{"hapsync", "drain"}, tt.args...)); got != nil {
				err = got
			}
			if tt.wrong == "" && (err != nil || domain != tt.domain || host != tt.host) {
				t.Errorf("%s/%s, %v", domain, host, err)
			}
			if tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong) || !cli.IsUsage(err)) {
				t.Errorf("error %v, want %q", err, tt.wrong)
			}
		})
	}
}
