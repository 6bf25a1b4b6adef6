package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// BenchmarkAgent measures how long after a put to etcd the first request is served as it says, against the floor: the
// put, its watch event in this process, and the bare commands on HAProxy's socket. Both are seen by requests that are made
// one after the other from the put on. Beside it, what a
// template tool takes for the same change: all keys read, all rendered, haproxy -c, a reload. All hosts are without
// checks but those of the rows "new checked". Changes come every 100 ms, so that the commits of the file, one a second, are in between; p99 is of 30.
//
// "cpu/change" is the agent's, over changes that follow each other within one second, and so without the file; "commit"
// that of the whole pass which brings the file after them, without haproxy -c; "resync" that of one after SIGHUP, of
// which there is one a minute; "idle" is over 10 s without one. All are read from /proc in steps of 10 ms.
func BenchmarkAgent(b *testing.B) {
	h := newestHAProxy(b)
	var delays, costs strings.Builder
	fmt.Fprintf(&delays, "\nHAProxy %s\n%8s %-12s %-26s %9s %9s %9s\n", h, "domains", "change", "by", "median", "p99", "x floor")
	fmt.Fprintf(&costs, "%8s %11s %9s %9s %7s %9s %9s\n", "domains", "cpu/change", "commit", "resync", "idle", "rss", "peak")
	for _, n := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				startFollowing(b, h, n).measure(b, &delays, &costs)
			}
		})
	}
	fmt.Printf("%s\n%s\n", &delays, &costs)
}

const (
	samples     = 30
	samplePause = 100 * time.Millisecond
)

// A following is a box of n domains with an agent, two hosts between which servers move, and one for new servers.
type following struct {
	*box
	n      int
	agent  *agent
	hosts  [3]*host
	events clientv3.WatchChan
	moves  int
}

func startFollowing(b *testing.B, h haproxy, n int) *following {
	f := &following{box: startBox(b, h), n: n}
	for i := range f.hosts {
		f.hosts[i] = startHost(b, fmt.Sprint("host", i))
	}
	fill(b, f.box, n)
	for i := range samples {
		for k := range 2 {
			f.txn(b, addrOf(b, fmt.Sprintf("%s/h%d", f.domain(i), k), f.hosts[0].addr))
		}
	}
	for i := range samples {
		for _, name := range []string{"new", "more"} {
			f.txn(b, addrOf(b, checkedDomain(i, name)+"/h0", f.hosts[0].addr))
		}
	}
	f.agent = f.startAgent(b)
	f.agent.ready(b)
	f.comes(b, f.domain(0), "h0", f.hosts[0])
	f.settles(b)
	f.events = world.etcd.client.Watch(b.Context(), f.prefix+"/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if r := <-f.events; !r.Created {
		b.Fatalf("watch: %v", r.Err())
	}
	return f
}

// domain is that of the i-th sample; they are spread over all.
func (f *following) domain(i int) string {
	return fmt.Sprintf("d%d.example.org", i%samples*max(1, f.n/samples)%f.n)
}

// A sample is a change of the registry, the commands that make it in HAProxy, and who is to serve then.
type sample struct {
	domain, server string
	host           *host
	commands       string
}

// move is a server that goes to the other host; the domains take turns.
func (f *following) move() sample {
	round := f.moves / min(samples, f.n)
	s := sample{domain: f.domain(f.moves), server: "h0", host: f.hosts[1-round%2]}
	f.moves++
	ip, port, _ := strings.Cut(s.host.addr, ":")
	s.commands = fmt.Sprintf("set server %s_cluster/h0 addr %s port %s", s.domain, ip, port)
	return s
}

// add is a new server.
func (f *following) add(i int, name string) sample {
	s := sample{domain: f.domain(i), server: fmt.Sprint(name, i), host: f.hosts[2]}
	of := s.domain + "_cluster/" + s.server
	s.commands = fmt.Sprintf("add server %s %s cookie %s weight 1;enable server %s", of, s.host.addr, s.server, of)
	return s
}

// checkedDomain is one with checks, for one sample: what answers there is known to be its new server.
func checkedDomain(i int, name string) string {
	return fmt.Sprintf("%s%d.checked.example.org", name, i)
}

// addChecked is a new server with a check, which its first good check brings into service.
func (f *following) addChecked(i int, name string) sample {
	s := sample{domain: checkedDomain(i, name), server: fmt.Sprint(name, i), host: f.hosts[2]}
	of := s.domain + "_cluster/" + s.server
	s.commands = fmt.Sprintf("add server %s %s cookie %s weight 1 check;enable health %s;enable server %s", of, s.host.addr, s.server, of, of)
	return s
}

