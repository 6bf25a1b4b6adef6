package compose

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	domainA = "a.abc.com"
	domainB = "b.abc.com"
	domainC = "test.abc.com" // of the profile docker; its containers would mix with those of the demo under one name
)

// An answer is what a client got.
type answer struct {
	status int
	body   string // without the line end
	cookie string // the value of SERVERID that the answer sets
}

func (a answer) String() string { return fmt.Sprintf("%d %q", a.status, a.body) }

// A client makes requests over one connection, for as long as that is kept. It never repeats one, so that none is lost
// unseen.
type client struct {
	addr string
	path string // "/" where it is empty
	conn net.Conn
	in   *bufio.Reader
}

// patience is how long a client waits for an answer; HAProxy's own limits are below it.
const patience = 40 * time.Second

func (c *client) get(domain, server, connection string, patience time.Duration) (answer, error) {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.addr, patience)
		if err != nil {
			return answer{}, err
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}
	a, closed, err := c.exchange(domain, server, connection, patience)
	if err != nil || closed {
		c.close()
	}
	return a, err
}

func (c *client) exchange(domain, server, connection string, patience time.Duration) (answer, bool, error) {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return answer{}, false, err
	}
	cookie := ""
	if server != "" {
		cookie = "Cookie: SERVERID=" + server + "\r\n"
	}
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: %s\r\n%s\r\n", cmp.Or(c.path, "/"), domain, connection, cookie); err != nil {
		return answer{}, false, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return answer{}, false, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a := answer{status: resp.StatusCode, body: strings.TrimSpace(string(body))}
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

// ask makes one request over a connection of its own.
func ask(addr, domain, server string) (answer, error) {
	c := client{addr: addr}
	return c.get(domain, server, "close", patience)
}

// serves is an error unless the domain is served, by nobody but the hosts, each of which answers.
func serves(addr, domain string, hosts ...string) error {
	seen := map[string]bool{}
	for range 20 { // a load asks at the same time: turns are not strict
		c := client{addr: addr}
		a, err := c.get(domain, "", "close", 2*time.Second)
		if err != nil {
			return err
		}
		if a.status != http.StatusOK {
			return fmt.Errorf("%s: %s", domain, a)
		}
		seen[a.body] = true
	}
	for _, host := range hosts {
		if !seen[host] {
			return fmt.Errorf("%s: %s is not among %v", domain, host, seen)
		}
	}
	if len(seen) != len(hosts) {
		return fmt.Errorf("%s is served by %v, not by %v alone", domain, seen, hosts)
	}
	return nil
}

// loadClients is how many clients a load has: as many requests, and no more, are under way at a time. Half of them keep
// their connection.
const loadClients = 4

// A load asks for a domain steadily.
type load struct {
	addr   string
	domain string

	stop chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex
	good   int
	failed []failure
	slow   time.Duration
}

// A failure is a request that was not served.
type failure struct {
	began time.Time
	what  string
}

// startLoad loads a.abc.com.
func startLoad(t *testing.T, addr string) *load {
	t.Helper()
	return startLoadOf(t, addr, domainA)
}

func startLoadOf(t *testing.T, addr, domain string) *load {
	t.Helper()
	l := &load{addr: addr, domain: domain, stop: make(chan struct{})}
	for i := range loadClients {
		connection := []string{"keep-alive", "close"}[i%2]
		l.done.Go(func() { l.work(connection) })
	}
	t.Cleanup(l.end)
	l.goesOn(t)
	return l
}

func (l *load) work(connection string) {
	c := &client{addr: l.addr}
	defer c.close()
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for {
		began := time.Now()
		a, err := c.get(l.domain, "", connection, patience)
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%s", a)
		}
		l.count(began, connection, err)
		select {
		case <-pause.C:
		case <-l.stop:
			return
		}
	}
}

func (l *load) count(began time.Time, connection string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow = max(l.slow, time.Since(began))
	if err == nil {
		l.good++
		return
	}
	l.failed = append(l.failed, failure{began, fmt.Sprintf("%s, after %v: %v", connection, time.Since(began).Round(time.Millisecond), err)})
}

// goesOn waits for more good answers.
func (l *load) goesOn(t *testing.T) {
	t.Helper()
	start := l.served()
	eventually(t, "the load is served", func() error {
		if l.served() < start+20*loadClients {
			return errNotYet
		}
		return nil
	})
}

func (l *load) served() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.good
}

func (l *load) end() {
	l.mu.Lock()
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.mu.Unlock()
	l.done.Wait()
}

// loses ends the load, says what was lost, and fails the test where that is more than lost requests.
func (l *load) loses(t *testing.T, lost int) {
	t.Helper()
	l.goesOn(t)
	l.end()
	t.Logf("served %d, the slowest in %v; lost %d", l.good, l.slow.Round(time.Millisecond), len(l.failed))
	for _, f := range l.failed {
		t.Logf("lost: %s", f.what)
	}
	if len(l.failed) > lost {
		t.Errorf("lost %d requests, want %d at most", len(l.failed), lost)
	}
}

// losesBetween ends the load, says what was lost, and fails the test where that is a request that was begun before start or
// after end.
func (l *load) losesBetween(t *testing.T, start, end time.Time) {
	t.Helper()
	l.goesOn(t)
	l.end()
	beyond := 0
	for _, f := range l.failed {
		if f.began.Before(start) || f.began.After(end) {
			beyond++
			t.Errorf("lost: begun %v after the start: %s", f.began.Sub(start).Round(time.Millisecond), f.what)
		}
	}
	t.Logf("served %d; lost %d in the %v from the kill to the first right answers, and %d before or after",
		l.good, len(l.failed)-beyond, end.Sub(start).Round(time.Millisecond), beyond)
}

// A download takes two seconds.
type download struct{ done chan error }

func startDownload(addr, server string) download {
	d := download{make(chan error, 1)}
	go func() {
		c := client{addr: addr, path: "/slow"}
		a, err := c.get(domainA, server, "close", patience)
		if err == nil && strings.Count(a.body, "web") != 24 {
			err = fmt.Errorf("%s", a)
		}
		d.done <- err
	}()
	return d
}

// completes fails the test unless the whole answer came.
func (d download) completes(t *testing.T) {
	t.Helper()
	if err := <-d.done; err != nil {
		t.Errorf("a download under way: %v", err)
	}
}
