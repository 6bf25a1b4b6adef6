package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/daemon"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"

	"github.com/hapsync/hapsync/registry"
)

// errNoAgent is wrapped if no agent listens.
var errNoAgent = errors.New("no agent answers")

// An inquiry is an HTTP client for one agent.
type inquiry struct {
	where  string // for people, without a password
	base   url.URL
	client http.Client
}

func agentURLFlag() cli.Flag {
	return cli.Text(cli.Spec{Name: "agent-url", // not checked here: the error would show the password
		Usage: "`URL` of the agent to ask, instead of --listen, as https://USER:PASSWORD@lb1:9101; one with a password is given by the variable"})
}

// agentURL parses an --agent-url. Its errors do not repeat it, because it may have a password.
func agentURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, errors.New("must be a URL as https://lb1:9101, with USER:PASSWORD@ before the host if it asks for them")
	}
	if u.Port() != "" && registry.CheckValue("port", u.Port()) != nil {
		return nil, errors.New("has a port that is not a number of 1 to 65535: give a URL as https://lb1:9101")
	}
	return u, nil
}

// newInquiry is the inquiry that the flags describe.
func newInquiry(c *cli.Context) (q inquiry, err error) {
	transport := &http.Transport{DisableKeepAlives: true}
	q.client.Transport = transport
	if text := c.String("agent-url"); text != "" {
		u, err := agentURL(text)
		if err != nil {
			return q, cli.Usagef(c, "--agent-url: %w", err)
		}
		q.base, q.where = *u, (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
	} else {
		where, err := daemon.ParseAddress(c.String("listen"))
		if err != nil {
			return q, cli.Usagef(c, "--listen: %w", err)
		}
		if where.None() {
			return q, nil
		}
		q.base, q.where = url.URL{Scheme: "http", Host: "hapsync"}, where.String()
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return where.Dial(ctx) }
	}
	file := c.String("web-config-file")
	if file == "" {
		return q, nil
	}
	if transport.TLSClientConfig, err = daemon.TrustWebConfig(file, q.base.Hostname()); err != nil {
		return q, fmt.Errorf("--web-config-file: %w", err)
	}
	if transport.TLSClientConfig != nil && c.String("agent-url") == "" {
		q.base.Scheme = "https"
	}
	return q, nil
}

// patience is how long an agent may take to answer.
const patience = 10 * time.Second

// get returns the agent's answer for a path, up to 64 MB. The error wraps errNoAgent if no agent listens.
func (q inquiry) get(ctx context.Context, path string) (code int, body []byte, err error) {
	if q.where == "" {
		return 0, nil, fmt.Errorf("%w: --listen is off", errNoAgent)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, q.base.JoinPath(path).String(), nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := q.client.Do(request)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return 0, nil, fmt.Errorf("%w on %s", errNoAgent, q.where)
	case err != nil:
		return 0, nil, q.failed(err)
	}
	defer response.Body.Close()
	const most = 64 << 20 // enough for 100,000 problems
	body, err = io.ReadAll(io.LimitReader(response.Body, most))
	switch {
	case err != nil:
		return 0, nil, q.failed(err)
	case response.StatusCode == http.StatusUnauthorized:
		return 0, nil, q.failed(errors.New("it wants another user or password (basic_auth_users of its --web-config-file): " +
			"HAPSYNC_AGENT_URL=https://USER:PASSWORD@HOST:PORT"))
	case bytes.Contains(body, []byte("HTTP request to an HTTPS server")):
		return 0, nil, q.failed(errors.New("it wants TLS: give its --web-config-file, or --agent-url https://HOST:PORT"))
	}
	return response.StatusCode, body, nil
}

// failed is an error of a request, with a remedy.
func (q inquiry) failed(err error) error {
	var whole *url.Error
	if errors.As(err, &whole) {
		err = whole.Err
	}
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() {
		err = fmt.Errorf("it does not answer in time (%s): is it stopped or overloaded?", patience)
	}
	var unknown *tls.CertificateVerificationError
	if errors.As(err, &unknown) {
		err = fmt.Errorf("%w (SSL_CERT_FILE=FILE names the authority's certificate)", err)
	}
	return fmt.Errorf("ask the agent on %s: %w", q.where, err)
}

// status is the agent's status.
func (q inquiry) status(ctx context.Context) (render.Status, error) {
	code, body, err := q.get(ctx, "/status")
	if err != nil {
		return render.Status{}, err
	}
	status, err := readStatus(code, body)
	if err != nil {
		return render.Status{}, fmt.Errorf("ask the agent on %s: %w", q.where, err)
	}
	return status, nil
}

func readStatus(code int, body []byte) (status render.Status, err error) {
	if code != http.StatusOK {
		return status, fmt.Errorf("it answers %d to /status: is it hapsync's address (--listen)?", code)
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&status); err != nil || status.Version == 0 || status.Agent == nil {
		return status, errors.New("what answers there is no hapsync agent: give the agent's --listen")
	}
	if status.Version != render.StatusVersion {
		return status, fmt.Errorf("it is version %s, whose status this one cannot read: use the same version", registry.OneLine(status.Agent.Version))
	}
	return status, nil
}

// ready is nil if /readyz answers 200, else it says why not.
func (q inquiry) ready(ctx context.Context) error {
	code, body, err := q.get(ctx, "/readyz")
	if err != nil || code == http.StatusOK {
		return err
	}
	reasons := strings.ReplaceAll(strings.TrimSpace(string(body)), "\n", "; ")
	return fmt.Errorf("the agent on %s is not ready: %s", q.where, registry.OneLine(reasons))
}
