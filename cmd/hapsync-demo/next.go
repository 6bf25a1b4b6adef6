package main

import (
	"path/filepath"
	"strings"
)

// printNext prints what to try in a second terminal.
func (p *playground) printNext() {
	spare := p.backends[4]
	exports := []string{"ETCDCTL_API=3", "ETCDCTL_ENDPOINTS=" + p.etcd.endpoint}
	exports = append(exports, p.environ()...)
	p.out.text("\nEverything keeps running. Open a second terminal and paste this first:\n")
	for _, v := range exports {
		name, value, _ := strings.Cut(v, "=")
		p.out.text("export %s=%s", name, quote(value))
	}
	p.out.text("export PATH=%s:\"$PATH\"", quote(filepath.Dir(p.opts.hapsync)))

	port := p.web[strings.LastIndexByte(p.web, ':')+1:]
	p.out.text("\nA domain as a browser asks for it:\n")
	p.out.text("  curl --resolve %[1]s:%[2]s:127.0.0.1 http://%[1]s:%[2]s/", domainA, port)
	p.out.text("\nor in a browser, after this line in /etc/hosts: 127.0.0.1 %s %s %s", domainA, domainB, domainNew)
	p.out.text("\nA new domain; HAProxy serves it within a second:\n")
	for _, line := range []string{
		"etcdctl put " + prefix + domainNew + "/server1/ip 127.0.0.1",
		"etcdctl put " + prefix + domainNew + "/server1/port " + spare.port,
		"sleep 1",
		p.curlLine(domainNew, ""),
	} {
		p.out.text("  %s", line)
	}
	p.out.text("\nA host leaves, and the cookie that led to it no longer does:\n")
	for _, line := range []string{
		"etcdctl del --prefix " + prefix + domainA + "/server2/",
		p.curlLine(domainA, "server2"),
	} {
		p.out.text("  %s", line)
	}
	p.out.text("\nLook at it:\n")
	for _, line := range []string{"hapsync list", "hapsync status", "hapsync agents", "hapsync explain " + domainA, "hapsync plan", "hapsync check"} {
		p.out.text("  %s", line)
	}
	p.out.text("\nThe agent's page:            http://%s/", p.listen)
	p.out.text("HAProxy's statistics page:  http://%s/stats (the password: grep auth %s)", p.stats, p.baseFile())
	p.out.text("The files and the logs:      %s", p.dir)
	p.out.text("\nCtrl-C here ends all of it and leaves nothing behind.")
}
