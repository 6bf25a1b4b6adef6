// Package health probes a host, and decides from the results whether it can take requests.
package health

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
)

// A Probe checks a host once. It ends with its context.
type Probe func(ctx context.Context) error

// Parse reads the value of --check.
func Parse(value string) (Probe, error) {
	scheme, rest, _ := strings.Cut(value, ":")
	switch scheme {
	case "http", "https":
		u, err := url.Parse(value)
		if err != nil || u.Hostname() == "" || u.User != nil {
			return nil, errors.New("is not a URL such as http://127.0.0.1:10000/health")
		}
		if u.Port() != "" && !isPort(u.Port()) {
			return nil, errNoPort
		}
		return HTTP(value), nil
	case "tcp":
		addr := strings.TrimPrefix(rest, "//")
		host, port, err := net.SplitHostPort(addr)
		if err != nil || host == "" || port == "" || addr == rest {
			return nil, errors.New("is not an address such as tcp://127.0.0.1:10000")
		}
		if !isPort(port) {
			return nil, errNoPort
		}
		return TCP(addr), nil
	case "exec":
		if words := strings.Fields(rest); len(words) > 0 && strings.HasPrefix(words[0], "/") {
			return execProbe(words), nil
		}
		return nil, errors.New("is not a program with its path, such as exec:/usr/local/bin/health")
	}
	return nil, errors.New("must be http://..., https://..., tcp://host:port or exec:/path")
}

// errNoPort is the error of a check on a port that does not exist.
var errNoPort = errors.New("has a port that is not a number of 1 to 65535")

// isPort reports whether text is a port, or the name of one.
func isPort(text string) bool {
	n, err := net.LookupPort("tcp", text)
	return err == nil && n > 0
}

// TCP succeeds if the address accepts a connection.
func TCP(addr string) Probe {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// HTTP succeeds on 2xx and 3xx, like HAProxy, and follows no redirect.
func HTTP(url string) Probe {
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

// execProbe runs a program without a shell. It is in a process group of its own, which is killed when the time is up.
func execProbe(words []string) Probe {
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
