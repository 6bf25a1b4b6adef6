package docker

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	stdsync "sync"
	"testing"
	"time"
)

// A fakeEngine answers like a Docker engine, with containers of the test.
type fakeEngine struct {
	server *httptest.Server

	mu         stdsync.Mutex
	containers map[string]*fakeContainer
	followers  map[chan string]bool
	away       bool
	deaf       bool // it sends no events
	lists      int
	raw        map[string]string // answers to inspect, by ID
}

type fakeContainer struct {
	id, name string
	labels   map[string]string
	port     int // published
	health   string
	paused   bool
	started  time.Time
	stopped  bool
}

func startFakeEngine(t *testing.T) *fakeEngine {
	t.Helper()
	e := &fakeEngine{containers: map[string]*fakeContainer{}, followers: map[chan string]bool{}, raw: map[string]string{}}
	e.server = httptest.NewServer(e)
	t.Cleanup(e.server.Close)
	t.Cleanup(e.breakStreams)
	return e
}

func (e *fakeEngine) address() string { return "tcp://" + e.server.Listener.Addr().String() }

func (e *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.41")
	w.Header().Set("Content-Type", "application/json")
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	e.mu.Lock()
	away := e.away
	e.mu.Unlock()
	switch {
	case away:
		http.Error(w, `{"message":"the engine is away"}`, http.StatusServiceUnavailable)
	case r.URL.Path == "/_ping" || path == "_ping":
		fmt.Fprint(w, "OK")
	case path == "events":
		e.stream(w, r)
	case path == "containers/json":
		e.list(w)
	default:
		e.inspect(w, strings.TrimSuffix(strings.TrimPrefix(path, "containers/"), "/json"))
	}
}

func (e *fakeEngine) stream(w http.ResponseWriter, r *http.Request) {
	lines := make(chan string, 1000)
	e.mu.Lock()
	e.followers[lines] = true
	e.mu.Unlock()
	w.(http.Flusher).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case line, ok := <-lines:
			if !ok {
				return
			}
			fmt.Fprintln(w, line)
			w.(http.Flusher).Flush()
		}
	}
}

// breakStreams ends all streams of events.
func (e *fakeEngine) breakStreams() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for lines := range e.followers {
		close(lines)
	}
	clear(e.followers)
}

// list returns all running containers. It ignores the filter.
func (e *fakeEngine) list(w http.ResponseWriter) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lists++
	all := []map[string]any{}
	for id, c := range e.containers {
		if !c.stopped {
			all = append(all, map[string]any{"Id": id, "Names": []string{"/" + c.name}})
		}
	}
	_ = json.NewEncoder(w).Encode(all)
}

func (e *fakeEngine) inspect(w http.ResponseWriter, id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.containers[id]
	if c == nil {
		http.Error(w, `{"message":"No such container"}`, http.StatusNotFound)
		return
	}
	if raw := e.raw[id]; raw != "" {
		fmt.Fprint(w, raw)
		return
	}
	state := map[string]any{"Running": !c.stopped, "Paused": c.paused, "StartedAt": c.started.Format(time.RFC3339Nano)}
	if c.health != "" {
		state["Health"] = map[string]any{"Status": c.health}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"Id": id, "Name": "/" + c.name, "State": state, "Config": map[string]any{"Labels": c.labels}, "HostConfig": map[string]any{"NetworkMode": "default"},
		"NetworkSettings": map[string]any{"Ports": map[string]any{"80/tcp": []any{map[string]any{"HostIp": "0.0.0.0", "HostPort": strconv.Itoa(c.port)}}}},
	})
}

// change changes a container, then sends an event.
func (e *fakeEngine) change(name, action string, change func(*fakeContainer), attributes ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := "id" + name
	if e.containers[id] == nil {
		e.containers[id] = &fakeContainer{id: id, name: name, port: 8080, labels: map[string]string{"hapsync.domain": "a.abc.com"}, stopped: true}
	}
	change(e.containers[id])
	if e.deaf {
		return
	}
	said := map[string]string{"name": name}
	for _, a := range attributes {
		key, value, _ := strings.Cut(a, "=")
		said[key] = value
	}
	line, _ := json.Marshal(map[string]any{"Type": "container", "Action": action, "Actor": map[string]any{"ID": id, "Attributes": said}, "timeNano": time.Now().UnixNano()})
	for lines := range e.followers {
		lines <- string(line)
	}
}

func (e *fakeEngine) start(name string, labels ...string) {
	e.change(name, "start", func(c *fakeContainer) {
		c.stopped, c.started = false, time.Now()
		for _, label := range labels {
			key, value, _ := strings.Cut(label, "=")
			c.labels[key] = value
		}
	})
}

func (e *fakeEngine) stop(name string) {
	e.change(name, "die", func(c *fakeContainer) { c.stopped = true })
}

// set changes the engine.
func (e *fakeEngine) set(change func(*fakeEngine)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(e)
}

// passes is how often the containers were listed.
func (e *fakeEngine) passes() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lists
}
