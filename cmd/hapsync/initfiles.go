package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/haproxy/configfile"
)

// A setup is what init writes.
type setup struct {
	baseFile, managedFile string
	frontends, binds      []string // in pairs
	statsBind             string
	statsPassword         string
	runDir                string
	stateFile             string
	account               account
	binary                string // as --haproxy-bin names it
	exact                 bool   // rules match only hosts without a port
	byMap                 bool   // one rule with a map serves all domains
	systemd               bool   // write a drop-in for HAProxy's unit
	certs, tlsBind        string // directory of certificates, empty for no TLS; and the address to listen on
}

func (s setup) oneFile() bool         { return s.baseFile == s.managedFile }
func (s setup) runtimeSocket() string { return filepath.Join(s.runDir, "haproxy.sock") }
func (s setup) masterSocket() string  { return filepath.Join(s.runDir, "haproxy-master.sock") }

// statsUser may see the statistics page.
const statsUser = "hapsync"

// base is the first content of the base file. It runs as any user, on HAProxy 2.6 and later.
func (s setup) base() string {
	workers, group := "", ""
	if s.account.name != "" {
		workers = fmt.Sprintf("\n    # workers give up root\n    user %[1]s\n    group %[1]s", s.account.name)
		group = " group " + s.account.name
	}
	if s.account.home != "" {
		workers += "\n    chroot " + s.account.home
	}
	return fmt.Sprintf(baseText, s.runtimeSocket(), group, s.masterSocket(), s.stateFile, workers, s.statsBind, statsUser, s.statsPassword)
}

// managed is the frontends without any domain's rules. Only the rule that reads the map is there.
func (s setup) managed() string {
	var b strings.Builder
	for i, name := range s.frontends {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "frontend %s\n    bind %s\n", name, s.binds[i])
		if i == 0 && s.certs != "" {
			fmt.Fprintf(&b, tlsText, s.tlsBind, s.certs)
		}
		if mapFile, ok := configfile.MapFile(s.managedFile); ok {
			rule := configfile.MapRule
			if s.byMap {
				rule = configfile.AllByMap
			}
			b.WriteString("    " + rule(mapFile, !s.exact) + "\n")
		}
	}
	return b.String()
}

// An account is the user that HAProxy's workers run as; without a name, the user that starts HAProxy.
type account struct{ name, home string }

// workerAccount is the account of Debian's package, with its home if that exists. Only root can switch to it.
func workerAccount(uid int) account {
	const name = "haproxy"
	if uid != 0 {
		return account{}
	}
	found, err := user.Lookup(name)
	if err != nil {
		return account{}
	}
	if _, err := user.LookupGroup(name); err != nil {
		return account{}
	}
	if info, err := os.Stat(found.HomeDir); err != nil || !info.IsDir() || cli.ConfigWord(found.HomeDir) != nil {
		return account{name: name}
	}
	return account{name, found.HomeDir}
}

// tlsText works without any certificate: with strict-sni HAProxy starts, and refuses clients that ask for a name without one.
const tlsText = `    bind %s ssl crt %s alpn h2,http/1.1 strict-sni
    # hosts read here how a client came
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Proto https if { ssl_fc }
    # to send all clients to HTTPS, once there are certificates for all domains
    #http-request redirect scheme https code 301 unless { ssl_fc }
    # HSTS: browsers will use HTTPS alone for this many seconds; begin with few, there is no way back before they end
    #http-after-response set-header Strict-Transport-Security max-age=300 if { ssl_fc }
`

const baseText = `# Written once by "hapsync init". This file is yours: hapsync reads it and never writes it.
# Domains and hosts are in the managed file, which HAProxy is started with as well.

global
    # the Runtime API: hapsync moves servers through it; listeners are handed on at a reload
    stats socket %[1]s mode 660%[2]s level admin expose-fd listeners
    stats timeout 2m
    # the master's socket (haproxy -S): hapsync reloads through it, and finds its path here
    setenv HAPSYNC_MASTER_SOCKET %[3]s
    # servers that are known to be down stay down over a reload
    server-state-file %[4]s
    # an old worker that still has sessions is ended this long after a reload
    hard-stop-after 60s
    # and no more than this many of them are kept
    mworker-max-reloads 20
    # connections at a time; each takes two file descriptors
    maxconn 4000
    # "notice" is about servers and processes; with "info" each request is logged too
    log stdout format raw daemon notice%[5]s

defaults web
    # cookies and Host headers need HTTP
    mode http
    log global
    option httplog
    # health checks of others that send nothing are not logged
    option dontlognull
    # servers see the client's address in X-Forwarded-For
    option forwardfor
    # a request whose server does not answer goes to another one
    option redispatch 1
    # at a reload, an idle keep-alive connection is closed after its next response, not before it
    option idle-close-on-response
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    # a request waits this long for a free server
    timeout queue 5s
    timeout http-request 10s
    timeout http-keep-alive 10s
    # reads the server-state-file above
    load-server-state-from-file global
    # what clients get while no host of a domain can be reached, or it is in maintenance: a file with a whole HTTP answer
    #errorfile 503 /etc/haproxy/errors/503.http
    # requests for unknown domains get that, too, unless a backend answers them, such as the one at the end of this file
    #default_backend unknown

# what HAProxy 3.4 gives the backend of a domain that comes without a reload: as the managed file says it
defaults domain from web
    balance roundrobin
    cookie SERVERID insert indirect nocache

# what holds for all sections below, and for the managed file
defaults from web

# the statistics page
frontend stats
    bind %[6]s
    # health checks of HAProxy itself: "/" answers 200 as long as it works
    monitor-uri /
    stats enable
    stats uri /stats
    stats auth %[7]s:%[8]s
    stats refresh 5s

#backend unknown
#    http-request return status 404 content-type text/plain string "There is no such site here."
`
