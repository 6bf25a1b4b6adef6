package sync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// File is the managed file and what makes the process load it. One goroutine owns it: that of a Syncer's caller, or an agent's
// deployer. It may run beside Process.
type File interface {
	// Lock makes this process the only writer until unlock is called.
	Lock() (unlock func() error, err error)
	// Read is the managed part of the file as it stands.
	Read() (haproxy.Config, haproxy.Digest, error)
	// Write makes the file say what is wanted. It refuses a file that is not the one of the edit's base any more
	// (haproxy.ErrConflict) and a configuration that HAProxy refuses (*haproxy.InvalidConfigError).
	Write(ctx context.Context, e haproxy.Edit) error
	// Reload makes the process load the file. After one that was refused (*haproxy.ReloadError) the file may be an earlier one.
	Reload(ctx context.Context) error
	// Loaded is the managed part of the file as the process has loaded it.
	Loaded() (haproxy.Config, error)
	// Claim keeps, where nothing is kept of that yet (State.Unclaimed), which words of the file are there because keys say so. The loop
	// calls it.
	Claim(want haproxy.Config) error
	// Keep replaces the notes that outlive this process, Kept returns them; nil where there are none. The loop calls them.
	Keep(notes []byte) error
	Kept() ([]byte, error)
}

// A job is what the deployer is to do.
type job struct {
	layout Layout
	scope  haproxy.Scope
	base   haproxy.Digest // of the file that the job was made for
	worker string         // the process that served then
	// want is what the file is to say of the scope; without is the same without what needs a reload: it is written where
	// HAProxy refuses that.
	want, without haproxy.Config
	late          []string        // the domains that need the reload
	options       []string        // those of them whose options rest after it
	reload        bool            // for them, or for HAProxy's own sake
	tracked       map[string]bool // the domains with servers that others track
	rewrite       string          // why the whole file is written; empty where it is edited
	// report is of the pass that the job comes from; its plan is the job's. It is nil where only what the process has
	// already is written.
	report *Report
	began  time.Time
}

// A result is what became of a job.
type result struct {
	job
	file     haproxy.Config // as it stands, of all domains
	digest   haproxy.Digest // of that
	loaded   haproxy.Config // as the process has loaded it, where it was reloaded; none where that is not known
	changes  []Action       // that were made in the file, or were to be
	refused  map[string]refusal
	reloaded bool
	unloaded *haproxy.ReloadError // why HAProxy refused to reload, before it did with less, or did not; nil where it refused nothing
	err      error
	took     time.Duration
}

// deploy writes the file, and reloads HAProxy where that is needed. A domain whose change HAProxy refuses is left as the file
// had it, as far as it has to be; all others go through.
func deploy(ctx context.Context, f File, j job) result {
	d := deployment{job: j, target: f, held: map[string][]string{}}
	r := result{job: j}
	r.err = d.write(ctx)
	r.rewrite = d.rewrite
	if r.err == nil && d.needsReload() {
		r.err = f.Reload(ctx)
		r.reloaded = r.err == nil
	}
	if errors.As(r.err, &r.unloaded) {
		d.unloaded = r.unloaded
		if r.reloaded, r.err = d.loadLess(ctx); r.err == nil && !r.reloaded {
			r.err = d.withoutReload(ctx)
		}
	}
	if r.reloaded {
		r.loaded, _ = f.Loaded()
	}
	file, digest, err := f.Read()
	r.err = errors.Join(r.err, err)
	r.file, r.digest, r.refused = file, digest, d.refusals()
	if r.err != nil {
		file = d.whole
	}
	for _, c := range Diff(d.have, file) {
		r.changes = append(r.changes, Action{ViaTransaction, c})
	}
	return r
}

