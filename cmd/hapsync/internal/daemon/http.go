package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/web"
	"github.com/hapsync/hapsync/sync"

	stdsync "sync"
)

// Handler answers requests about the agent. It only reads.
func (s *Daemon) Handler() http.Handler { return s.handler(web.New(s.subject)) }

func (s *Daemon) handler(site *web.Site) http.Handler {
	mux := http.NewServeMux()
	site.Mount(mux)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /status", s.statusz)
	mux.Handle("GET /metrics", s.metrics())
	return mux
}

// healthz answers 200 as long as the pass loop works, even if passes fail.
func (s *Daemon) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := s.alive(); err != nil {
		reply(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	reply(w, http.StatusOK, "ok")
}

// readyz answers 200 if HAProxy is in line and everything can be reached, else 503 and the reasons, one a line.
func (s *Daemon) readyz(w http.ResponseWriter, _ *http.Request) {
	status := s.status()
	if status.Ready() {
		reply(w, http.StatusOK, readiness(status))
		return
	}
	reply(w, http.StatusServiceUnavailable, render.OneLineEach(status.Reasons)...)
}

// readiness is the line of a ready agent.
func readiness(s sync.Status) string {
	if s.Shadow == nil {
		return "ready"
	}
	return "ready, as a shadow that changes nothing: " + render.ShadowSummary(*s.Shadow)
}

// statusz answers with the whole status.
func (s *Daemon) statusz(w http.ResponseWriter, r *http.Request) {
	select {
	case s.rendering <- struct{}{}:
	case <-r.Context().Done():
		return
	}
	out := render.StatusOf(s.status())
	out.Agent = &render.Agent{Version: s.build.Version, PID: os.Getpid(), Started: s.started, Seconds: time.Since(s.started).Seconds()}
	var body bytes.Buffer
	err := render.JSON(&body, out)
	<-s.rendering
	if err != nil {
		reply(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	defer s.readers.add(http.NewResponseController(w))()
	_, _ = body.WriteTo(w) // the client may be gone
}

// maxReaders is how many answers may be in flight: each takes memory.
const maxReaders = 32

// readers are the clients whose answers are in flight, oldest first.
type readers struct {
	mu  stdsync.Mutex
	all []*http.ResponseController
}

// add adds a reader until remove is called. If there are too many, the oldest one is cut off: slow readers must not block
// others.
func (r *readers) add(reader *http.ResponseController) (remove func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all = append(r.all, reader); len(r.all) > maxReaders {
		_ = r.all[0].SetWriteDeadline(time.Now()) // an error changes nothing
		r.all = r.all[1:]
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.all = slices.DeleteFunc(r.all, func(other *http.ResponseController) bool { return other == reader })
	}
}

func reply(w http.ResponseWriter, code int, lines ...string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, strings.Join(lines, "\n")+"\n") // the client may be gone
}

// guarded refuses requests by name if the agent listens on a loopback address. Otherwise a web page could point its own name at
// this machine (DNS rebinding), and read the agent through a browser.
func guarded(where Address, handler http.Handler) http.Handler {
	if !where.loopback() {
		return handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Host
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		_, err := netip.ParseAddr(strings.Trim(name, "[]"))
		if local := []string{"", "localhost", "hapsync"}; err != nil && !slices.Contains(local, name) { // hapsync status asks as hapsync
			reply(w, http.StatusMisdirectedRequest,
				"the agent listens on "+where.Address+": ask it by that address or as localhost, not by another name")
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// A server is an HTTP server at its address.
type server struct {
	server *http.Server
	failed chan error // why it ended before it was closed; nil if there is no address
	// later stops waiting for the address, and returns the server if it was opened meanwhile; nil if nothing waits.
	later func() *server
}

// retryListen is how often an address that is taken is tried again.
const retryListen = 5 * time.Second

// listenLater listens as soon as the address is free. The agent runs meanwhile.
func listenLater(open func() (*server, error)) *server {
	s := &server{failed: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan *server, 1)
	go func() {
		defer close(got)
		retry := time.NewTicker(retryListen)
		defer retry.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-retry.C:
			}
			if opened, err := open(); err == nil {
				got <- opened
				s.failed <- <-opened.failed
				return
			}
		}
	}()
	s.later = func() *server {
		cancel()
		return <-got
	}
	return s
}

// listenAndServe listens for an agent and serves until the server is closed; then it calls ending.
func listenAndServe(a *Agent, handler http.Handler, ending func()) (*server, error) {
	where := a.Listen
	if where.None() {
		return &server{}, nil
	}
	if a.WebConfig != "" {
		if err := toolkit.Validate(a.WebConfig); err != nil {
			return nil, fmt.Errorf("--web-config-file %s: %w", a.WebConfig, err)
		}
	}
	l, err := where.listen(context.Background())
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", where, err)
	}
	s := &server{
		server: &http.Server{
			Handler:           guarded(where, handler),
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       5 * time.Second,
			WriteTimeout:      10 * time.Second,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug),
		},
		failed: make(chan error, 1),
	}
	s.server.RegisterOnShutdown(ending)
	serve := s.server.Serve
	if a.WebConfig != "" {
		serve = func(l net.Listener) error {
			return toolkit.Serve(l, s.server, &toolkit.FlagConfig{WebConfigFile: &a.WebConfig}, a.Log)
		}
	} else if where.Network != "unix" && !where.loopback() {
		a.Log.Warn("everybody who can reach the address may read what the agent knows: --web-config-file gives it TLS and a password",
			"listen", where.String())
	}
	go func() { s.failed <- serve(l) }()
	return s, nil
}

// close lets answers in flight finish, for 2 seconds. It removes a unix socket.
func (s *server) close() {
	if s.later != nil {
		if opened := s.later(); opened != nil {
			opened.close()
		}
		return
	}
	if s.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := s.server.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		_ = s.server.Close() // these clients do not read
	}
}
