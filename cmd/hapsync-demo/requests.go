package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const cookieName = "SERVERID"

// An answer is what HAProxy served.
type answer struct {
	code   int
	body   string
	cookie string // the server in the cookie; empty if no cookie was set
}

func (a answer) String() string { return fmt.Sprintf("%d %q", a.code, strings.TrimSpace(a.body)) }

// from returns an error unless the backend sent the answer.
func (a answer) from(b *backend) error {
	if a.code != http.StatusOK || a.body != b.name+"\n" {
		return fmt.Errorf("got %s, not the answer of %q", a, b.name)
	}
	return nil
}

// ask requests the domain over a new connection, with the cookie of a server unless that is empty.
func (p *playground) ask(ctx context.Context, domain, server string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.web+"/", nil)
	if err != nil {
		return answer{}, err
	}
	req.Host = domain
	if server != "" {
		req.AddCookie(&http.Cookie{Name: cookieName, Value: server}) //nolint:gosec // what a client sends has no attributes
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{code: resp.StatusCode, body: string(body)}
	for _, c := range resp.Cookies() {
		if c.Name == cookieName {
			a.cookie = c.Value
		}
	}
	return a, nil
}

// curl prints the command line for the same request as ask.
func (p *playground) curl(domain, server string) { p.out.command(p.curlLine(domain, server)) }

func (p *playground) curlLine(domain, server string) string {
	cookie := ""
	if server != "" {
		cookie = "-b " + cookieName + "=" + server + " "
	}
	return fmt.Sprintf("curl %s-H 'Host: %s' http://%s/", cookie, domain, p.web)
}

// request shows what HAProxy serves now: round robin, stickiness, a second domain, an unknown one.
func (p *playground) request(ctx context.Context) error {
	for _, show := range []func(context.Context) error{p.roundRobin, p.sticky, p.others} {
		if err := show(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (p *playground) roundRobin(ctx context.Context) error {
	bodies, err := p.turns(ctx)
	if err != nil {
		return err
	}
	for _, body := range bodies {
		p.curl(domainA, "")
		p.out.output(body)
	}
	p.out.checked("%s: its two hosts take turns", domainA)
	return nil
}

// turns requests a.abc.com four times. It returns an error unless its two hosts take turns.
func (p *playground) turns(ctx context.Context) (bodies []string, err error) {
	for range 4 {
		a, err := p.ask(ctx, domainA, "")
		if err != nil {
			return nil, err
		}
		if a.from(p.backends[0]) != nil && a.from(p.backends[1]) != nil {
			return nil, fmt.Errorf("%s: neither of its hosts answers: %s", domainA, a)
		}
		bodies = append(bodies, a.body)
	}
	if bodies[0] == bodies[1] || bodies[0] != bodies[2] || bodies[1] != bodies[3] {
		return nil, fmt.Errorf("%s: its hosts do not take turns: %q", domainA, bodies)
	}
	return bodies, nil
}

func (p *playground) sticky(ctx context.Context) error {
	first, err := p.ask(ctx, domainA, "")
	if err != nil {
		return err
	}
	if first.cookie == "" {
		return errors.New("an answer sets no cookie " + cookieName)
	}
	for range 3 {
		p.curl(domainA, first.cookie)
		a, err := p.ask(ctx, domainA, first.cookie)
		if err != nil {
			return err
		}
		p.out.output(a.body)
		if a.body != first.body {
			return fmt.Errorf("the cookie %s=%s leads to another host: %s", cookieName, first.cookie, a)
		}
	}
	p.out.checked("a client that was given the cookie %s=%s comes back to %s", cookieName, first.cookie, first.cookie)
	return nil
}

func (p *playground) others(ctx context.Context) error {
	p.curl(domainB, "")
	a, err := p.ask(ctx, domainB, "")
	if err != nil {
		return err
	}
	p.out.output(a.body)
	if err := a.from(p.backends[2]); err != nil {
		return err
	}
	p.out.checked("%s is served by its own host", domainB)

	p.out.command("curl -s -o /dev/null -w '%{http_code}\\n'" + strings.TrimPrefix(p.curlLine(domainNone, ""), "curl"))
	if a, err = p.ask(ctx, domainNone, ""); err != nil {
		return err
	}
	p.out.output(fmt.Sprintln(a.code))
	if a.code != http.StatusServiceUnavailable {
		return fmt.Errorf("%s is not registered, but answers %s", domainNone, a)
	}
	p.out.checked("a domain that is not registered gets 503")
	return nil
}
