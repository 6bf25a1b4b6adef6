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

// File is the managed file, and the reload that makes the process load it. One goroutine owns it: the caller of a Syncer, or the
// deployer of an agent. It may run at the same time as Process.
type File interface {
	// Lock makes this process the only writer until unlock is called.
	Lock() (unlock func() error, err error)
	// Read returns the managed part of the file.
	Read() (haproxy.Config, haproxy.Digest, error)
	// Write makes the file say what is wanted. It refuses if the file has changed since the edit's base (haproxy.ErrConflict), and
	// if HAProxy refuses the configuration (*haproxy.InvalidConfigError).
	Write(ctx context.Context, e haproxy.Edit) error
	// Reload makes the process load the file. After a refused reload (*haproxy.ReloadError) the file may be an earlier one.
	Reload(ctx context.Context) error
	// Loaded returns the managed part of the file that the process has loaded.
	Loaded() (haproxy.Config, error)
	// Claim records which words of the file come from keys, if there is no such record yet (State.Unclaimed). The loop calls it.
	Claim(want haproxy.Config) error
	// Keep replaces the notes that outlive this process. Kept returns them; nil if there are none. The loop calls them, and a sync by
	// hand.
	Keep(notes []byte) error
	Kept() ([]byte, error)
}

// A job is work for the deployer.
type job struct {
	layout  Layout
	scope   haproxy.Scope
	base    haproxy.Digest  // the file from which the job was computed
	worker  string          // the process at that time
	want    haproxy.Config  // what the file should say of the scope
	late    []string        // the domains that need the reload, sorted
	options []string        // those of them whose options rest after it
	reload  bool            // for late, or for HAProxy's own sake
	tracked map[string]bool // the domains with servers that other domains track
	rewrite string          // why the whole file is written; empty for an edit
	// before has late without what needs the reload, for when HAProxy refuses it; the zero Backend is none.
	before map[string]haproxy.Backend
	// report is that of the pass that asked for the job, with its plan; nil if the job only writes what the process has.
	report *Report
	began  time.Time
}

// A result is the result of a job.
type result struct {
	job
	file        haproxy.Config // as it is now, all domains
	digest      haproxy.Digest // of file
	loaded      haproxy.Config // as the process has loaded it in a reload; zero if not known
	was, is     haproxy.Config // the file before the job, and after it; after an error, as it was to be
	changes     []Action       // from was to is; only of an agent
	refused     map[string]refusal
	reloaded    bool
	reloadError *haproxy.ReloadError // the first refusal of the reload, even if a later one succeeded; nil if there was none
	err         error
	took        time.Duration
}

// deploy writes the file, and reloads HAProxy if needed. Of a domain that HAProxy refuses, as little as possible stays as the file had
// it. The other domains get all their changes.
func deploy(ctx context.Context, f File, j job) result {
	d := deployment{job: j, target: f, held: map[string][]string{}}
	r := result{job: j}
	r.err = d.write(ctx)
	r.rewrite = d.rewrite
	if r.err == nil && d.needsReload() {
		r.err = f.Reload(ctx)
		r.reloaded = r.err == nil
	}
	if errors.As(r.err, &r.reloadError) {
		d.reloadError = r.reloadError
		if r.reloaded, r.err = d.reloadReduced(ctx); r.err == nil && !r.reloaded {
			r.err = d.withoutReload(ctx)
		}
	}
	file, digest, err := f.Read()
	if r.reloaded && digest == d.base {
		r.loaded = file
	} else if r.reloaded { // the file has been edited since
		r.loaded, _ = f.Loaded()
	}
	r.err = errors.Join(r.err, err)
	r.file, r.digest, r.refused = file, digest, d.refusals()
	if r.was, r.is = d.have, file; r.err != nil {
		r.is = d.wantWhole
	}
	return r
}

// A deployment is a job that is being done.
type deployment struct {
	job
	target    File
	have      haproxy.Config // the file before the job
	wantWhole haproxy.Config // the file as it should be, all domains
	// By domain in quarantine: why, what the file says instead, and the hosts if only their removal is held back.
	reasons   map[string]*haproxy.InvalidConfigError
	instead   map[string]haproxy.Backend
	held      map[string][]string
	triesLeft int
	// reloadError is why HAProxy refused the reload; reduced are the domains without their changes for that reason.
	reloadError *haproxy.ReloadError
	reduced     []string
}

func (d *deployment) write(ctx context.Context) error {
	have, digest, err := d.target.Read()
	if err != nil {
		return err
	}
	if digest != d.base {
		return haproxy.ErrConflict
	}
	d.have, d.wantWhole = have, replaceScope(have, d.want, d.scope)
	if d.rewrite == "" && !d.reload && len(Diff(d.have, d.wantWhole)) == 0 {
		return nil // before a reload, haproxy -c checks even an unchanged file: a refused reload would restore an earlier one
	}
	err = d.commit(ctx, d.wantWhole)
	if invalid, ok := errors.AsType[*haproxy.InvalidConfigError](err); ok {
		return d.quarantine(ctx, invalid)
	}
	return err
}

// closedRuleReason is why the whole file is written if it has a rule that takes no requests.
const closedRuleReason = "a transaction would not write the mark of a rule that is shut"

