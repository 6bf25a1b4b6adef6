package netns

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
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

// A client makes requests from a machine over one connection, for as long as that is kept. It never repeats a request, so
// that none is lost unseen.
type client struct {
	from       *machine
	addr, path string // path is "/" where it is empty
	conn       net.Conn
	in         *bufio.Reader
}

// get makes a request for a domain, with the cookie of a server unless that is empty. connection is the value of the
// Connection header.
func (c *client) get(domain, server, connection string) (answer, error) {
	if c.conn == nil {
		conn, err := c.from.dial(context.Background(), "tcp", c.addr)
		if err != nil {
			return answer{}, err
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}
	a, last, err := c.exchange(domain, server, connection)
	if err != nil || last {
		c.close()
	}
	return a, err
}

func (c *client) exchange(domain, server, connection string) (a answer, last bool, err error) {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return a, true, err
	}
	head := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n", cmp.Or(c.path, "/"), domain, connection)
	if server != "" {
		head += "Cookie: SERVERID=" + server + "\r\n"
	}
	if _, err := io.WriteString(c.conn, head+"\r\n"); err != nil {
		return a, true, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return a, true, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a = answer{status: resp.StatusCode, body: string(body)}
	for _, cookie := range resp.Cookies() {
		if cookie.Name == "SERVERID" {
			a.cookie = cookie.Value
		}
	}
	return a, resp.Close, err
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// get makes one request from a machine to port 80 of an address, over a connection of its own.
func get(from *machine, ip, domain, server string) (answer, error) {
	c := client{from: from, addr: net.JoinHostPort(ip, "80")}
	return c.get(domain, server, "close")
}

const (
	loadClients = 4 // of each domain; half of them keep their connection
	loadPause   = 20 * time.Millisecond
)

// A load asks domains of a balancer steadily. Every other client has the cookie that it was given first.
type load struct {
	stop func()
	done sync.WaitGroup

	mu     sync.Mutex
	served map[string]int // good answers by body
	failed []string
	moved  int // clients that were given another cookie than they had
	slow   time.Duration
}

func startLoad(t *testing.T, from *machine, to *balancer, domains ...string) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop, served: map[string]int{}}
	for _, domain := range domains {
		for i := range loadClients {
			c := &client{from: from, addr: net.JoinHostPort(to.ip, "80")}
			l.done.Go(func() { l.work(ctx, c, domain, i) })
		}
	}
	t.Cleanup(l.end)
	l.goesOn(t)
	return l
}

// work is one client: with a connection for each request, or with one for all; with the cookie it was given, or without.
func (l *load) work(ctx context.Context, c *client, domain string, number int) {
	defer c.close()
	connection := []string{"keep-alive", "close"}[number%2]
	pause := time.NewTicker(loadPause)
	defer pause.Stop()
	server := ""
	for {
		began := time.Now()
		a, err := c.get(domain, server, connection)
		l.count(began, domain+" "+connection, a, err)
		if number >= loadClients/2 && a.cookie != "" {
			l.changes(server)
			server = a.cookie
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
	}
}

// changes counts a client that had a cookie and is given another one.
func (l *load) changes(had string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if had != "" {
		l.moved++
	}
}

func (l *load) count(began time.Time, what string, a answer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow = max(l.slow, time.Since(began))
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("%s", a)
	}
	if err != nil {
		l.failed = append(l.failed, fmt.Sprintf("%s at %s, after %s: %v", what, began.Format("15:04:05.000"), time.Since(began).Round(time.Millisecond), err))
		return
	}
	l.served[a.body]++
}

// goesOn waits for more good answers, so that what happened before has been under load.
func (l *load) goesOn(t *testing.T) {
	t.Helper()
	before := l.good()
	eventually(t, "the load is served", func() error {
		if now := l.good(); now < before+20*loadClients {
			return fmt.Errorf("%d answers, %d failures", now-before, len(l.failures()))
		}
		return nil
	})
}

func (l *load) good() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n1 := range maps.Values(l.served) {
		n += n1
	}
	return n
}

func (l *load) failures() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.failed)
}

func (l *load) end() {
	l.stop()
	l.done.Wait()
}

// endsWithoutFailure fails the test where a request was not served.
func (l *load) endsWithoutFailure(t *testing.T) {
	t.Helper()
	l.goesOn(t)
	l.end()
	failed := l.failures()
	t.Logf("served %d requests, the slowest in %s; lost %d", l.good(), l.slow.Round(time.Millisecond), len(failed))
	if len(failed) > 0 {
		t.Errorf("lost %d requests, the first:\n%s", len(failed), strings.Join(failed[:min(len(failed), 10)], "\n"))
	}
}
