package main

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// A backend is a web server that answers every request with its own name.
type backend struct {
	name   string
	port   string
	server *http.Server
}

// startBackend listens on the port, or on another one if that is taken.
func startBackend(name string, port int) (*backend, error) {
	l, err := listen(port)
	if err != nil {
		return nil, err
	}
	b := &backend{name: name, port: strconv.Itoa(l.Addr().(*net.TCPAddr).Port)}
	b.server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, name+"\n") // a client that left is no error
		}),
	}
	go func() { _ = b.server.Serve(l) }() // until close
	return b, nil
}

func (b *backend) close() { _ = b.server.Close() }
