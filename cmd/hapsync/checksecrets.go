package main

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"

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
				warn(strings.ReplaceAll(name, "-", " "),
					fmt.Sprintf("every user of this machine can read %s (mode %#o)", path, info.Mode().Perm()), "chmod o= "+path)
			}
		}
	}
	return append(found, checkConfigFile(c.String("config-file"))...)
}

// checkConfigFile names the config file, and says who else can change it.
func checkConfigFile(path string) []haproxy.Finding {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() { // no file, or /dev/null
		return nil
	}
	found := haproxy.Finding{Level: haproxy.LevelOK, What: "config file", Detail: path}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	switch {
	case info.Mode().Perm()&0o022 != 0:
		found = haproxy.Finding{Level: haproxy.LevelWarn, What: found.What, Remedy: "chmod go-w " + path,
			Detail: fmt.Sprintf("others than its owner can write %s (mode %#o), and it names programs that hapsync runs", path, info.Mode().Perm())}
	case owner != 0 && owner != os.Geteuid():
		found = haproxy.Finding{Level: haproxy.LevelWarn, What: found.What, Remedy: "chown root " + path,
			Detail: fmt.Sprintf("%s belongs to user id %d, who is neither root nor you, and it names programs that hapsync runs", path, owner)}
	}
	return []haproxy.Finding{found}
}

// inClear reports whether requests to an endpoint cross a network without TLS.
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
