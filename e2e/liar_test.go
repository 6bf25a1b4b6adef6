package e2e

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
)

// A liar stands between hapsync and HAProxy's stats socket. It passes on what is asked, and what is answered as its lie
// makes of it.
type liar struct {
	path string // of its own socket
	to   string

	mu   sync.Mutex
	lie  func(reply []byte) []byte // nil for the truth
	hush chan struct{}             // nil, or open for as long as nothing at all is answered
}

func startLiar(t *testing.T, dir, to string) *liar {
	t.Helper()
	l := &liar{path: filepath.Join(dir, "liar.sock"), to: to}
	listener, err := net.Listen("unix", l.path)
	if err != nil {
		t.Fatal(err)
	}
	var talks sync.WaitGroup
	talks.Go(func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			talks.Go(func() { l.talk(conn.(*net.UnixConn)) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.tells(nil)
		talks.Wait()
	})
	return l
}

func (l *liar) tells(lie func([]byte) []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lie = lie
	if l.hush != nil {
		close(l.hush)
		l.hush = nil
	}
}

// falls silent: who asks waits.
func (l *liar) fallsSilent() {
	l.tells(nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hush = make(chan struct{})
}

func (l *liar) now() (lie func([]byte) []byte, hush chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lie, l.hush
}

func (l *liar) talk(from *net.UnixConn) {
	defer from.Close()
	lie, hush := l.now()
	if hush != nil {
		<-hush
		return
	}
	conn, err := net.Dial("unix", l.to)
	if err != nil {
		return
	}
	to := conn.(*net.UnixConn)
	defer to.Close()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _ = io.Copy(to, from)
		_ = to.CloseWrite()
	}()
	reply, _ := io.ReadAll(to)
	if lie != nil {
		reply = lie(reply)
	}
	_, _ = from.Write(reply)
	_ = from.Close()
	<-asked
}

// The lies. The last one is told only of the servers: who asks finds nothing wrong with the process itself. How the
// replies end depends on HAProxy's version there.
var lies = []struct {
	name string
	each bool // on each version
	lie  func(reply []byte) []byte
}{
	{"garbage", false, func([]byte) []byte { return []byte("HTTP/1.1 400 Bad request\r\nConnection: close\r\n\r\n\x00\xff") }},
	{"nothing", false, func([]byte) []byte { return nil }},
	{"half a line", false, func(reply []byte) []byte { return bytes.TrimRight(reply[:len(reply)/2], "\n") }},
	{"half of the servers", true, func(reply []byte) []byte {
		process, servers := []byte(nil), reply
		if end := bytes.Index(reply, []byte("\n\n")); end >= 0 && bytes.Contains(reply, []byte("\nPid: ")) {
			process, servers = reply[:end+2], reply[end+2:]
		}
		lines := bytes.SplitAfter(servers, []byte("\n"))
		return bytes.Join(append([][]byte{process}, lines[:len(lines)/2]...), nil)
	}},
}
