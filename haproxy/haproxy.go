package haproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	stdsync "sync"
	"sync/atomic"
	"time"
)

// Settings say where HAProxy is and how it is reached.
type Settings struct {
	// BaseFile is the operator's configuration: read, never written (unless it is the managed file, too).
	BaseFile string
	// ManagedFile is the file that holds the managed part.
	ManagedFile string
	// Frontends are those that carry the rules; empty means "webin".
	Frontends []string
	// Binary is the haproxy that validates; empty means "haproxy" of PATH.
	Binary string
	// RuntimeSocket is the path of a stats socket of level admin; empty means the first one that the base file names.
	RuntimeSocket string
	// MasterSocket is the path of the master's socket; empty means the one that the base file names
	// (setenv HAPSYNC_MASTER_SOCKET ...), or that the process tells (up to HAProxy 3.0).
	MasterSocket string
	// ReloadCommand is run, without a shell, where there is no master socket.
	ReloadCommand []string
	// CheckTimeout bounds haproxy -c; 0 means 60 s.
	CheckTimeout time.Duration
	// ReloadTimeout bounds a reload; 0 means 60 s.
	ReloadTimeout time.Duration
	// DrainTimeout is how long a removed server may finish its sessions; 0 means 10 s.
	DrainTimeout time.Duration
	// Background makes Run return at once: it does not wait for the checks of added servers, and leaves servers that
	// still have sessions draining until a later Run with the same removal finds them idle, or out of time.
	Background bool
	// Logger takes what is worth a word but stops nothing; nil discards it.
	Logger *slog.Logger
}

// defaultBind is where the first frontend of a managed file listens that is written from nothing.
const defaultBind = ":80"

// An Instance is one HAProxy: its files and its process. One goroutine owns it; only Amend and Waiting may run in others.
type Instance struct {
	settings Settings
	base     string // the base file, links resolved
	managed  string // the managed file, links resolved
	checker  checker
	waits    *waits // with Background only
	log      *slog.Logger
	mu       stdsync.Mutex // guards last
	// last is what was read last: neither file is taken apart again while its bytes are the same.
	last files
	// lastLoaded is what that worker has loaded, by its copy.
	lastLoaded struct {
		worker  worker
		managed managed
	}
	// recollection is of the process, for Background.
	recollection *recollection
	// answered is the worker that State saw last; 0 after a try to give it its socket back.
	answered atomic.Int64
	// draining is until when servers that Background left may finish their sessions.
	draining map[serverKey]time.Time
	// previous is the managed file's text before the last commit; nil before one, and after a reload.
	previous *string
}

// Open checks the settings. It reads no file and reaches for no socket.
func Open(s Settings) (*Instance, error) {
	if s.ManagedFile == "" {
		return nil, errors.New("no managed file is named")
	}
	s.BaseFile = cmp.Or(s.BaseFile, s.ManagedFile)
	if len(s.Frontends) == 0 {
		s.Frontends = []string{"webin"}
	}
	for _, f := range s.Frontends {
		if !plainName(f) {
			return nil, fmt.Errorf("frontend %q: a name of HAProxy's has letters, digits, and . - _ : only", f)
		}
	}
	s.Binary = cmp.Or(s.Binary, "haproxy")
	s.CheckTimeout = cmp.Or(s.CheckTimeout, time.Minute)
	s.ReloadTimeout = cmp.Or(s.ReloadTimeout, time.Minute)
	s.DrainTimeout = cmp.Or(s.DrainTimeout, 10*time.Second)
	binary, err := exec.LookPath(s.Binary)
	if err != nil {
		return nil, fmt.Errorf("find HAProxy, which validates every configuration: %w; install it, or name it with --haproxy-bin", err)
	}
	base, err := resolve(s.BaseFile)
	if err != nil {
		return nil, err
	}
	managed, err := resolve(s.ManagedFile)
	if err != nil {
		return nil, err
	}
	s.Binary = binary
	h := &Instance{settings: s, base: base, managed: managed, checker: checker{binary: binary, timeout: s.CheckTimeout}, log: cmp.Or(s.Logger, slog.New(slog.DiscardHandler))}
	if s.Background {
		h.recollection = &recollection{}
		h.waits = &waits{log: h.log}
		h.checker.nice, h.checker.waits = 10, h.waits
	}
	return h, nil
}

// oneFile reports whether the operator's configuration and the managed part share a file.
func (h *Instance) oneFile() bool { return h.base == h.managed }

// files is what has been read of the two files.
type files struct {
	// marks are the signs of the two files' last change, from before they were read.
	marks      [2]mark
	text       string
	digest     Digest
	baseDigest Digest
	doc        document // of the managed file, or of what a new one would be
	managed    managed
	base       base
	baseDoc    document
}