// A deployment is a job at work.
type deployment struct {
	job
	target File
	have   haproxy.Config // the file as it stood
	whole  haproxy.Config // as it is to be
	// In quarantine: why, what the file says instead, and the hosts whose removal is all that is held back.
	reasons map[string]*haproxy.InvalidConfigError
	instead map[string]haproxy.Backend
	held    map[string][]string
	left    int // tries
	// unloaded is why HAProxy refused the reload, and less the domains that it is without because of that.
	unloaded *haproxy.ReloadError
	less     []string
}

func (d *deployment) write(ctx context.Context) error {
	have, digest, err := d.target.Read()
	if err != nil {
		return err
	}
	if digest != d.base {
		return haproxy.ErrConflict
	}
	d.have, d.whole = have, replace(have, d.want, d.scope)
	if d.rewrite == "" && !d.reload && len(Diff(d.have, d.whole)) == 0 {
		return nil // else HAProxy is asked about the file as it stands: after a reload that it refuses another one would be put back
	}
	err = d.commit(ctx, d.whole)
	var invalid *haproxy.InvalidConfigError
	if errors.As(err, &invalid) {
		return d.quarantine(ctx, invalid)
	}
	return err
}

// shutting is why the whole file is written where it gets a rule that takes no request.
const shutting = "a transaction would not write the mark of a rule that is shut"

// commit writes the file; where a transaction fails twice for a reason that is not the configuration's, as a rewrite.
func (d *deployment) commit(ctx context.Context, want haproxy.Config) error {
	edit := haproxy.Edit{Want: want, Base: d.base, Rewrite: d.rewrite}
	if edit.Rewrite == "" && slices.ContainsFunc(want.Rules, func(r haproxy.Rule) bool { return r.Closed }) {
		edit.Rewrite = shutting
	}
	err := d.target.Write(ctx, edit)
	for try := 1; err != nil && edit.Rewrite == "" && mayTryAgain(err); try++ {
		if try == 2 {
			edit.Rewrite = fmt.Sprintf("the transaction failed twice: %v", err)
		}
		err = d.target.Write(ctx, edit)
	}
	d.rewrite = edit.Rewrite
	if err != nil {
		return err
	}
	_, d.base, err = d.target.Read()
	return err
}

// mayTryAgain reports whether a transaction failed for a reason that is not the configuration's.
func mayTryAgain(err error) bool {
	var invalid *haproxy.InvalidConfigError
	return !errors.As(err, &invalid) && !errors.Is(err, haproxy.ErrConflict) && !errors.Is(err, haproxy.ErrNoVerdict)
}

// needsReload reports whether anything is left that a reload is for.
func (d *deployment) needsReload() bool {
	if !d.reload || len(d.late) == 0 {
		return d.reload
	}
	return slices.ContainsFunc(d.late, func(name string) bool {
		instead, refused := d.instead[name]
		without, _ := backendOf(d.without, name)
		return !refused || !sameBackend(instead, without)
	})
}

// withoutReload writes what the file can say though HAProxy refuses the reload.
func (d *deployment) withoutReload(ctx context.Context) error {
	d.leave(d.late, d.instead, func(name string) haproxy.Backend { b, _ := backendOf(d.without, name); return b })
	return d.recommit(ctx, d.wholeWith(d.instead))
}

// leave has less in the file of some domains, because HAProxy refused the reload; instead is what it has of others.
func (d *deployment) leave(names []string, instead map[string]haproxy.Backend, less func(string) haproxy.Backend) {
	d.less, d.instead = names, map[string]haproxy.Backend{}
	maps.Copy(d.instead, instead)
	for _, name := range names {
		d.instead[name] = less(name)
	}
}

// recommit writes the file after a reload that was refused, which may have put back another one.
func (d *deployment) recommit(ctx context.Context, want haproxy.Config) error {
	_, digest, err := d.target.Read()
	if err != nil {
		return err
	}
	d.base = digest
	return d.commit(ctx, want)
}

