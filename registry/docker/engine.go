package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/registry"
)

// answerTimeout is the timeout of one answer of the engine.
const answerTimeout = 10 * time.Second

// An Engine is a Docker engine. Its methods may be called by several goroutines at once.
type Engine struct {
	api *client.Client
}

// Open returns the engine at an address such as unix:///run/docker.sock or tcp://127.0.0.1:2375. Empty means the engine that
// the docker command would use: DOCKER_HOST and related variables. It does not connect.
func Open(address string) (*Engine, error) {
	find := []client.Opt{client.FromEnv}
	if address != "" {
		find = []client.Opt{client.WithHost(address)}
	}
	err := checkAddress(cmp.Or(address, os.Getenv(client.EnvOverrideHost)))
	if err != nil {
		return nil, fmt.Errorf("the Docker engine of DOCKER_HOST: %w", err)
	}
	api, err := client.New(find...)
	if err != nil {
		return nil, fmt.Errorf("the Docker engine of DOCKER_HOST: %w", err)
	}
	return &Engine{api: api}, nil
}

// checkAddress refuses what Docker's client would take for a name to look up. Its errors do not repeat the address, because it
// may have a password.
func checkAddress(address string) error {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		return nil
	}
	if !slices.Contains([]string{"unix", "tcp", "http", "https"}, scheme) {
		return fmt.Errorf("%s is not supported: give unix:///run/docker.sock, or tcp://HOST:PORT with the variables for TLS", registry.OneLine(scheme))
	}
	hostPort, _, _ := strings.Cut(rest, "/")
	if _, port, err := net.SplitHostPort(hostPort); scheme != "unix" && err == nil && port != "" {
		return registry.CheckValue("port", port)
	}
	return nil
}

// Close closes idle connections.
func (e *Engine) Close() error { return e.api.Close() }

// Host is the address of the engine.
func (e *Engine) Host() string { return e.api.DaemonHost() }

