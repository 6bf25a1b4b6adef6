package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	stdsync "sync"
	"testing"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/journal"
	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// manyDomains is a registry with so many domains, of two hosts each, and a HAProxy that has them.
func manyDomains(n int) *bench {
	b := &bench{snapshot: registry.Snapshot{Prefix: "/services/web", Revision: 812, Keys: 4 * n}, state: oneHost().state}
	for i := range n {
		d := &registry.Domain{Name: fmt.Sprintf("d%05d.abc.com", i)}
		for k := range 2 {
			name := fmt.Sprintf("web%d", k)
			addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(k), byte(i >> 8), byte(i)}), 10000)
			d.Hosts = append(d.Hosts, registry.Host{Name: name, Addr: addr, Weight: 1, State: registry.Ready})
			b.servers = append(b.servers, haproxy.ServerStatus{Domain: d.Name, Name: name, Addr: addr.String(), Status: "UP", Weight: 1, Check: "L4OK"})
		}
		b.snapshot.Domains = append(b.snapshot.Domains, d)
	}
	return b
}

// started is an agent of the bench after its first pass.
func (b *bench) started(t *testing.T, args ...string) *runningAgent {
	t.Helper()
	a := startAgent(t, b.program(nil, nil), freeAddr(t), args...)
	a.answers(t, "/metrics", 200, "hapsync_registry_up 1\n", "hapsync_haproxy_up 1\n")
	return a
}

// must gets an existing path.
func (a *runningAgent) must(t *testing.T, path string) string {
	t.Helper()
	code, body, err := a.get(t, path)
	if err != nil || code != http.StatusOK {
		t.Fatalf("%s: %d, %v: %s", path, code, err, body)
	}
	return body
}

func TestTheAPIHasAllDomainsPageByPage(t *testing.T) {
	a := manyDomains(250).started(t)
	var names []string
	for path := "/api/v1/domains?limit=100"; path != ""; {
		var page struct {
			Version, Total int
			Domains        []struct{ Domain string }
			Next           string
		}
		if err := json.Unmarshal([]byte(a.must(t, path)), &page); err != nil || page.Version != 1 || page.Total != 250 || len(page.Domains) > 100 {
			t.Fatalf("%+v, %v", page, err)
		}
		for _, d := range page.Domains {
			names = append(names, d.Domain)
		}
		path = ""
		if page.Next != "" {
			path = "/api/v1/domains?limit=100&after=" + url.QueryEscape(page.Next)
		}
	}
	if len(names) != 250 || !slices.IsSorted(names) || len(slices.Compact(names)) != 250 {
		t.Errorf("%d names", len(names))
	}
	wantContains(t, "a search", a.must(t, "/api/v1/domains?q=D0024"), `"total": 10`)
	wantContains(t, "a domain", a.must(t, "/api/v1/domains/d00249.abc.com"), `"verdict": "in rotation"`, `"address": "10.1.0.249:10000"`)
	wantContains(t, "the status", a.must(t, "/api/v1/status"), `"domains": 250`, `"up": 500`)
	for path, code := range map[string]int{
		"/api/v1/domains?limit=0": 400, "/api/v1/domains?limit=501": 400, "/api/v1/domains/no.abc.com": 404, "/api/v1/domains/a%0Ab": 400,
		"/api/v1/x": 404, "/api/v2/status": 404, "/domains/no.abc.com": 404, "/explain/d00001.abc.com/no": 404, "/api/v1/agents": 503, "/api/v1/agents?limit=0": 400, "/api/v1/plan?after=-1": 400,
	} {
		got, body, err := a.get(t, path)
		if err != nil || got != code || strings.HasPrefix(path, "/api") && !strings.Contains(body, `"error": "`) {
			t.Errorf("%s: %d, %v: %s", path, got, err, body)
		}
	}
}

func TestPagesOfAnySizeAreSmall(t *testing.T) {
	b := manyDomains(2000)
	big := b.snapshot.Domains[0]
	for i := range 1000 {
		big.Hosts = append(big.Hosts, registry.Host{Name: fmt.Sprintf("web1%03d", i), Addr: big.Hosts[0].Addr, Weight: 1, State: registry.Ready})
		b.snapshot.Problems = append(b.snapshot.Problems, registry.Problem{Key: strings.Repeat("x", 512), Reason: strings.Repeat("<", 150), Domain: fmt.Sprintf("d%05d.abc.com", i), Host: "web"})
	}
	a := b.started(t)
	for _, path := range []string{"/", "/domains", "/domains?page=10", "/domains/d00000.abc.com", "/plan", "/agents", "/explain/d00000.abc.com/web1", "/api/v1/status"} {
		if n := len(a.must(t, path)); n > 200_000 {
			t.Errorf("%s: %d bytes", path, n)
		}
	}
}

