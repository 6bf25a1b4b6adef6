package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
	"github.com/hapsync/hapsync/registry"
)

// A request is an HTTP request and the state that answers it.
type request struct {
	*http.Request
	site  *Site
	state *state
}

// A refusal is an error with an HTTP code.
type refusal struct {
	code int
	why  string
}

func (r *refusal) Error() string { return r.why }

func notFound(format string, args ...any) error {
	return &refusal{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func codeOf(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.code
	}
	return http.StatusServiceUnavailable
}

// An APIError is the API's answer to a bad request.
type APIError struct {
	Version int    `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
	Error   string `json:"error" doc:"what is wrong with the request, or why there is no answer"`
}

// Shapes are the types of the API's answers, by path.
func Shapes() map[string]reflect.Type {
	return map[string]reflect.Type{
		"status": reflect.TypeFor[Overview](), "domains": reflect.TypeFor[DomainList](), "domains/DOMAIN": reflect.TypeFor[DomainDetail](),
		"plan": reflect.TypeFor[Plan](), "history": reflect.TypeFor[History](), "agents": reflect.TypeFor[AgentList](),
		"error": reflect.TypeFor[APIError](),
	}
}

// answer renders and sends an answer. It limits how many are rendered at a time; a client that reads slowly blocks no other.
func (s *Site) answer(w http.ResponseWriter, r *http.Request, render func(*request, *bytes.Buffer) (code int)) {
	select {
	case s.rendering <- struct{}{}:
	case <-r.Context().Done():
		return
	}
	var body bytes.Buffer
	code := func() int {
		defer func() { <-s.rendering }()
		return render(&request{r, s, s.state(r.Context())}, &body)
	}()
	w.WriteHeader(code)
	_, _ = body.WriteTo(w) // the client may be gone
}

// json answers with the result of data, as JSON.
func (s *Site) json(data func(*request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		guard(w.Header())
		w.Header().Set("Content-Type", "application/json")
		s.answer(w, r, func(r *request, body *bytes.Buffer) int {
			out, err := data(r)
			code := http.StatusOK
			if err != nil {
				code, out = codeOf(err), APIError{apiVersion, registry.OneLine(err.Error())}
			}
			_ = render.JSON(body, out) // into the buffer
			return code
		})
	}
}

const (
	defaultLimit = 100
	maxLimit     = 500
)

// limit is how many entries the client wants.
func (r *request) limit() (int, error) {
	text := r.FormValue("limit")
	if text == "" {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		return 0, badRequest("limit: give a number of 1 to %d", maxLimit)
	}
	return n, nil
}

// query is the text that names must contain.
func (r *request) query() string { return strings.ToLower(strings.TrimSpace(r.FormValue("q"))) }

func (r *request) domainsPage() (any, error) {
	limit, err := r.limit()
	if err != nil {
		return nil, err
	}
	return r.state.list(r.query(), r.FormValue("after"), limit), nil
}

func (r *request) domain() (any, error) { return r.detail() }

// detail is the domain in the path.
func (r *request) detail() (DomainDetail, error) {
	name := strings.ToLower(r.PathValue("domain"))
	if err := registry.CheckDomain(name); err != nil {
		return DomainDetail{}, badRequest("domain: %v", err)
	}
	detail, ok := r.state.detail(name)
	if !ok {
		return detail, notFound("neither the registry nor HAProxy has a domain %s", name)
	}
	leases := r.site.leases.domain(r.Context(), r.state.subject, name)
	for i := range detail.List {
		detail.List[i].leased(leases)
	}
	return detail, nil
}

func (r *request) plan() (any, error) {
	limit, err := r.limit()
	if err != nil {
		return nil, err
	}
	from := 0
	if after := r.FormValue("after"); after != "" {
		if from, err = strconv.Atoi(after); err != nil || from < 0 {
			return nil, badRequest("after: give what the last answer has as next")
		}
	}
	return r.state.plan(from, limit), nil
}

func (r *request) agents() (any, error) {
	limit, err := r.limit()
	if err != nil {
		return nil, err
	}
	all, err := r.site.roster.read(r.Context(), r.state.subject)
	return agentList(all, r.FormValue("after"), limit), err
}