// Containers are the running containers, sorted by name; only those with the label, if it is not empty.
func (e *Engine) Containers(ctx context.Context, label string) ([]Container, error) {
	options := client.ContainerListOptions{}
	if label != "" {
		options.Filters = make(client.Filters).Add("label", label)
	}
	short, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	list, err := e.api.ContainerList(short, options)
	if err != nil {
		return nil, fmt.Errorf("list the containers: %w", err)
	}
	var running []Container
	for _, summary := range list.Items {
		c, err := e.inspect(ctx, summary)
		if errdefs.IsNotFound(err) {
			continue // it is gone
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.Unread = err
		if err != nil || !c.Started.IsZero() {
			running = append(running, c)
		}
	}
	slices.SortFunc(running, func(a, b Container) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return running, nil
}

// inspect reads one container. If it has stopped, Started is zero.
func (e *Engine) inspect(ctx context.Context, summary container.Summary) (Container, error) {
	c := Container{ID: summary.ID, Name: summary.ID}
	if len(summary.Names) > 0 {
		c.Name = strings.TrimPrefix(summary.Names[0], "/")
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	answer, err := e.api.ContainerInspect(ctx, summary.ID, client.ContainerInspectOptions{})
	if err != nil {
		return c, fmt.Errorf("inspect the container: %w", err)
	}
	in := answer.Container
	if in.State == nil || in.Config == nil || in.HostConfig == nil || in.NetworkSettings == nil {
		return c, fmt.Errorf("inspect the container: the answer lacks its state, its configuration or its networks")
	}
	c.Name = strings.TrimPrefix(in.Name, "/")
	if !in.State.Running || in.State.Restarting {
		return c, nil
	}
	if c.Started, err = time.Parse(time.RFC3339Nano, in.State.StartedAt); err != nil {
		return c, fmt.Errorf("inspect the container: %w", err)
	}
	c.Labels, c.Env, c.Paused = in.Config.Labels, in.Config.Env, in.State.Paused
	c.StopSignal = signalNumber(in.Config.StopSignal)
	if health := in.State.Health; health != nil && health.Status != container.NoHealthcheck {
		c.Health = Health(health.Status)
	}
	c.HostNetwork = in.HostConfig.NetworkMode.IsHost()
	c.Exposed = exposed(in.Config.ExposedPorts)
	c.Published = published(in.NetworkSettings.Ports)
	c.Networks = networks(in.NetworkSettings.Networks)
	return c, nil
}

// rtMin and rtMax are the engine's numbers of the real-time signals, which have no names in the kernel.
const rtMin, rtMax = 34, 64

// signalNumber accepts "SIGQUIT", "QUIT", "3" and "SIGRTMIN+3", like the engine, and "" for the default.
func signalNumber(name string) string {
	if n, err := strconv.Atoi(name); err == nil {
		return strconv.Itoa(n)
	}
	name = strings.TrimPrefix(strings.ToUpper(name), "SIG")
	if same, ok := map[string]string{"CLD": "CHLD", "IOT": "ABRT", "POLL": "IO"}[name]; ok {
		name = same
	}
	if n := unix.SignalNum("SIG" + name); n != 0 {
		return strconv.Itoa(int(n))
	}
	for from, first := range map[string]int{"RTMIN": rtMin, "RTMAX": rtMax} {
		words, isReal := strings.CutPrefix(name, from)
		offset, err := strconv.Atoi(cmp.Or(words, "+0"))
		if n := first + offset; isReal && err == nil && rtMin <= n && n <= rtMax {
			return strconv.Itoa(n)
		}
	}
	return strconv.Itoa(int(unix.SIGTERM))
}

func exposed(set network.PortSet) (ports []uint16) {
	for port := range set {
		if port.Proto() == network.TCP {
			ports = append(ports, port.Num())
		}
	}
	slices.Sort(ports)
	return ports
}

func published(ports network.PortMap) (all []Published) {
	for port, bindings := range ports {
		for _, b := range bindings {
			n, err := strconv.ParseUint(b.HostPort, 10, 16)
			if err != nil || n == 0 || port.Proto() != network.TCP {
				continue
			}
			ip := b.HostIP.Unmap()
			if !ip.IsValid() {
				ip = netip.IPv4Unspecified()
			}
			all = append(all, Published{Port: port.Num(), At: netip.AddrPortFrom(ip, uint16(n))})
		}
	}
	slices.SortFunc(all, func(a, b Published) int { return cmp.Or(cmp.Compare(a.Port, b.Port), a.At.Compare(b.At)) })
	return all
}

func networks(settings map[string]*network.EndpointSettings) (all []Network) {
	for name, endpoint := range settings {
		if endpoint == nil {
			continue
		}
		ip := endpoint.IPAddress
		if !ip.IsValid() {
			ip = endpoint.GlobalIPv6Address
		}
		if ip.IsValid() {
			all = append(all, Network{Name: name, IP: ip.Unmap()})
		}
	}
	slices.SortFunc(all, func(a, b Network) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// An Event is something that happened to a container.
type Event struct {
	Container string // its ID
	// Signal is the number of the signal that the container got; empty for other events.
	Signal string
	// Start is set if the container has started.
	Start bool
	Time  time.Time
}

// ErrEvents is wrapped by errors of an engine that answers, but whose stream of events ended or never began.
var ErrEvents = errors.New("follow the events")

// Follow calls tell with each event that may change what Containers returns, until the stream breaks or the context ends; it
// never returns nil. It calls following when the stream is open, before the first event.
func (e *Engine) Follow(ctx context.Context, following func(), tell func(Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	short, stop := context.WithTimeout(ctx, answerTimeout)
	_, err := e.api.Ping(short, client.PingOptions{}) // opening the stream has no timeout
	stop()
	if err != nil {
		return err
	}
	stream := e.api.Events(ctx, client.EventsListOptions{Filters: make(client.Filters).
		Add("type", string(events.ContainerEventType), string(events.NetworkEventType)).
		Add("event", "start", "die", "kill", "pause", "unpause", "rename", "health_status", "connect", "disconnect")})
	following()
	for {
		select {
		case err := <-stream.Err:
			return fmt.Errorf("%w: %w", ErrEvents, err)
		case m := <-stream.Messages:
			event := Event{Container: m.Actor.ID, Start: m.Action == events.ActionStart, Time: time.Unix(0, m.TimeNano)}
			if m.Action == events.ActionKill {
				event.Signal = m.Actor.Attributes["signal"]
			}
			tell(event)
		}
	}
}
