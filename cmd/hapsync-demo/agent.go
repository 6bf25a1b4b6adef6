package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// patience is the timeout of anything that normally takes a second or two.
const patience = 40 * time.Second

// An agent is hapsync agent, running beside the tour.
type agent struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// stop ends the agent and waits for its end. HAProxy stays as it is.
func (a *agent) stop() {
	group := -a.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-a.done:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(group, syscall.SIGKILL)
		<-a.done
	}
}

// startAgent starts hapsync agent and waits until it is ready.
func (p *playground) startAgent(ctx context.Context) (err error) {
	if p.listen, err = freeAddr(9101); err != nil {
		return err
	}
	p.out.command("hapsync agent 2>" + quote(p.path("agent.log")) + " &")
	log, err := os.Create(p.path("agent.log"))
	if err != nil {
		return err
	}
	defer log.Close() // the child has a copy
	cmd := exec.Command(p.opts.hapsync, "agent")
	cmd.Env = append(withoutOurs(os.Environ()), p.environ()...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start hapsync agent: %w", err)
	}
	p.agent = &agent{cmd: cmd, done: make(chan struct{})}
	go func(a *agent) {
		_ = a.cmd.Wait() // the log has its errors
		close(a.done)
	}(p.agent)
	if err := p.until(ctx, "the agent is ready", p.agentReady); err != nil {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w\n%s", err, text)
	}
	if _, err := p.hapsync(ctx, "status"); err != nil {
		return err
	}
	p.out.checked("the agent follows etcd; from here on no command but etcdctl is needed")
	return nil
}

// agentReady returns an error unless the agent's /readyz answers 200.
func (p *playground) agentReady(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.listen+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("/readyz: %d %s", resp.StatusCode, strings.TrimSpace(string(text)))
	}
	return err
}

// moveBack gives server1 of a.abc.com its first port again, and measures the time until a client is served from there.
func (p *playground) moveBack(ctx context.Context) error {
	before, err := p.worker(ctx)
	if err != nil {
		return err
	}
	took, err := p.moved(ctx)
	if err != nil {
		return err
	}
	p.curl(domainA, "server1")
	p.out.output(p.backends[0].name + "\n")
	if err := p.notReloaded(ctx, before); err != nil {
		return err
	}
	p.out.checked("served from there %.1f ms after etcd was told, without a reload", float64(took.Microseconds())/1000)
	err = p.until(ctx, "the managed file has it, too", func(context.Context) error {
		text, err := os.ReadFile(p.managedFile())
		if err != nil {
			return err
		}
		return contains("the managed file", string(text), "server server1 127.0.0.1:"+p.backends[0].port+" ")
	})
	if err != nil {
		return err
	}
	p.out.checked("the managed file has it, too, about a second later")
	return p.until(ctx, "nothing is left to do", p.nothingLeft)
}

// nothingLeft returns an error unless a plan is empty.
func (p *playground) nothingLeft(ctx context.Context) error {
	said, _, err := p.quietly(ctx, "plan")
	if err != nil {
		return err
	}
	return contains("hapsync plan", said, "in line")
}

// moved writes both keys of server1 in one transaction. It returns the time until a client was served from the new place.
func (p *playground) moved(ctx context.Context) (time.Duration, error) {
	host := prefix + domainA + "/server1"
	p.out.command(fmt.Sprintf(`printf '\nput %[1]s/ip 127.0.0.1\nput %[1]s/port %[2]s\n\n\n' | etcdctl txn`, host, p.backends[0].port))
	start := time.Now()
	if err := p.etcd.putBoth(ctx, host+"/ip", "127.0.0.1", host+"/port", p.backends[0].port); err != nil {
		return 0, err
	}
	err := p.until(ctx, "server1 is served from its old place", func(ctx context.Context) error {
		answer, err := p.ask(ctx, domainA, "server1")
		if err != nil {
			return err
		}
		return answer.from(p.backends[0])
	})
	return time.Since(start), err
}

// explain asks why a host gets requests.
func (p *playground) explain(ctx context.Context) error {
	said, err := p.hapsync(ctx, "explain", domainA, "server1")
	if err != nil {
		return err
	}
	if err := contains("hapsync explain", said, "in rotation", "127.0.0.1:"+p.backends[0].port); err != nil {
		return err
	}
	p.out.checked("from the keys in etcd to the server in HAProxy")
	return nil
}

// drain takes a host out of service, waits until the agent has applied that, and brings the host back.
func (p *playground) drain(ctx context.Context) error {
	host := []string{"--domain", domainA, "--host", "server2", "--wait"}
	if _, err := p.hapsync(ctx, append([]string{"drain"}, host...)...); err != nil {
		return err
	}
	for range 10 {
		answer, err := p.ask(ctx, domainA, "")
		if err != nil {
			return err
		}
		if err := answer.from(p.backends[0]); err != nil {
			return fmt.Errorf("server2 is drained: %w", err)
		}
	}
	p.out.checked("10 of 10 new clients are served by server1; server2 can be stopped without a lost request")
	_, err := p.hapsync(ctx, append([]string{"ready"}, host...)...)
	return err
}

// kill kills a web server while clients send requests. HAProxy sends them to the other one.
func (p *playground) kill(ctx context.Context) error {
	err := p.until(ctx, "both hosts are in rotation", func(ctx context.Context) error {
		_, err := p.turns(ctx)
		return err
	})
	if err != nil {
		return err
	}
	killed := p.backends[1]
	killed.close()
	p.out.text("  The web server on 127.0.0.1:%s is killed.", killed.port)
	const requests = 20
	for i := range requests {
		answer, err := p.ask(ctx, domainA, "")
		if err != nil {
			return err
		}
		if err := answer.from(p.backends[0]); err != nil {
			return fmt.Errorf("request %d after server2 was killed: %w", i+1, err)
		}
	}
	p.out.checked("%d of %d requests are answered, by server1", requests, requests)
	err = p.until(ctx, "HAProxy's checks find that server2 is down", func(ctx context.Context) error {
		said, _, err := p.quietly(ctx, "explain", domainA, "server2")
		if err != nil {
			return err
		}
		return contains("hapsync explain", said, "DOWN")
	})
	if err != nil {
		return err
	}
	p.out.command("hapsync explain " + domainA + " server2")
	said, code, err := p.quietly(ctx, "explain", domainA, "server2")
	if err != nil {
		return err
	}
	p.out.output(said)
	const notInRotation = 7
	if code != notInRotation {
		return fmt.Errorf("hapsync explain of a host that is down ends with %d, not %d", code, notInRotation)
	}
	p.out.checked("explain says why server2 gets no requests, and ends with %d", code)
	return nil
}

// until polls until try succeeds. After patience it returns try's last error.
func (p *playground) until(ctx context.Context, what string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(500 * time.Microsecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not in time: %s: %w", what, err)
		case <-tick.C:
		}
	}
}
