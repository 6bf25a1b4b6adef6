package e2e

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestRealContainers has the containers of all its parts on one engine: each hapsync sees all of them. Each part looks only at
// its own, but for the last one, whose agent has a HAProxy that they all reach.
func TestRealContainers(t *testing.T) {
	t.Parallel()
	needDocker(t)
	t.Run("together", containersTogether)
	t.Run("is stopped without a failed request", containerThatIsStopped)
}

// containersTogether has three parts at a time under way. They do not call t.Parallel: it would put them behind all other tests,
// and the last part behind them.
func containersTogether(t *testing.T) {
	type part struct {
		name string
		test func(t *testing.T)
	}
	parts := make(chan part)
	var lanes sync.WaitGroup
	for range 3 {
		lanes.Go(func() {
			for p := range parts {
				t.Run(p.name, p.test)
			}
		})
	}
	for _, p := range []part{
		{"comes and goes", containerComesAndGoes},
		{"is restarted many times", restartsOfAContainer},
		{"changes while the engine is away", engineThatWasAway},
		{"that nobody reaches is logged", containerThatNobodyReaches},
		{"has a name of its own on each machine", twoMachines},
		{"follows its HEALTHCHECK", containerFollowsItsHealthcheck},
		{"follows its check", containerFollowsItsCheck},
		{"is reached in its network", containerInItsNetwork},
	} {
		parts <- p
	}
	close(parts)
	lanes.Wait()
}

func containerComesAndGoes(t *testing.T) {
	h := newHarbour(t)
	h.run(t, "early", h.domain("a"), "-p", "8080")
	p := h.serve(t)
	answers(t, h.becomes(t, "early", h.domain("a"), "ready"), "/", "early")
	began := time.Now()
	h.run(t, "web1", h.domain("a")+","+h.domain("b"), "-p", "8080", "-l", "hapsync.weight=7")
	addr := h.becomes(t, "web1", h.domain("a"), "ready")
	t.Logf("docker run, and the host is in etcd: %s", time.Since(began))
	answers(t, addr, "/", "web1")
	if keys, lease := h.keys(t, "web1", h.domain("a")); keys["weight"] != "7" || lease == 0 {
		t.Errorf("got %v under lease %x", keys, lease)
	}
	h.becomes(t, "web1", h.domain("b"), "ready")
	docker(t, "pause", h.containerName("web1"))
	h.becomes(t, "web1", h.domain("a"), "maint")
	docker(t, "unpause", h.containerName("web1"))
	h.becomes(t, "web1", h.domain("a"), "ready")
	began = time.Now()
	docker(t, "stop", h.containerName("web1"))
	h.becomes(t, "web1", h.domain("a"), "")
	t.Logf("docker stop, and the host is out of etcd: %s", time.Since(began))
	h.becomes(t, "web1", h.domain("b"), "")
	bring(t, h.containerName("web1"), "start", h.containerName("web1"))
	answers(t, h.becomes(t, "web1", h.domain("a"), "ready"), "/", "web1")
	docker(t, "rm", "-f", h.containerName("web1"))
	h.becomes(t, "web1", h.domain("a"), "")
	h.becomes(t, "web1", h.domain("b"), "")
	h.only(t, 3, 1)
	p.signal(t, syscall.SIGTERM)
	if code := p.code(t); code != 0 {
		t.Errorf("code %d", code)
	}
	h.only(t, 0, 0)
}

func containerFollowsItsHealthcheck(t *testing.T) {
	h := newHarbour(t, `HEALTHCHECK --interval=200ms --timeout=10s --retries=1 CMD ["/container", "health"]`)
	p := h.serve(t)
	h.run(t, "web1", h.domain("a"), "-p", "8080")
	addr := h.becomes(t, "web1", h.domain("a"), "ready")
	answers(t, addr, "/sick", "")
	h.becomes(t, "web1", h.domain("a"), "maint")
	answers(t, addr, "/well", "")
	h.becomes(t, "web1", h.domain("a"), "ready")
	if strings.Count(p.printed(), "msg=registered container="+h.containerName("web1")) != 1 {
		t.Errorf("it was registered anew:\n%s", p.printed())
	}
}

func containerFollowsItsCheck(t *testing.T) {
	h := newHarbour(t)
	p := h.serve(t, "--interval", "50ms", "--rise", "1", "--fall", "1")
	h.run(t, "web1", h.domain("a"), "-p", "8080", "-e", "SICK=1", "-l", "hapsync.check=/health")
	p.said(t, "the host is not good yet", h.containerName("web1"))
	h.only(t, 0, 0)
	answers(t, strings.Split(docker(t, "port", h.containerName("web1"), "8080"), "\n")[0], "/well", "")
	h.becomes(t, "web1", h.domain("a"), "ready")
}

func containerInItsNetwork(t *testing.T) {
	h := newHarbour(t)
	h.serve(t, "--internal")
	h.run(t, "web1", h.domain("a"))
	addr := h.becomes(t, "web1", h.domain("a"), "ready")
	if !strings.HasSuffix(addr, ":8080") {
		t.Errorf("got %s", addr)
	}
	answers(t, addr, "/", "web1")
}