func TestPagesShowWhatTheRegistryHasAsText(t *testing.T) {
	const script = `<script>alert(1)</script>`
	b := oneHost()
	b.snapshot.Problems = []registry.Problem{{Key: "/services/web/" + script, Reason: `"><img src=x onerror=alert(1)>`, Domain: script, Host: script}}
	b.snapshot.Domains = append(b.snapshot.Domains, &registry.Domain{Name: "b" + script, Options: registry.DomainOptions{Check: script}, HeldHosts: []string{script}})
	a := b.started(t)
	for _, path := range []string{"/", "/domains", "/domains?q=" + url.QueryEscape(`"><script>`), "/domains/a.abc.com", "/explain/a.abc.com/server1", "/domains/" + url.PathEscape(script), "/plan"} {
		_, body, err := a.get(t, path)
		if err != nil || strings.Contains(body, "<script>") || strings.Contains(body, "<img") {
			t.Errorf("%s: %v\n%s", path, err, body)
		}
	}
	wantContains(t, "the page", a.must(t, "/"), "&lt;script&gt;alert(1)", "&lt;img src=x")
}

func TestAPageRunsNothingButItsOwn(t *testing.T) {
	a := oneHost().started(t)
	for _, path := range []string{"/", "/api/v1/status", "/assets/page.js"} {
		response, err := http.Get("http://" + a.listen.Address + path) //nolint:noctx // it is a test
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if got := response.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'; style-src 'self'; script-src 'self';") || response.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %q", path, got)
		}
	}
	body := a.must(t, "/")
	for _, word := range []string{"style=", "onclick", "method=", "http://", "https://"} {
		if strings.Contains(body, word) {
			t.Errorf("the page has %s", word)
		}
	}
}

func TestHAProxyIsAskedOnceForAllWhoLook(t *testing.T) {
	b := oneHost()
	a := b.started(t)
	if n := b.looks.Load(); n != 0 {
		t.Errorf("HAProxy was asked %d times before anybody looked", n)
	}
	began := time.Now()
	var looking stdsync.WaitGroup
	for range 40 {
		looking.Go(func() {
			for _, path := range []string{"/", "/api/v1/status", "/domains/a.abc.com"} {
				if code, body, err := a.get(t, path); err != nil || code != http.StatusOK {
					t.Errorf("%s: %d, %v: %s", path, code, err, body)
				}
			}
		})
	}
	looking.Wait()
	if n, most := int(b.looks.Load()), 1+int(time.Since(began)/time.Second); n > most {
		t.Errorf("HAProxy was asked %d times, and %d are the most", n, most)
	}
}

func TestAHoldShowsWithTheCommandThatConfirmsIt(t *testing.T) {
	b := oneHost()
	b.state.File, b.state.Live = threeServers(), threeServers()
	b.snapshot = registry.Snapshot{Revision: 7}
	file := writeFile(t, "log-level: info\n")
	a := b.started(t, "--config-file", file)
	a.answers(t, "/", 200, "Held since", "no key below the prefix", "hapsync sync --allow-mass-removal --config-file "+file)
	wantContains(t, "the plan", a.must(t, "/plan"), "a.abc.com_cluster", "remove")
	var plan struct {
		Total int
		Steps []struct{ Op, Domain string }
		Hold  *struct{ Reason, Command string }
		Next  string
	}
	if err := json.Unmarshal([]byte(a.must(t, "/api/v1/plan?limit=1")), &plan); err != nil || plan.Hold == nil || len(plan.Steps) != 1 || plan.Total < 3 || plan.Next != "1" {
		t.Errorf("%+v, %v", plan, err)
	}
}