// refusals are what HAProxy refused, by domain.
func (d *deployment) refusals() map[string]refusal {
	refused := map[string]refusal{}
	for name, invalid := range d.reasons {
		want, _ := backendOf(d.want, name)
		if want.Closed {
			want = haproxy.Backend{} // it is to go
		}
		refused[name] = refusal{want: want, file: d.instead[name], reason: haproxy.Outline(invalid.Output), words: oneLine(invalid.Output), hosts: d.held[name]}
	}
	for _, name := range d.less {
		want, _ := backendOf(d.want, name)
		refused[name] = refusal{want: want, file: d.instead[name], reason: d.unloaded.Brief(), words: oneLine(d.unloaded.Error()), reload: true}
	}
	return refused
}

// wholeWith is the file as it is to be, with other versions of some domains; the zero Backend is none.
func (d *deployment) wholeWith(instead map[string]haproxy.Backend) haproxy.Config {
	return d.layout.withRules(withBackends(d.whole, instead))
}

// withBackends is a configuration with other versions of some domains; the zero Backend is none. Its rules are to be completed.
func withBackends(c haproxy.Config, instead map[string]haproxy.Backend) haproxy.Config {
	if len(instead) == 0 {
		return c
	}
	backends := make([]haproxy.Backend, 0, len(c.Backends)+len(instead))
	for _, b := range c.Backends {
		if domain, _ := haproxy.DomainOf(b.Name); !has(instead, domain) {
			backends = append(backends, b)
		}
	}
	for _, b := range instead {
		if b.Name != "" {
			backends = append(backends, b)
		}
	}
	slices.SortFunc(backends, byBackend)
	c.Backends = backends
	return c
}

func has[K comparable, V any](m map[K]V, key K) bool {
	_, there := m[key]
	return there
}

// replace is a configuration with what is wanted of a scope in the place of what it has.
func replace(have, want haproxy.Config, scope haproxy.Scope) haproxy.Config {
	if scope.All() {
		return want
	}
	var out haproxy.Config
	for _, b := range have.Backends {
		if domain, _ := haproxy.DomainOf(b.Name); !scope.Has(domain) {
			out.Backends = append(out.Backends, b)
		}
	}
	for _, r := range have.Rules {
		if !scope.Has(r.Domain) {
			out.Rules = append(out.Rules, r)
		}
	}
	out.Backends = append(out.Backends, want.Backends...)
	out.Rules = append(out.Rules, want.Rules...)
	slices.SortFunc(out.Backends, byBackend)
	slices.SortFunc(out.Rules, byRule)
	return out
}

func sameBackend(a, b haproxy.Backend) bool {
	return a.Name == b.Name && a.Options == b.Options && a.Closed == b.Closed && slices.Equal(a.Servers, b.Servers)
}

// A deployer is the lane of the file. Its goroutine does one job after the other.
type deployer struct {
	jobs    chan job
	results chan result
	busy    *job // what it is at; nil where nothing is
	// beside are the domains of which the process got a change while the deployer was at work: HAProxy may lack what it has just loaded.
	beside map[string]bool
}

func newDeployer() deployer {
	return deployer{jobs: make(chan job, 1), results: make(chan result, 1)}
}

// work does jobs, each under the lock, until there are no more to come.
func work(f File, jobs <-chan job, results chan<- result) {
	for j := range jobs {
		results <- lockedDeploy(f, j)
	}
}

// lockedDeploy is not cut in two by the end of the agent: every step has a limit of its own.
func lockedDeploy(f File, j job) result {
	unlock, err := f.Lock()
	if err != nil {
		return result{job: j, err: err, took: time.Since(j.began)}
	}
	r := deploy(context.Background(), f, j)
	r.err = errors.Join(r.err, unlock())
	r.took = time.Since(j.began)
	return r
}

// start gives the deployer a job. It has none.
func (d *deployer) start(j job) {
	d.busy, d.beside = &j, map[string]bool{}
	d.jobs <- j
}

// changed tells the deployer what the process got while it was at work.
func (d *deployer) changed(made []haproxy.Change) {
	if d.busy == nil {
		return
	}
	for _, c := range made {
		d.beside[c.Domain()] = true
	}
}
