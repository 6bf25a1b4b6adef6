package web

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/registry"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// policy allows a browser to load only what comes from the agent itself, and no inline script or style.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guard sets the headers of every answer for browsers.
func guard(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// assets are the style, the script and the icon of the page.
func assets() http.Handler {
	files := http.FileServerFS(assetFiles)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r)
			return
		}
		guard(w.Header())
		w.Header().Set("Cache-Control", "no-cache")
		files.ServeHTTP(w, r)
	})
}

// A page is a page of the site.
type page struct {
	name string
	view func(*request) (view, error)
}

// A view is a page for one request.
type view struct {
	Title string
	// Here is the path of its entry in the navigation.
	Here  string
	Parts []part
}

// A part of a page is rendered, and sent again, on its own.
type part struct {
	// ID of the element. Template renders Data.
	ID, Template string
	Data         any
	// Fixed parts do not change while the page is open, so that typed text stays.
	Fixed bool
}

// pages is the parsed templates.
type pages struct{ *template.Template }

func parsePages() pages {
	funcs := template.FuncMap{
		"n": render.Thousands, "age": age, "moment": moment, "took": took, "class": Level.class, "word": Level.word,
		"escape": url.PathEscape, "menu": menu,
		"add":   func(a, b int) int { return a + b },
		"deref": func(n *int) int { return *n },
		"held":  func(reason string) bool { return strings.HasPrefix(reason, "held: ") },
	}
	return pages{template.Must(template.New("").Funcs(funcs).ParseFS(pageFiles, "pages/*.html"))}
}

// menu is the navigation.
func menu() []entry {
	return []entry{{"/", "Overview"}, {"/domains", "Domains"}, {"/plan", "Plan"}, {"/history", "History"}, {"/agents", "Agents"}}
}

// An entry of the navigation.
type entry struct{ Path, Name string }

// A shown part is its HTML.
type shown struct {
	ID   string
	HTML template.HTML
}

func (p pages) part(of part) shown {
	var b bytes.Buffer
	if err := p.ExecuteTemplate(&b, of.Template, of.Data); err != nil {
		return shown{of.ID, template.HTML(template.HTMLEscapeString(registry.OneLine(err.Error())))} //nolint:gosec // escaped
	}
	return shown{of.ID, template.HTML(b.String())} //nolint:gosec // made by html/template
}

// html answers with a page, or with a stream of its changes if a script asks for that.
func (s *Site) html(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		guard(w.Header())
		w.Header().Set("Vary", "Accept")
		if r.Header.Get("Accept") == eventStream {
			s.stream(w, r, p)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		s.answer(w, r, func(r *request, body *bytes.Buffer) int {
			v, err := p.view(r)
			code := http.StatusOK
			if err != nil {
				code = codeOf(err)
				v = view{Title: "not found", Parts: []part{{ID: "error", Template: "error", Data: err.Error()}}}
			}
			s.write(body, r.state, v)
			return code
		})
	}
}

// write writes a whole page.
func (s *Site) write(body *bytes.Buffer, st *state, v view) {
	layout := struct {
		view
		Head  shown
		Shown []shown
	}{v, s.pages.part(st.head()), nil}
	layout.Title += " - " + st.subject.Name + " - hapsync"
	for _, p := range v.Parts {
		layout.Shown = append(layout.Shown, s.pages.part(p))
	}
	_ = s.pages.ExecuteTemplate(body, "layout", layout) // into the buffer
}

// head is the top of every page.
func (st *state) head() part {
	return part{ID: "head", Template: "head", Data: struct {
		Name, Hapsync string
		Ready, Shadow bool
	}{st.subject.Name, st.subject.Hapsync, st.status.Ready(), st.status.Shadow != nil}}
}

// trouble is on every page while the agent is not ready.
func (st *state) trouble() part {
	return part{ID: "trouble", Template: "trouble", Data: st.overview()}
}

func (r *request) overviewPage() (view, error) {
	o := r.state.overview()
	return view{Title: "overview", Here: "/", Parts: []part{
		{ID: "trouble", Template: "trouble", Data: o},
		{ID: "strip", Template: "strip", Data: o},
		{ID: "shadow", Template: "shadow", Data: o},
		{ID: "attention", Template: "attention", Data: o},
		{ID: "changes", Template: "changes", Data: r.state.changes(10)},
		{ID: "search", Template: "search", Data: "", Fixed: true},
		{ID: "domains", Template: "domains", Data: r.domainTable(20)},
	}}, nil
}

// A domainTable is the domains on a page.
type domainTable struct {
	pager
	Domains []*Domain
}

func (r *request) domainTable(size int) domainTable {
	all := r.state.matching(r.query())
	p := r.pager(len(all), size)
	return domainTable{p, all[p.From:p.To]}
}

func (r *request) listPage() (view, error) {
	return view{Title: "domains", Here: "/domains", Parts: []part{
		r.state.trouble(),
		{ID: "search", Template: "search", Data: r.query(), Fixed: true},
		{ID: "domains", Template: "domains", Data: r.domainTable(100)},
	}}, nil
}

func (r *request) domainPage() (view, error) {
	d, err := r.detail()
	if err != nil {
		return view{}, err
	}
	p := r.pager(len(d.List), 100)
	return view{Title: d.Name, Here: "/domains", Parts: []part{r.state.trouble(), {ID: "domain", Template: "domain", Data: struct {
		DomainDetail
		pager
		Shown []Host
	}{d, p, d.List[p.From:p.To]}}}}, nil
}

func (r *request) explainPage() (view, error) {
	d, err := r.detail()
	if err != nil {
		return view{}, err
	}
	name := r.PathValue("host")
	for _, h := range d.List {
		if h.Name == name {
			data := struct {
				Domain, Prefix, HAProxy string
				Host
				Problems []registry.Problem
			}{d.Name, r.state.snapshot.Prefix, d.HAProxy, h, ofHost(d.Problems, h.Name)}
			return view{Title: d.Name + "/" + h.Name, Here: "/domains", Parts: []part{
				r.state.trouble(), {ID: "explain", Template: "explain", Data: data},
			}}, nil
		}
	}
	return view{}, notFound("neither the registry nor HAProxy has a host %s of %s", registry.OneLine(name), d.Name)
}

// ofHost are the problems of a host and of its domain.
func ofHost(all []registry.Problem, name string) (own []registry.Problem) {
	for _, p := range all {
		if p.Host == "" || p.Host == name {
			own = append(own, p)
		}
	}
	return own
}

func (r *request) planPage() (view, error) {
	const size = 200
	p := r.pager(len(r.state.steps().Actions), size)
	return view{Title: "plan", Here: "/plan", Parts: []part{r.state.trouble(), {ID: "plan", Template: "plan", Data: struct {
		Plan
		pager
	}{r.state.plan(p.From, size), p}}}}, nil
}

func (r *request) agentsPage() (view, error) {
	roster, err := r.site.roster.read(r.Context(), r.state.subject)
	p := r.pager(len(roster.Agents), 100)
	roster.Agents = roster.Agents[p.From:p.To]
	data := map[string]any{"Roster": roster, "Error": err, "Pager": p}
	return view{Title: "agents", Here: "/agents", Parts: []part{
		r.state.trouble(), {ID: "agents", Template: "agents", Data: data},
	}}, nil
}

// changes are what the last passes did.
func (st *state) changes(most int) []change {
	entries := slices.Clone(st.status.Passes[:min(most, len(st.status.Passes))])
	for i := range entries {
		entries[i] = entries[i].First(shownChanges)
	}
	return lines(entries)
}
