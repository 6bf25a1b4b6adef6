package e2e

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A wire is a connection to an address that can be cut.
type wire struct {
	at, to string
	mu     sync.Mutex
	down   bool
	conns  map[net.Conn]bool
}

func startWire(t *testing.T, to string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{at: listener.Addr().String(), to: to, conns: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			running.Go(func() { w.carry(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		w.cut()
		running.Wait()
	})
	return w
}

func (w *wire) carry(from net.Conn) {
	to, err := net.Dial("tcp", w.to)
	if err != nil {
		_ = from.Close()
		return
	}
	ends := []net.Conn{from, to}
	w.keep(ends)
	var running sync.WaitGroup
	for i := range ends {
		running.Go(func() {
			_, _ = io.Copy(ends[i], ends[1-i])
			_, _ = from.Close(), to.Close()
		})
	}
	running.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, from)
	delete(w.conns, to)
}

// keep takes a connection in, and closes it where the wire is cut.
func (w *wire) keep(ends []net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, end := range ends {
		if w.down {
			_ = end.Close()
		}
		w.conns[end] = true
	}
}

// cut breaks all connections, and each new one until the wire is mended.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for conn := range w.conns {
		_ = conn.Close()
	}
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
}
