package e2e

import (
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A recorder stands between hapsync and one of HAProxy's sockets and keeps what is sent to it.
type recorder struct {
	path string // of its own socket
	to   string
	mu   sync.Mutex
	sent strings.Builder
}

func startRecorder(t *testing.T, dir, to string) *recorder {
	t.Helper()
	r := &recorder{path: filepath.Join(dir, "rec-"+filepath.Base(to)), to: to}
	listener, err := net.Listen("unix", r.path)
	if err != nil {
		t.Fatal(err)
	}
	var talks sync.WaitGroup
	talks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			talks.Go(func() { r.talk(conn.(*net.UnixConn)) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		talks.Wait()
	})
	return r
}

// talk passes on both directions, and each end of one.
func (r *recorder) talk(from *net.UnixConn) {
	defer from.Close()
	conn, err := net.Dial("unix", r.to)
	if err != nil {
		return
	}
	to := conn.(*net.UnixConn)
	defer to.Close()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _ = io.Copy(to, io.TeeReader(from, r))
		_ = to.CloseWrite()
	}()
	_, _ = io.Copy(from, to)
	_ = from.Close()
	<-asked
}

// Write keeps what is sent.
func (r *recorder) Write(sent []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent.Write(sent)
}

// commands are those sent since the last call, one by one.
func (r *recorder) commands() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	commands := strings.FieldsFunc(r.sent.String(), func(c rune) bool { return c == '\n' || c == ';' })
	r.sent.Reset()
	return commands
}

// writes are the commands that do more than to read.
func writes(commands []string) []string {
	return slices.DeleteFunc(slices.Clone(commands), func(command string) bool {
		word, _, _ := strings.Cut(command, " ")
		return word == "show" || word == "get"
	})
}