func TestTheHistoryIsTheJournalPageByPage(t *testing.T) {
	b := oneHost()
	b.updates = make(chan registry.Snapshot)
	a := startAgent(t, b.program(nil, nil), freeAddr(t), "--journal", filepath.Join(t.TempDir(), "journal"))
	for i := range 5 {
		next := b.snapshot
		next.Revision += registry.Revision(i)
		next.Domains = append(slices.Clone(next.Domains), &registry.Domain{Name: fmt.Sprintf("d%d.abc.com", i), Hosts: next.Domains[0].Hosts})
		b.updates <- next
		a.answers(t, "/history", 200, fmt.Sprintf("d%d.abc.com", i))
	}
	var revisions []int
	eventually(t, "the pages have the entries in the same order as one page of all", func() error { // the file's may still come
		revisions = a.revisions(t, 2)
		if all := a.revisions(t, 500); !slices.Equal(revisions, all) {
			return fmt.Errorf("%d page by page, %d at once", revisions, all)
		}
		return nil
	})
	slices.Sort(revisions) // the file of a revision may be written after a later one is live
	if want := []int{812, 813, 814, 815, 816}; !slices.Equal(slices.Compact(revisions), want) {
		t.Errorf("%d, not %d", revisions, want)
	}
	if body := a.must(t, "/api/v1/history?domain=d3.abc.com"); strings.Contains(body, `"domain": "d2.abc.com"`) || !strings.Contains(body, `"domain": "d3.abc.com"`) {
		t.Error(body)
	}
	for _, bad := range []string{"since=x", "since=-1s", "before=1", "domain=a%0Ab", "limit=x"} {
		if code, body, err := a.get(t, "/api/v1/history?"+bad); err != nil || code != http.StatusBadRequest {
			t.Errorf("%s: %d, %v: %s", bad, code, err, body)
		}
	}
}

func TestReloadsAreCountedByTheJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	now := time.Now()
	for _, e := range []sync.Entry{
		{At: now.AddDate(0, 0, -1), Cause: sync.ReloadDomain},
		{At: now, Cause: sync.ReloadDomain}, {At: now, Cause: sync.ReloadServer}, {At: now, Error: `"cause":"domain"`},
	} {
		if err := (journal.File{Path: path, Size: 1 << 20, Managed: path}).Append(e); err != nil {
			t.Fatal(err)
		}
	}
	b := oneHost()
	b.updates = make(chan registry.Snapshot)
	a := startAgent(t, b.program(nil, nil), freeAddr(t), "--journal", path, "--reload-interval", "1ms")
	for n := 1; n <= 2; n++ { // a new domain each
		b.updates <- b.snapshot
		eventually(t, "the reloads of today are known", func() error {
			if body := a.must(t, "/api/v1/status"); !strings.Contains(body, fmt.Sprintf(`"reloads": %d,`, n)) || !strings.Contains(body, fmt.Sprintf(`"reloads_today": %d,`, 2+n)) {
				return errors.New(body)
			}
			return nil
		})
		b.snapshot.Revision++
		b.snapshot.Domains = append(slices.Clone(b.snapshot.Domains), &registry.Domain{Name: "b.abc.com", Hosts: b.snapshot.Domains[0].Hosts})
	}
	wantContains(t, "the page", a.must(t, "/"), `<dt>reloads</dt><dd>4</dd><dd class="dim">today</dd>`)
	without := oneHost().started(t)
	wantContains(t, "the API without a journal", without.must(t, "/api/v1/status"), `"reloads_today": null`)
	wantContains(t, "the page without a journal", without.must(t, "/"), `<dd class="dim">since the agent started</dd>`)
}

func TestAttentionSaysSinceWhen(t *testing.T) {
	b := oneHost()
	b.snapshot.Problems = []registry.Problem{{Key: "/services/web/x", Reason: "bad"}}
	b.snapshot.Domains[0].Pending = []registry.Pending{{Host: "server2", Missing: "port"}}
	b.updates = make(chan registry.Snapshot)
	began := time.Now()
	a := startAgent(t, b.program(nil, nil), freeAddr(t))
	since := func(revision registry.Revision) map[string]time.Time {
		b.snapshot.Revision = revision
		b.updates <- b.snapshot
		a.answers(t, "/api/v1/status", 200, fmt.Sprintf(`"revision_applied": %d,`, revision))
		var status struct {
			Attention []struct {
				What, Key string
				Since     time.Time
			}
		}
		if err := json.Unmarshal([]byte(a.must(t, "/api/v1/status")), &status); err != nil {
			t.Fatal(err)
		}
		found := map[string]time.Time{}
		for _, line := range status.Attention {
			found[line.What+line.Key] = line.Since
		}
		return found
	}
	first := since(812)
	for _, what := range []string{"problem/services/web/x", "pending"} {
		if at, there := first[what]; !there || at.Before(began) || at.After(time.Now()) {
			t.Errorf("%s since %s (there: %t)", what, at, there)
		}
	}
	b.snapshot.Problems = append(slices.Clone(b.snapshot.Problems), registry.Problem{Key: "/services/web/y", Reason: "bad"})
	again := since(813)
	if at := again["problem/services/web/y"]; at.Before(first["pending"]) {
		t.Errorf("a later problem since %s", at)
	}
	if delete(again, "problem/services/web/y"); !maps.EqualFunc(first, again, time.Time.Equal) {
		t.Errorf("first %v, then %v", first, again)
	}
	wantContains(t, "the page", a.must(t, "/"), `<td class="opt nowrap dim">`+first["problem/services/web/x"].Local().Format("15:04:05"))
}

