package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A probe asks a host once how it is. It ends with its context.
type probe func(ctx context.Context) error

// parseProbe reads the value of --check.
func parseProbe(value string) (probe, error) {
	scheme, rest, _ := strings.Cut(value, ":")
	switch scheme {
	case "http", "https":
		if u, err := url.Parse(value); err != nil || u.Hostname() == "" || u.User != nil {
			return nil, errors.New("is not a URL such as http://127.0.0.1:10000/health")
		}
		return httpProbe(value), nil
	case "tcp":
		addr := strings.TrimPrefix(rest, "//")
		if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "" || addr == rest {
			return nil, errors.New("is not an address such as tcp://127.0.0.1:10000")
		}
		return tcpProbe(addr), nil
	case "exec":
		if words := strings.Fields(rest); len(words) > 0 && strings.HasPrefix(words[0], "/") {
			return execProbe(words), nil
		}
		return nil, errors.New("is not a program with its path, such as exec:/usr/local/bin/health")
	}
	return nil, errors.New("must be http://..., https://..., tcp://host:port or exec:/path")
}

// checkSpec is the check of the flag --check.
func checkSpec(value string) error {
	_, err := parseProbe(value)
	return err
}

func tcpProbe(addr string) probe {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// httpProbe takes 2xx and 3xx for good, as HAProxy does, and follows nothing.
func httpProbe(url string) probe {
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		req.Header.Set("User-Agent", "hapsync")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode < 200 || resp.StatusCode >= 400 {
			return fmt.Errorf("it answers %s", resp.Status)
		}
		return nil
	}
}

// execProbe runs a program, without a shell, in a process group that ends as a whole when the time is up.
func execProbe(words []string) probe {
	return func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, words[0], words[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		err := cmd.Run()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
}

// A gate says from the results of a probe whether a host is healthy. The zero value, but for its settings, is not.
type gate struct {
	probe             probe
	interval, timeout time.Duration
	rise, fall        int

	known   bool // there has been a result
	healthy bool
	streak  int // of results that speak against healthy
}

// ask probes once. It reports whether that has changed what the host is, and why it is bad.
func (g *gate) ask(ctx context.Context) (changed bool, why error) {
	limited, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	why = g.probe(limited)
	if errors.Is(why, context.DeadlineExceeded) {
		why = fmt.Errorf("no answer in %s", g.timeout)
	}
	return ctx.Err() == nil && g.count(why == nil), why
}

// count takes a result and reports whether it has changed what the host is. So has the first one that is bad.
func (g *gate) count(good bool) bool {
	first := !g.known
	g.known = true
	if good == g.healthy {
		g.streak = 0
		return first
	}
	enough := g.rise
	if g.healthy {
		enough = g.fall
	}
	if g.streak++; g.streak < enough {
		return false
	}
	g.healthy, g.streak = good, 0
	return true
}

// watch asks at each interval until the context ends, and tells of each change.
func (g *gate) watch(ctx context.Context, tell func(healthy bool, why error)) {
	pace := time.NewTicker(g.interval)
	defer pace.Stop()
	for ctx.Err() == nil {
		if changed, why := g.ask(ctx); changed {
			tell(g.healthy, why)
		}
		select {
		case <-ctx.Done():
		case <-pace.C:
		}
	}
}
