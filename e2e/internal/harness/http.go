package harness

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Patience bounds a request; HAProxy's own limits are below it.
const Patience = 40 * time.Second

// An Answer is what a client got.
type Answer struct {
	Status int
	Body   string
	Cookie string // the value of SERVERID that the answer sets; empty where it sets none
}

func (a Answer) String() string { return fmt.Sprintf("%d %q", a.Status, a.Body) }

// A Client makes requests over one connection, as long as that is kept alive. Unlike net/http's it never repeats a
// request, so that none is lost unseen.
type Client struct {
	Addr     string
	Dial     func() (net.Conn, error) // connects to Addr by TCP where it is nil
	Path     string                   // "/" where it is empty
	Patience time.Duration            // Patience where it is 0

	conn net.Conn
	in   *bufio.Reader
}

// Get makes one request on a connection of its own.
func Get(addr, domain, server string) (Answer, error) {
	c := Client{Addr: addr}
	return c.Get(domain, server, "close")
}

// Get makes a request for a domain, with the cookie of a server unless that is empty. connection is the value of the
// Connection header.
func (c *Client) Get(domain, server, connection string) (Answer, error) {
	resp, err := c.Send(domain, server, connection)
	if err != nil {
		return Answer{}, err
	}
	a, err := Receive(resp)
	if err != nil || resp.Close {
		c.Close()
	}
	return a, err
}

// Send sends a request as Get does, and reads the head of the answer.
func (c *Client) Send(domain, server, connection string) (*http.Response, error) {
	resp, err := c.send(domain, server, connection)
	if err != nil {
		c.Close()
	}
	return resp, err
}

func (c *Client) send(domain, server, connection string) (*http.Response, error) {
	patience := cmp.Or(c.Patience, Patience)
	if c.conn == nil {
		conn, err := c.dial(patience)
		if err != nil {
			return nil, err
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	cookie := ""
	if server != "" {
		cookie = "Cookie: SERVERID=" + server + "\r\n"
	}
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n%s\r\n", cmp.Or(c.Path, "/"), domain, connection, cookie); err != nil {
		return nil, err
	}
	return http.ReadResponse(c.in, nil)
}

func (c *Client) dial(patience time.Duration) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial()
	}
	return net.DialTimeout("tcp", c.Addr, patience)
}

// Receive reads an answer to its end.
func Receive(resp *http.Response) (Answer, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a := Answer{Status: resp.StatusCode, Body: string(body)}
	for _, c := range resp.Cookies() {
		if c.Name == "SERVERID" {
			a.Cookie = c.Value
		}
	}
	return a, err
}

// Close closes the client's connection; the next request makes a new one.
func (c *Client) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}