// served makes requests until the host answers.
func (f *following) served(b *testing.B, s sample) {
	limit := time.After(within)
	for {
		a, err := get(f.web, s.domain, s.server) // on a connection of its own: a kept one stays with the old address
		switch {
		case err != nil:
			b.Fatalf("%s: %v", s.domain, err)
		case a.status != http.StatusOK:
			b.Fatalf("%s with cookie %s: got %s", s.domain, s.server, a)
		case a.body == s.host.name:
			return
		}
		select {
		case <-time.After(200 * time.Microsecond):
		case <-limit:
			b.Fatalf("%s with cookie %s: got %s, want %s", s.domain, s.server, a, s.host.name)
		}
	}
}

func (f *following) puts(b *testing.B, s sample) time.Time {
	keys := addrOf(b, s.domain+"/"+s.server, s.host.addr)
	start := time.Now()
	f.txn(b, keys)
	return start
}

// byAgent is how long a change takes that the agent makes.
func (f *following) byAgent(b *testing.B, s sample) time.Duration {
	start := f.puts(b, s)
	f.served(b, s)
	return time.Since(start)
}

// byHand is how long it takes at least, seen as byAgent sees it: by requests from the put on.
func (f *following) byHand(b *testing.B, s sample) time.Duration {
	start := f.puts(b, s)
	commanded := make(chan error, 1)
	go func() { commanded <- f.commands(s) }()
	f.served(b, s)
	took := time.Since(start)
	if err := <-commanded; err != nil {
		b.Fatal(err)
	}
	return took
}

// commands waits for the watch event of a change, and makes it.
func (f *following) commands(s sample) error {
	if err := f.sees(s); err != nil {
		return err
	}
	reply, err := f.runtime(s.commands)
	if err != nil || strings.Contains(reply, "rror") {
		return fmt.Errorf("%s: %q, %w", s.commands, reply, err)
	}
	return nil
}

// sees waits for the watch event of a change.
func (f *following) sees(s sample) error {
	for r := range f.events {
		for _, e := range r.Events {
			if strings.HasPrefix(string(e.Kv.Key), f.prefix+"/"+s.domain+"/"+s.server+"/") {
				return nil
			}
		}
	}
	return errors.New("the watch has ended")
}

// each takes the samples, one after the other, not faster than their pause.
func each(measure func(i int) time.Duration) []time.Duration {
	pace := time.NewTicker(samplePause)
	defer pace.Stop()
	took := make([]time.Duration, samples)
	for i := range took {
		<-pace.C
		took[i] = measure(i)
	}
	slices.Sort(took)
	return took
}

func (f *following) measure(b *testing.B, delays, costs *strings.Builder) {
	moved := each(func(int) time.Duration { return f.byAgent(b, f.move()) })
	added := each(func(i int) time.Duration { return f.byAgent(b, f.add(i, "new")) })
	checked := each(func(i int) time.Duration { return f.byAgent(b, f.addChecked(i, "new")) })
	beside := f.besideNewDomains(b)
	f.cost(b, costs)
	f.agent.terminate(b)
	floorMoved := each(func(int) time.Duration { return f.byHand(b, f.move()) })
	floorAdded := each(func(i int) time.Duration { return f.byHand(b, f.add(i, "more")) })
	floorChecked := each(func(i int) time.Duration { return f.byHand(b, f.addChecked(i, "more")) })
	rendered := []time.Duration{f.byTemplate(b), f.byTemplate(b), f.byTemplate(b)}
	slices.Sort(rendered)
	row := func(change, by string, took, floor []time.Duration) {
		median := took[len(took)/2]
		fmt.Fprintf(delays, "%8d %-12s %-26s %9s %9s %9s\n", f.n, change, by, precise(median), precise(took[len(took)-1]), ratio(median, floor[len(floor)/2]))
	}
	row("new checked", "floor: event and commands", floorChecked, floorChecked)
	row("new checked", "agent", checked, floorChecked)
	row("host moved", "floor: event and commands", floorMoved, floorMoved)
	row("host moved", "agent", moved, floorMoved)
	row("host moved", "template, -c, reload (of 3)", rendered, floorMoved)
	row("host moved", "agent, beside a new domain", beside, floorMoved)
	row("new server", "floor: event and commands", floorAdded, floorAdded)
	row("new server", "agent", added, floorAdded)
	b.ReportMetric(float64(moved[samples/2])/float64(floorMoved[samples/2]), "x-floor-moved")
	b.ReportMetric(float64(beside[len(beside)/2])/float64(moved[samples/2]), "x-quiet-beside-a-new-domain")
	b.ReportMetric(float64(added[samples/2])/float64(floorAdded[samples/2]), "x-floor-added")
	f.master.end(b)
}