// read reads both files. A missing managed file reads as a new one.
func (h *Instance) read() (files, error) {
	f := files{marks: h.marks()}
	var baseText string
	var err error
	if f.text, f.digest, err = readText(h.managed); err != nil {
		return files{}, err
	}
	if !h.oneFile() {
		if baseText, f.baseDigest, err = readText(h.base); err != nil {
			return files{}, err
		}
	}
	if last := h.lastRead(); last.doc.lines != nil && last.digest == f.digest && last.baseDigest == f.baseDigest {
		last.marks = f.marks
		h.keep(last)
		return last, nil
	}
	if err := h.take(&f, baseText); err != nil {
		return files{}, err
	}
	h.keep(f)
	return f, nil
}

// unchanged reports whether the files have the marks that they had before they were read.
func (f files) unchanged(now [2]mark) bool { return f.marks[0] != (mark{}) && f.marks == now }

// reread is read, without a look into files that are by all signs as they were.
func (h *Instance) reread() (files, error) {
	last := h.lastRead()
	if last.doc.lines == nil || !last.unchanged(h.marks()) {
		return h.read()
	}
	return last, nil
}

func (h *Instance) lastRead() files {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

func (h *Instance) keep(f files) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = f
}

// take takes the files apart.
func (h *Instance) take(f *files, baseText string) error {
	text := f.text
	if strings.TrimSpace(text) == "" {
		if h.oneFile() {
			return fmt.Errorf("%s is missing or empty; hapsync init writes one", h.managed)
		}
		text = newFile(h.settings.Frontends)
	}
	f.doc = parseDocument(text)
	f.baseDoc = f.doc
	if !h.oneFile() {
		if f.baseDigest == "" {
			return fmt.Errorf("%s is missing; name HAProxy's own configuration with --base-file, or let hapsync init write one", h.base)
		}
		f.baseDoc = parseDocument(baseText)
	}
	var err error
	if f.base, err = readBase(f.baseDoc, h.base); err != nil {
		return err
	}
	f.managed = h.readManaged(f.doc, f.base)
	return h.findFrontends(*f)
}

// readManaged reads the managed part of a text of the managed file.
func (h *Instance) readManaged(d document, b base) managed {
	var taken map[string]string
	if !h.oneFile() {
		taken = b.proxies
	}
	return readManaged(d, h.settings.Frontends, h.managed, taken)
}

// findFrontends refuses a file that lacks a frontend that is to carry the rules.
func (h *Instance) findFrontends(f files) error {
	for _, name := range h.settings.Frontends {
		s, ok := f.managed.frontends[name]
		switch place := f.base.frontends[name]; {
		case !h.oneFile() && place != "":
			return fmt.Errorf("%s is in the base file, which hapsync does not write; move it to %s, or use one file for both (--managed-file %s)", place, h.managed, h.base)
		case ok && f.doc.lines[s.head].conditional:
			return fmt.Errorf("%s:%d: frontend %s stands between .if and .endif, where hapsync does not write; move it out", h.managed, s.head+1, name)
		case ok:
		default:
			return fmt.Errorf("%s has no frontend %s; add it with its bind line, or name yours with --frontend", h.managed, name)
		}
	}
	return nil
}

// State reads the files, then the process. With domains, it reads only theirs, at a cost that does not grow with the
// others: the files are not read again where they are as they were, and whether they can be edited is not looked at.
func (h *Instance) State(ctx context.Context, domains ...string) (State, error) {
	if len(domains) > 0 {
		return h.stateOf(ctx, domains)
	}
	f, err := h.read()
	if err != nil {
		return State{}, err
	}
	st := State{
		File:   f.managed.config,
		Digest: f.digest, BaseDigest: f.baseDigest,
		Size:    len(f.text),
		Missing: strings.TrimSpace(f.text) == "",
		Foreign: f.managed.foreign,
		NoWrite: h.unwritable(len(f.text)),
	}
	if !st.Missing {
		st.NoEdit = h.noEdit(f.text)
	}
	st.Warnings = h.warnings(f)
	defer h.waits.begin("HAProxy's socket")()
	err = h.readLive(ctx, f, &st)
	return st, err
}

// warnings are what makes a configuration that HAProxy accepts do something else than it says.
func (h *Instance) warnings(f files) []string {
	var found []string
	for _, name := range h.settings.Frontends {
		s := f.managed.frontends[name]
		mode := f.base.mode
		for _, l := range f.doc.body(s) {
			if w := splitWords(l.raw); len(w) == 2 && w[0] == "mode" {
				mode = w[1]
			}
		}
		if mode != "http" {
			found = append(found, fmt.Sprintf("frontend %s is not in mode http, so that its Host rules and cookies do nothing; write \"mode http\" into the defaults of %s", name, h.base))
		}
	}
	return found
}
