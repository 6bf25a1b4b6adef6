package main

import (
	"path/filepath"
	"strings"
)

// printNext says what the reader can try from a second terminal.
func (p *playground) printNext() {
	spare := p.backends[4]
	exports := []string{"ETCDCTL_API=3", "ETCDCTL_ENDPOINTS=" + p.etcd.endpoint}
	exports = append(exports, p.environ()...)
	p.out.text("\nAll of it runs on. Open a second terminal and paste this first:\n")
	for _, v := range exports {
		name, value, _ := strings.Cut(v, "=")
		p.out.text("export %s=%s", name, quote(value))
	}
	p.out.text("export PATH=%s:\"$PATH\"", quote(filepath.Dir(p.opts.hapsync)))

	p.out.text("\nA new domain:\n")
	for _, line := range []string{
		"etcdctl put " + prefix + domainNew + "/server1/ip 127.0.0.1",
		"etcdctl put " + prefix + domainNew + "/server1/port " + spare.port,
		"hapsync plan",
		"hapsync sync",
		p.curlLine(domainNew, ""),
	} {
		p.out.text("  %s", line)
	}
	p.out.text("\nA host leaves, and the cookie that led to it no longer does:\n")
	for _, line := range []string{
		"etcdctl del --prefix " + prefix + domainA + "/server2/",
		"hapsync sync",
		p.curlLine(domainA, "server2"),
	} {
		p.out.text("  %s", line)
	}
	p.out.text("\nHAProxy's statistics page:  http://%s/", p.stats)
	p.out.text("The files and HAProxy's log: %s", p.dir)
	p.out.text("\nCtrl-C here ends all of it and leaves nothing behind.")
}