func TestHostsShowTheirLeases(t *testing.T) {
	b := oneHost()
	b.snapshot.Domains[0].Hosts = append(b.snapshot.Domains[0].Hosts, registry.Host{Name: "server2", Addr: b.snapshot.Domains[0].Hosts[0].Addr, Weight: 1, State: registry.Ready})
	b.keys = []registry.Key{
		{Key: "/services/web/a.abc.com/check"}, {Key: "/services/web/a.abc.com/server1/state", Host: "server1"},
		{Key: "/services/web/a.abc.com/server1/port", Host: "server1", Lease: "2f", Left: 40 * time.Second},
		{Key: "/services/web/a.abc.com/server1/ip", Host: "server1", Lease: "1e", Left: 9 * time.Second},
		{Key: "/services/web/a.abc.com/server1/weight", Host: "server1", Lease: "3d", Left: 20 * time.Second},
		{Key: "/services/web/a.abc.com/server2/ip", Host: "server2"},
	}
	a := b.started(t)
	if n := b.keyLooks.Load(); n != 0 {
		t.Errorf("etcd was asked %d times before anybody looked", n)
	}
	began := time.Now()
	a.answers(t, "/domains/a.abc.com", 200, `<td class="opt dim nowrap">9 s left</td>`, `<td class="opt dim nowrap">none</td>`)
	a.answers(t, "/explain/a.abc.com/server1", 200, "1e, 9 s left unless it is kept alive")
	a.answers(t, "/explain/a.abc.com/server2", 200, "none: its keys stay until someone deletes them")
	a.answers(t, "/api/v1/domains/a.abc.com", 200, `"name": "1e"`, `"seconds": 9`)
	if n, most := int(b.keyLooks.Load()), 1+int(time.Since(began)/(5*time.Second)); n > most {
		t.Errorf("etcd was asked %d times, and %d are the most", n, most)
	}
	lost := oneHost()
	lost.keysErr = registry.ErrUnavailable
	lost.started(t).answers(t, "/domains/a.abc.com", 200, `<td class="opt dim nowrap">-</td>`)
}

// revisions are those of all entries of the history, page by page.
func (a *runningAgent) revisions(t *testing.T, limit int) (revisions []int) {
	t.Helper()
	pages := fmt.Sprintf("/api/v1/history?limit=%d", limit)
	for path := pages; path != ""; {
		var page struct {
			Entries []struct{ Revision int }
			Next    string
		}
		if err := json.Unmarshal([]byte(a.must(t, path)), &page); err != nil || len(page.Entries) > limit {
			t.Fatalf("%+v, %v", page, err)
		}
		for _, e := range page.Entries {
			revisions = append(revisions, e.Revision)
		}
		path = ""
		if page.Next != "" {
			path = pages + "&before=" + url.QueryEscape(page.Next)
		}
	}
	return revisions
}

// events follows an open page.
func (a *runningAgent) events(t *testing.T, ctx context.Context, path string) *bufio.Scanner { //nolint:revive // the test comes first
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://hapsync"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return a.listen.Dial(ctx) }}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	return lines
}

func TestAnOpenPageHearsOfChangesUntilTheAgentEnds(t *testing.T) {
	b := oneHost()
	b.updates = make(chan registry.Snapshot)
	a := startAgent(t, b.program(nil, nil), freeAddr(t))
	b.updates <- b.snapshot
	a.answers(t, "/metrics", 200, "hapsync_revision_seen 812\n")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lines := a.events(t, ctx, "/domains/a.abc.com")
	hears := func(words string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), words) {
				return
			}
		}
		t.Fatalf("%q did not come: %v", words, lines.Err())
	}
	hears("10.0.0.1:10000")
	moved := b.snapshot
	moved.Revision++
	d := *moved.Domains[0]
	d.Hosts = slices.Clone(d.Hosts)
	d.Hosts[0].Addr = netip.MustParseAddrPort("10.0.0.1:10002")
	moved.Domains = []*registry.Domain{&d}
	b.updates <- moved
	hears("10.0.0.1:10002")
	if code := a.ends(); code != exitOK {
		t.Errorf("code %d", code)
	}
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil && errors.Is(err, context.DeadlineExceeded) {
		t.Error("the page was left open")
	}
}