func containerThatNobodyReaches(t *testing.T) {
	h := newHarbour(t)
	p := h.serve(t, "--ip", "10.0.0.5")
	h.run(t, "closed", h.domain("a"))
	h.run(t, "local", h.domain("a"), "-p", "127.0.0.1::8080")
	h.run(t, "bad", h.domain("a"), "-p", "8080", "-l", "hapsync.host=x\n server evil")
	p.said(t, "container="+h.containerName("closed"), "hapsync.port", "publish one with -p")
	p.said(t, "container="+h.containerName("local"), "hapsync.port", "127.0.0.1 only")
	p.said(t, "container="+h.containerName("bad"), "hapsync.host", "only letters")
	h.only(t, 0, 0)
}

func twoMachines(t *testing.T) {
	h := newHarbour(t)
	h.run(t, "web1", h.domain("a"), "-p", "8080")
	h.serve(t)
	h.serve(t, "--host", "box2")
	h.only(t, 6, 2)
}

// engineThatWasAway simulates the restart of an engine: its connections break, and containers change meanwhile.
func engineThatWasAway(t *testing.T) {
	h := newHarbour(t)
	f := newFerry(t, h.dir)
	h.env = append(h.env, "DOCKER_HOST=unix://"+f.path)
	h.run(t, "stays", h.domain("a"), "-p", "8080")
	h.run(t, "goes", h.domain("a"), "-p", "8080")
	p := h.serve(t)
	h.becomes(t, "stays", h.domain("a"), "ready")
	h.becomes(t, "goes", h.domain("a"), "ready")
	_, lease := h.keys(t, "stays", h.domain("a"))
	f.cut()
	p.said(t, "the Docker engine does not answer")
	docker(t, "rm", "-f", h.containerName("goes"))
	h.run(t, "comes", h.domain("a"), "-p", "8080")
	h.becomes(t, "goes", h.domain("a"), "ready") // nobody can know
	f.open(t)
	back := time.Now()
	h.becomes(t, "comes", h.domain("a"), "ready")
	h.becomes(t, "goes", h.domain("a"), "")
	t.Logf("in line %s after the engine was back", time.Since(back))
	if _, now := h.keys(t, "stays", h.domain("a")); now != lease {
		t.Error("the container that stayed was registered anew")
	}
	h.only(t, 6, 2)
}

func restartsOfAContainer(t *testing.T) {
	h := newHarbour(t)
	h.run(t, "stays", h.domain("a"), "-p", "8080")
	h.run(t, "web1", h.domain("a"), "-p", "8080") // on another port each time
	h.serve(t)
	h.becomes(t, "web1", h.domain("a"), "ready")
	began := time.Now()
	for range often(50, 3) {
		bring(t, h.containerName("web1"), "restart", "-t", "5", h.containerName("web1"))
	}
	took := time.Since(began)
	_, port, _ := strings.Cut(strings.Split(docker(t, "port", h.containerName("web1"), "8080"), "\n")[0], ":")
	eventually(t, "the last address is in the registry", func() error {
		if keys, _ := h.keys(t, "web1", h.domain("a")); keys["port"] != port || keys["state"] != "ready" {
			return fmt.Errorf("got %v, want port %s", keys, port)
		}
		return nil
	})
	answers(t, h.becomes(t, "web1", h.domain("a"), "ready"), "/", "web1")
	h.becomes(t, "stays", h.domain("a"), "ready")
	h.only(t, 6, 2)
	t.Logf("%d restarts took %s", often(50, 3), took)
}

func containerThatIsStopped(t *testing.T) {
	h := newHarbour(t)
	h.init(t)
	h.start(t)
	h.startAgent(t, "--reload-interval", "100ms")
	h.run(t, "stays", h.domain("a"), "-p", "8080")
	// Without a check a container is registered when it starts, which is before its program listens.
	h.run(t, "goes", h.domain("a"), "-p", "8080", "-e", "LINGER=8s", "-l", "hapsync.check=/health")
	h.serve(t, "--interval", "50ms")
	h.comes(t, h.domain("a"), "box1_"+h.containerName("stays"), &host{name: "stays"})
	cookie, goes := "box1_"+h.containerName("goes"), &host{name: "goes"}
	h.comes(t, h.domain("a"), cookie, goes)
	// Docker's proxy makes a connection for each: more of them use up the machine's local ports, as each is kept for a minute.
	const pause = 50 * time.Millisecond
	l, sticky := startPaced(t, h.box, h.domain("a"), "", pause), startPaced(t, h.box, h.domain("a"), cookie, pause)
	for range 2 {
		served := sticky.served(goes)
		docker(t, "stop", h.containerName("goes"))
		h.becomes(t, "goes", h.domain("a"), "")
		if served == 0 {
			t.Error("nobody has asked the container that is stopped")
		}
		l.goesOn(t)
		bring(t, h.containerName("goes"), "start", h.containerName("goes"))
		h.comes(t, h.domain("a"), cookie, goes)
		sticky.goesOn(t)
	}
	l.endsWithoutFailure(t)
	sticky.endsWithoutFailure(t)
	h.settles(t)
}
