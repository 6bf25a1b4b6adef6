package main

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"

	"github.com/hapsync/hapsync/haproxy"
)

// checkSecrets says which secrets others can read, and who can make hapsync run programs.
func checkSecrets(c *cli.Context) (found []haproxy.Finding) {
	warn := func(what, detail, remedy string) {
		found = append(found, haproxy.Finding{Level: haproxy.LevelWarn, What: what, Detail: detail, Remedy: remedy})
	}
	if c.String("user") != "" {
		for _, endpoint := range cli.Words(c.StringSlice("endpoints")...) {
			if inClear(endpoint) {
				warn("password", "the password goes to "+endpoint+" in clear text", "use https:// there, with --cacert")
			}
		}
	}
	for _, name := range []string{"password-file", "key"} {
		if path := c.String(name); path != "" {
			if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
				warn(strings.ReplaceAll(name, "-", " "), fmt.Sprintf("every user of this machine can read %s (mode %#o)", path, info.Mode().Perm()), "chmod o= "+path)
			}
		}
	}
	if path := c.String("config-file"); path != "" {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o022 != 0 {
			warn("config file", fmt.Sprintf("others than its owner can write %s (mode %#o), and it names programs that hapsync runs", path, info.Mode().Perm()), "chmod go-w "+path)
		}
	}
	return found
}

// inClear reports whether what is sent to an endpoint goes over a network without TLS.
func inClear(endpoint string) bool {
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback())
}