// besideNewDomains is how long hosts take to move a moment after another domain was registered, which takes haproxy -c and a
// reload.
func (f *following) besideNewDomains(b *testing.B) []time.Duration {
	const newDomains = 10
	took := make([]time.Duration, newDomains)
	for i := range took {
		f.settles(b)
		f.txn(b, addrOf(b, fmt.Sprintf("beside%d.example.com/server1", i), f.hosts[2].addr))
		<-time.After(samplePause)
		took[i] = f.byAgent(b, f.move())
	}
	f.settles(b)
	slices.Sort(took)
	return took
}

func precise(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

// cost is what the agent takes of CPU and memory.
func (f *following) cost(b *testing.B, table *strings.Builder) {
	const rounds, most, window = 4, 50, 800 * time.Millisecond
	var changing, committing time.Duration
	changes := 0
	for range rounds {
		f.settles(b)
		before, start := f.agent.cpu(b), time.Now()
		for k := 0; k < most && time.Since(start) < window; k++ {
			f.byAgent(b, f.move())
			changes++
		}
		changed := f.agent.cpu(b)
		f.settles(b)
		changing += changed - before
		committing += f.agent.cpu(b) - changed
	}
	const idleFor, resyncFor = 10 * time.Second, 4 * time.Second
	idle := f.agent.cpuOver(b, idleFor)
	if err := f.agent.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		b.Fatal(err)
	}
	resync := f.agent.cpuOver(b, resyncFor)
	rss, peak := f.agent.memory(b)
	fmt.Fprintf(table, "%8d %11s %9s %9s %6.2f%% %6.0f MB %6.0f MB\n", f.n, precise(changing/time.Duration(changes)), ms(committing/rounds), ms(resync),
		100*float64(idle)/float64(idleFor), float64(rss)/1e6, float64(peak)/1e6)
}

// cpuOver is what the agent uses within a time.
func (a *agent) cpuOver(t testing.TB, d time.Duration) time.Duration {
	t.Helper()
	before := a.cpu(t)
	select {
	case <-time.After(d):
	case <-a.Exited:
		t.Fatal(a.running())
	}
	return a.cpu(t) - before
}

// cpu is what the process has used so far, without its children.
func (p *process) cpu(t testing.TB) time.Duration {
	t.Helper()
	const tick = 10 * time.Millisecond
	stat := read(t, fmt.Sprintf("/proc/%d/stat", p.Cmd.Process.Pid))
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		t.Fatal(err)
	}
	system, err := strconv.Atoi(fields[12])
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * tick
}

// memory is the agent's resident one, now and at most.
func (a *agent) memory(t testing.TB) (rss, peak int64) {
	t.Helper()
	status := read(t, fmt.Sprintf("/proc/%d/status", a.Cmd.Process.Pid))
	kB := func(name string) (n int64) {
		_, after, _ := strings.Cut(status, name+":")
		if _, err := fmt.Sscan(after, &n); err != nil {
			t.Fatal(err)
		}
		return n << 10
	}
	return kB("VmRSS"), kB("VmHWM")
}

// confdTemplate is the classic one.
var confdTemplate = template.Must(template.New("").Parse(`frontend webin
    bind {{.Bind}}
{{range $d, $hosts := .Domains}}    acl is_{{$d}} hdr(host) -i {{$d}}
    use_backend {{$d}}_cluster if is_{{$d}}
{{end}}{{range $d, $hosts := .Domains}}
backend {{$d}}_cluster
    balance roundrobin
    cookie SERVERID insert indirect nocache
{{range $h, $attr := $hosts}}    server {{$h}} {{$attr.ip}}:{{$attr.port}} cookie {{$h}}
{{end}}{{end}}`))

// byTemplate is how long a change takes that a template tool makes: it reads all keys, renders all, validates and reloads.
func (f *following) byTemplate(b *testing.B) time.Duration {
	s := f.move()
	start := f.puts(b, s)
	if err := f.sees(s); err != nil {
		b.Fatal(err)
	}
	keys, err := world.etcd.client.Get(b.Context(), f.prefix+"/", clientv3.WithPrefix())
	if err != nil {
		b.Fatal(err)
	}
	domains := map[string]map[string]map[string]string{}
	for _, kv := range keys.Kvs {
		path := strings.Split(strings.TrimPrefix(string(kv.Key), f.prefix+"/"), "/")
		if len(path) != 3 {
			continue
		}
		if domains[path[0]] == nil {
			domains[path[0]] = map[string]map[string]string{}
		}
		if domains[path[0]][path[1]] == nil {
			domains[path[0]][path[1]] = map[string]string{}
		}
		domains[path[0]][path[1]][path[2]] = string(kv.Value)
	}
	var text strings.Builder
	if err := confdTemplate.Execute(&text, map[string]any{"Bind": f.web, "Domains": domains}); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(f.managedFile, []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	f.floor(b)
	f.served(b, s)
	return time.Since(start)
}
