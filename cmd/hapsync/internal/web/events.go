package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"time"
)

const (
	eventStream = "text/event-stream"
	streamPace  = 100 * time.Millisecond // minimum time between two updates of an open page
	streamBeat  = 5 * time.Second        // how often a page hears that it is up to date
	streamWrite = 5 * time.Second        // timeout of a write
)

// A stream keeps an open page up to date.
type stream struct {
	site *Site
	page page
	w    http.ResponseWriter
	r    *http.Request
	sent map[string]template.HTML
	beat time.Time
}

// stream sends the parts of a page when they change, until the page is closed.
func (s *Site) stream(w http.ResponseWriter, r *http.Request, p page) {
	defer s.streams.Add(-1)
	if s.streams.Add(1) > maxStreams {
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // nothing more is read
	w.Header().Set("Content-Type", eventStream)
	t := stream{site: s, page: p, w: w, r: r, sent: map[string]template.HTML{}}
	for {
		changed, err := t.send()
		if err != nil || !t.wait(changed) {
			return
		}
	}
}

// wait returns when the page must be checked again; false if it is closed.
func (t *stream) wait(changed <-chan struct{}) bool {
	return t.pause(streamPace, nil) && t.pause(maxAge-streamPace, changed)
}

// pause returns after a time, or when something has changed; false if the page is closed.
func (t *stream) pause(most time.Duration, changed <-chan struct{}) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-t.r.Context().Done():
		return false
	case <-t.site.closing:
		return false
	case <-changed:
	case <-timer.C:
	}
	return true
}

// send sends what has changed since the last call.
func (t *stream) send() (changed <-chan struct{}, err error) {
	var out bytes.Buffer
	select {
	case t.site.rendering <- struct{}{}:
	case <-t.r.Context().Done():
		return nil, t.r.Context().Err()
	}
	func() {
		defer func() { <-t.site.rendering }()
		st := t.site.state(t.r.Context())
		changed = st.changed
		t.render(&out, st)
	}()
	if out.Len() == 0 && time.Since(t.beat) < streamBeat {
		return changed, nil
	}
	t.beat = time.Now()
	fmt.Fprint(&out, "event: beat\ndata:\n\n")
	control := http.NewResponseController(t.w)
	_ = control.SetWriteDeadline(time.Now().Add(streamWrite))
	if _, err := out.WriteTo(t.w); err != nil {
		return nil, err
	}
	return changed, control.Flush()
}

// render writes an event for each part that has changed.
func (t *stream) render(out *bytes.Buffer, st *state) {
	v, err := t.page.view(&request{t.r, t.site, st})
	if err != nil {
		v = view{Parts: []part{{ID: "main", Template: "error", Data: err.Error()}}}
	}
	for _, p := range append([]part{st.head()}, v.Parts...) {
		if p.Fixed {
			continue
		}
		now := t.site.pages.part(p)
		if html, sent := t.sent[p.ID]; sent && html == now.HTML {
			continue
		}
		t.sent[p.ID] = now.HTML
		data, _ := json.Marshal(map[string]string{"id": now.ID, "html": string(now.HTML)}) // strings: no error
		fmt.Fprintf(out, "event: part\ndata: %s\n\n", data)
	}
}
