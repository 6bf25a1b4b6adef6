package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// An answer is what a client got.
type answer struct {
	status int
	body   string
	cookie string // the value of SERVERID that the answer sets; empty where it sets none
}

func (a answer) String() string { return fmt.Sprintf("%d %q", a.status, a.body) }

// A client makes requests over one connection, as long as that is kept alive. Unlike net/http's it never repeats a
// request, so that none is lost unseen.
type client struct {
	addr string
	conn net.Conn
	in   *bufio.Reader
}

// requestTimeout bounds a request; HAProxy's own limits are below it.
const requestTimeout = 40 * time.Second

// get makes a request for a domain, with the cookie of a server unless that is empty. connection is the value of the
// Connection header.
func (c *client) get(domain, server, connection string) (answer, error) {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.addr, requestTimeout)
		if err != nil {
			return answer{}, err
		}
		c.take(conn)
	}
	resp, err := c.send("/", domain, server, connection)
	if err != nil {
		c.close()
		return answer{}, err
	}
	a, err := receive(resp)
	if err != nil || resp.Close {
		c.close()
	}
	return a, err
}

func (c *client) take(conn net.Conn) { c.conn, c.in = conn, bufio.NewReader(conn) }

// send sends a request and reads the head of the answer.
func (c *client) send(path, domain, server, connection string) (*http.Response, error) {
	if err := c.conn.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return nil, err
	}
	cookie := ""
	if server != "" {
		cookie = "Cookie: SERVERID=" + server + "\r\n"
	}
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n%s\r\n", path, domain, connection, cookie); err != nil {
		return nil, err
	}
	return http.ReadResponse(c.in, nil)
}

// receive reads an answer to its end.
func receive(resp *http.Response) (answer, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a := answer{status: resp.StatusCode, body: string(body)}
	for _, c := range resp.Cookies() {
		if c.Name == "SERVERID" {
			a.cookie = c.Value
		}
	}
	return a, err
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// get makes one request on a connection of its own.
func get(addr, domain, server string) (answer, error) {
	c := client{addr: addr}
	return c.get(domain, server, "close")
}

// ask requests a domain of the box's HAProxy, as curl does; server is the value of the cookie, or empty.
func (b *box) ask(t testing.TB, domain, server string) answer {
	t.Helper()
	a, err := get(b.web, domain, server)
	if err != nil {
		t.Fatalf("GET %s: %v", domain, err)
	}
	return a
}

// serves fails the test unless the host answers requests for the domain.
func (b *box) serves(t testing.TB, domain, server string, h *host) {
	t.Helper()
	if a := b.ask(t, domain, server); a.status != http.StatusOK || a.body != h.name {
		t.Errorf("%s with cookie %q: got %s, want %q", domain, server, a, h.name)
	}
}

// unknown fails the test unless HAProxy answers for the domain as for any that it does not know.
func (b *box) unknown(t testing.TB, domain string) {
	t.Helper()
	if a := b.ask(t, domain, ""); a.status != http.StatusServiceUnavailable {
		t.Errorf("%s: got %s, want HAProxy's 503", domain, a)
	}
}