// commit writes the file. If a transaction fails twice, and not because of the configuration, it writes the whole file.
func (d *deployment) commit(ctx context.Context, want haproxy.Config) error {
	edit := haproxy.Edit{Want: want, Base: d.base, Rewrite: d.rewrite}
	if edit.Rewrite == "" && slices.ContainsFunc(want.Rules, func(r haproxy.Rule) bool { return r.Closed }) {
		edit.Rewrite = closedRuleReason
	}
	err := d.target.Write(ctx, edit)
	for try := 1; err != nil && edit.Rewrite == "" && isRetryable(err); try++ {
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

// isRetryable reports whether a transaction failed for a reason other than the configuration.
func isRetryable(err error) bool {
	_, invalid := errors.AsType[*haproxy.InvalidConfigError](err)
	return !invalid && !errors.Is(err, haproxy.ErrConflict) && !errors.Is(err, haproxy.ErrNoVerdict)
}

// needsReload reports whether the reload is still needed.
func (d *deployment) needsReload() bool {
	if !d.reload || len(d.late) == 0 {
		return d.reload
	}
	return slices.ContainsFunc(d.late, func(name string) bool {
		instead, refused := d.instead[name]
		return !refused || !sameBackend(instead, d.before[name])
	})
}

// withoutReload writes what the file can say without the refused reload.
func (d *deployment) withoutReload(ctx context.Context) error {
	d.reduce(d.late, d.instead, func(name string) haproxy.Backend { return d.before[name] })
	return d.recommit(ctx, d.wholeWith(d.instead))
}

// reduce replaces some domains by less, because HAProxy refused the reload. instead has the other replaced domains.
func (d *deployment) reduce(names []string, instead map[string]haproxy.Backend, less func(string) haproxy.Backend) {
	d.reduced, d.instead = names, map[string]haproxy.Backend{}
	maps.Copy(d.instead, instead)
	for _, name := range names {
		d.instead[name] = less(name)
	}
}

// recommit writes the file after a refused reload, which may have restored an earlier file.
func (d *deployment) recommit(ctx context.Context, want haproxy.Config) error {
	_, digest, err := d.target.Read()
	if err != nil {
		return err
	}
	d.base = digest
	return d.commit(ctx, want)
}

// refusals returns what HAProxy refused, by domain.
func (d *deployment) refusals() map[string]refusal {
	refused := map[string]refusal{}
	for name, invalid := range d.reasons {
		want, _ := backendOf(d.want, name)
		if want.Closed {
			want = haproxy.Backend{} // the registry no longer has it
		}
		refused[name] = refusal{
			want: want, file: d.instead[name], hosts: d.held[name],
			reason: haproxy.Outline(invalid.Output), words: oneLine(invalid.Output),
		}
	}
	for _, name := range d.reduced {
		want, _ := backendOf(d.want, name)
		refused[name] = refusal{
			want: want, file: d.instead[name], reload: true,
			reason: d.reloadError.Brief(), words: oneLine(d.reloadError.Error()),
		}
	}
	return refused
}

// wholeWith is the whole file as it should be, with some domains replaced; the zero Backend removes one.
func (d *deployment) wholeWith(instead map[string]haproxy.Backend) haproxy.Config {
	return d.layout.withRules(withBackends(d.wantWhole, instead))
}

// withBackends is a configuration with some domains replaced; the zero Backend removes one. Its rules are incomplete: see complete.
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

// replaceScope is a configuration with a scope replaced by what is wanted of it.
func replaceScope(have, want haproxy.Config, scope haproxy.Scope) haproxy.Config {
	if scope.All() {
		return want
	}
	backends := slices.DeleteFunc(slices.Clone(have.Backends), func(b haproxy.Backend) bool {
		domain, _ := haproxy.DomainOf(b.Name)
		return scope.Has(domain)
	})
	rules := slices.DeleteFunc(slices.Clone(have.Rules), func(r haproxy.Rule) bool { return scope.Has(r.Domain) })
	out := haproxy.Config{Backends: append(backends, want.Backends...), Rules: append(rules, want.Rules...)}
	slices.SortFunc(out.Backends, byBackend)
	slices.SortFunc(out.Rules, byRule)
	return out
}

func sameBackend(a, b haproxy.Backend) bool {
	return a.Name == b.Name && a.Options == b.Options && a.Closed == b.Closed && slices.Equal(a.Servers, b.Servers)
}

// A deployer is the loop's side of the goroutine that does the jobs, one after the other.
type deployer struct {
	jobs    chan job
	results chan result
	busy    *job // the current job; nil if there is none
	// changedMeanwhile are the domains that changed in the process during the job: a reload may undo that.
	changedMeanwhile map[string]bool
}

// runJobs does jobs, each under the lock, until the channel is closed.
func runJobs(f File, jobs <-chan job, results chan<- result) {
	for j := range jobs {
		results <- lockedDeploy(f, j)
	}
}

// lockedDeploy does a job to its end, even if the agent ends: every step has its own timeout.
func lockedDeploy(f File, j job) result {
	unlock, err := f.Lock()
	if err != nil {
		return result{job: j, err: err, took: time.Since(j.began)}
	}
	r := deploy(context.Background(), f, j)
	r.err = errors.Join(r.err, unlock())
	for _, c := range Diff(r.was, r.is) {
		r.changes = append(r.changes, Action{ViaTransaction, c})
	}
	r.took = time.Since(j.began)
	return r
}

// start gives the deployer a job. The caller has checked that it is free.
func (d *deployer) start(j job) {
	d.busy, d.changedMeanwhile = &j, map[string]bool{}
	d.jobs <- j
}

// noteChanges records changes in the process during a job.
func (d *deployer) noteChanges(made []haproxy.Change) {
	if d.busy == nil {
		return
	}
	for _, c := range made {
		d.changedMeanwhile[c.Domain()] = true
	}
}
