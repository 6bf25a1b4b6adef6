package main

import (
	"context"
	"fmt"
	"os"
	"strings"
)

const (
	prefix     = "/services/web/"
	domainA    = "a.abc.com"
	domainB    = "b.abc.com"
	domainNew  = "c.abc.com" // for the reader to add
	domainNone = "unknown.abc.com"
)

// tour starts everything and shows hapsync at work, step by step. It ends at the first failed check.
func (p *playground) tour(ctx context.Context) error {
	for _, step := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"Start etcd, the registry, and the web servers", p.startRegistry},
		{"Write the files that HAProxy is started with", p.init},
		{"Start HAProxy with both files", p.startProxy},
		{"Register hosts: an ip and a port each", p.register},
		{"See what would be done", p.firstPlan},
		{"Bring HAProxy in line", p.firstSync},
		{"Ask HAProxy for the domains", p.request},
		{"Move a host while everything runs", p.move},
		{"Nothing left to do", p.inLine},
		{"Start the agent, which applies every change", p.startAgent},
		{"Move the host back: only etcd is told", p.moveBack},
		{"Ask why a host gets requests", p.explain},
		{"Take a host out of service, and wait until it is", p.drain},
		{"Kill a web server", p.kill},
	} {
		p.out.heading(step.title)
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("step %d, %s: %w", p.out.step, strings.ToLower(step.title[:1])+step.title[1:], err)
		}
	}
	p.out.text("\nThat was the tour: every line marked ok was checked.")
	return nil
}

// startRegistry starts etcd and the web servers, and chooses HAProxy's ports.
func (p *playground) startRegistry(ctx context.Context) (err error) {
	if p.etcd, err = startEtcd(ctx, p.path("etcd")); err != nil {
		return err
	}
	p.out.text("  etcd answers on %s", p.etcd.endpoint)
	for _, w := range []struct {
		name string
		port int
	}{
		{domainA + " server1", 10000},
		{domainA + " server2", 10001},
		{domainB + " server1", 12345},
		{domainA + " server1, at its new place", 10002},
		{domainNew + " server1", 10003},
	} {
		b, err := startBackend(w.name, w.port)
		if err != nil {
			return err
		}
		p.backends = append(p.backends, b)
		p.out.text("  127.0.0.1:%s says %q", b.port, b.name)
	}
	if p.web, err = freeAddr(8080); err != nil {
		return err
	}
	p.stats, err = freeAddr(8404)
	return err
}

// init runs hapsync init. It cuts the part about systemd, because the next step starts HAProxy.
func (p *playground) init(ctx context.Context) error {
	args := []string{
		"init", "--base-file", p.baseFile(), "--managed-file", p.managedFile(),
		"--bind", p.web, "--stats-bind", p.stats, "--run-dir", p.runDir(),
	}
	p.out.command("hapsync " + strings.Join(quoted(args), " "))
	said, code, err := p.quietly(ctx, args...)
	if err == nil && code != 0 {
		err = fmt.Errorf("hapsync init: exit code %d", code)
	}
	if err != nil {
		p.out.output(said)
		return err
	}
	files, _, _ := strings.Cut(said, "\n\n")
	p.out.output(files + "\n...\n")
	return nil
}

// register puts the hosts into etcd.
func (p *playground) register(ctx context.Context) error {
	for i, host := range []string{domainA + "/server1", domainA + "/server2", domainB + "/server1"} {
		if err := p.put(ctx, host+"/ip", "127.0.0.1"); err != nil {
			return err
		}
		if err := p.put(ctx, host+"/port", p.backends[i].port); err != nil {
			return err
		}
	}
	p.out.text("\n  From here on hapsync finds etcd and the files by environment variables (shown at the end).\n")
	listed, err := p.hapsync(ctx, "list")
	if err != nil {
		return err
	}
	return contains("hapsync list", listed, domainA, domainB, "server2", p.backends[1].port)
}

// put writes a key, and prints the etcdctl command that does the same.
func (p *playground) put(ctx context.Context, key, value string) error {
	p.out.command("etcdctl put " + prefix + key + " " + value)
	if err := p.etcd.put(ctx, prefix+key, value); err != nil {
		return fmt.Errorf("put %s%s: %w", prefix, key, err)
	}
	return nil
}

func (p *playground) firstPlan(ctx context.Context) error {
	plan, err := p.hapsync(ctx, "plan")
	if err != nil {
		return err
	}
	if err := contains("hapsync plan", plan, domainA+"_cluster", domainB+"_cluster"); err != nil {
		return err
	}
	answer, err := p.ask(ctx, domainA, "")
	if err != nil {
		return err
	}
	if answer.code != 503 {
		return fmt.Errorf("a plan only reads, but %s is served already: %s", domainA, answer)
	}
	p.out.checked("a plan only reads: %s is not served yet", domainA)
	return nil
}

func (p *playground) firstSync(ctx context.Context) error {
	if _, err := p.hapsync(ctx, "sync"); err != nil {
		return err
	}
	p.out.command("cat " + quote(p.managedFile()))
	text, err := os.ReadFile(p.managedFile())
	if err != nil {
		return err
	}
	p.out.output(string(text))
	return contains("the managed file", string(text), "acl is_"+domainA, "use_backend "+domainB+"_cluster", "server server2 ")
}

// move gives server1 of a.abc.com another port. HAProxy must not reload.
func (p *playground) move(ctx context.Context) error {
	before, err := p.worker(ctx)
	if err != nil {
		return err
	}
	moved := p.backends[3]
	if err := p.put(ctx, domainA+"/server1/port", moved.port); err != nil {
		return err
	}
	plan, err := p.hapsync(ctx, "plan")
	if err != nil {
		return err
	}
	if err := contains("hapsync plan", plan, "runtime", domainA+"_cluster/server1", moved.port); err != nil {
		return err
	}
	if _, err := p.hapsync(ctx, "sync"); err != nil {
		return err
	}
	if err := p.notReloaded(ctx, before); err != nil {
		return err
	}
	p.out.checked("no reload: HAProxy's worker is process %s as before", before)
	p.curl(domainA, "server1")
	answer, err := p.ask(ctx, domainA, "server1")
	if err != nil {
		return err
	}
	p.out.output(answer.body)
	if err := answer.from(moved); err != nil {
		return err
	}
	p.out.checked("server1 is served from its new place, and its cookie still leads to it")
	return nil
}

// inLine runs another sync, which has nothing to do.
func (p *playground) inLine(ctx context.Context) error {
	said, err := p.hapsync(ctx, "sync")
	if err != nil {
		return err
	}
	if err := contains("hapsync sync", said, "in line"); err != nil {
		return err
	}
	p.out.checked("another sync finds nothing to do")
	return nil
}

// worker is the process ID of HAProxy's present worker.
func (p *playground) worker(ctx context.Context) (string, error) {
	pid, err := p.proxy.worker(ctx)
	if err != nil {
		return "", fmt.Errorf("ask HAProxy for its process id: %w", err)
	}
	return pid, nil
}

// notReloaded returns an error if the worker is another process than before.
func (p *playground) notReloaded(ctx context.Context, before string) error {
	after, err := p.worker(ctx)
	if err == nil && after != before {
		err = fmt.Errorf("HAProxy was reloaded: process %s served before, %s does now", before, after)
	}
	return err
}

// contains returns an error if the output of a command lacks one of the words.
func contains(command, output string, words ...string) error {
	for _, w := range words {
		if !strings.Contains(output, w) {
			return fmt.Errorf("%s does not say %q", command, w)
		}
	}
	return nil
}
