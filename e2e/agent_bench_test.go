package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// BenchmarkAgent measures how long after a put to etcd the first request is served as it says, as a client sees it that asks all the
// time: on each HAProxy, with each number of domains. Each change has its row:
//
//   - "new host": both keys in one transaction, in a domain with a TCP check. With the first check.
//   - "new host, two puts": the same, ip and port one after the other.
//   - "port moved": one key, by a writer that has changed it alone before. The server is up, and stays so.
//   - "host moved": both keys in one transaction, without checks.
//   - "host removed": its keys are deleted, until the first request is not served by it.
//   - "new domain": its first host, both keys in one transaction. From HAProxy 3.0 on it takes no reload.
//   - "beside a new domain": a host moves, a moment after a domain was registered.
//
// "agent" is the median, "p99" the slowest. "floor" is the put, its watch event in this process, and the bare commands on
// HAProxy's socket; a new domain has that of a new host. "template" is what confd does for any of these changes: all keys are read, all is rendered, haproxy -c,
// a reload; the median of three. Changes come every 100 ms, so that the commits of the file, one a second, are in between; before a new
// domain all is in line, and no reload was made within the last 2 s, so that none is postponed.
//
// "cpu/change" is the agent's, over changes that follow each other within one second, and so without the file; "commit"
// that of the whole pass which brings the file after them, without haproxy -c; "resync" that of one after SIGHUP, of
// which there is one a minute; "idle" is over 10 s without one, and "rss" what is resident at their end. All are read from /proc, CPU
// time in steps of 10 ms.
func BenchmarkAgent(b *testing.B) {
	var tables strings.Builder
	for _, h := range allHAProxy(b) {
		var delays, costs strings.Builder
		curves := map[string]*curve{}
		fmt.Fprintf(&delays, "\nHAProxy %s\n%8s %-20s %9s %9s %9s %9s %10s %10s\n", h, "domains", "change", "agent", "p99", "floor", "x floor", "template", "template x")
		fmt.Fprintf(&costs, "%8s %11s %9s %9s %7s %9s %9s\n", "domains", "cpu/change", "commit", "resync", "idle", "rss", "peak")
		for _, n := range []int{10, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/%d", h, n), func(b *testing.B) {
				for b.Loop() {
					startFollowing(b, h, n).measure(b, &delays, &costs, curves)
				}
			})
		}
		fmt.Fprintf(&tables, "%s\n%s", &delays, &costs)
		draw(b, "haproxy-"+h.String(), "From a put to the first request, HAProxy "+h.String(), slices.SortedFunc(maps.Values(curves), func(a, b *curve) int { return strings.Compare(a.name, b.name) }))
	}
	figures(b, "agent", tables.String())
}

const (
	samples     = 30
	fewSamples  = 10 // of what takes a reload
	samplePause = 100 * time.Millisecond
)

// A following is a box of n domains without checks, and some with checks, with an agent and three hosts.
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
	f.env = append(f.env, "HAPSYNC_DYNAMIC_DOMAINS=auto", fmt.Sprint("HAPSYNC_SPARE_BACKENDS=", 2*fewSamples))
	for i := range f.hosts {
		f.hosts[i] = startHost(b, fmt.Sprint("host", i))
	}
	fill(b, f.box, n)
	for i := range samples {
		for k := range 2 {
			f.txn(b, addrOf(b, fmt.Sprintf("%s/h%d", f.domain(i), k), f.hosts[0].addr))
			f.txn(b, addrOf(b, fmt.Sprintf("%s/h%d", checkedDomain(i, byAgent), k), f.hosts[k].addr))
			f.txn(b, addrOf(b, fmt.Sprintf("%s/h%d", checkedDomain(i, byHand), k), f.hosts[k].addr))
		}
		f.txn(b, portOf(b, checkedDomain(i, byAgent)+"/h0", f.hosts[0].addr)) // whose port changes alone
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

// portOf is the port of an address under the name of a host.
func portOf(t testing.TB, name, addr string) map[string]string {
	keys := addrOf(t, name, addr)
	return map[string]string{name + "/port": keys[name+"/port"]}
}

// domain is that of the i-th sample; they are spread over all.
func (f *following) domain(i int) string {
	return fmt.Sprintf("d%d.example.org", i%samples*max(1, f.n/samples)%f.n)
}

// Who makes a change in HAProxy.
const (
	byAgent = "agent"
	byHand  = "hand"
)

// checkedDomain is one with checks, for one sample of the agent's or by hand.
func checkedDomain(i int, by string) string {
	return fmt.Sprintf("%s%d.checked.example.org", by, i)
}

// A sample is a change of the registry, the commands that make it in HAProxy, and who is to serve then.
type sample struct {
	domain, server string
	puts           []map[string]string // one transaction each
	deleted        string              // the beginning of keys
	commands       string
	host           *host
	gone           bool // any other host is to serve then
	fresh          bool // the domain is unknown before
}

// move is a server that goes to the other host; the domains take turns.
func (f *following) move(b *testing.B) sample {
	round := f.moves / min(samples, f.n)
	s := sample{domain: f.domain(f.moves), server: "h0", host: f.hosts[1-round%2]}
	f.moves++
	s.puts = []map[string]string{addrOf(b, s.domain+"/h0", s.host.addr)}
	s.commands = s.moves()
	return s
}

// moves are the commands that give a server the address of the sample.
func (s sample) moves() string {
	ip, port, _ := strings.Cut(s.host.addr, ":")
	return fmt.Sprintf("set server %s_cluster/%s addr %s port %s", s.domain, s.server, ip, port)
}

// add is a new server with a check, which its first good check brings into service.
func (f *following) add(b *testing.B, i int, by, name string) sample {
	s := sample{domain: checkedDomain(i, by), server: fmt.Sprint(name, i), host: f.hosts[2]}
	s.puts = []map[string]string{addrOf(b, s.domain+"/"+s.server, s.host.addr)}
	of, cookie := s.domain+"_cluster/"+s.server, " cookie "+s.server
	if !f.haproxy.can.CookieLive {
		cookie = ""
	}
	s.commands = fmt.Sprintf("add server %s %s%s weight 1 check;enable health %s;enable server %s", of, s.host.addr, cookie, of, of)
	return s
}

// inTwo has the keys of a new server put one after the other.
func (s sample) inTwo() sample {
	var puts []map[string]string
	for _, attribute := range []string{"ip", "port"} {
		key := s.domain + "/" + s.server + "/" + attribute
		puts = append(puts, map[string]string{key: s.puts[0][key]})
	}
	s.puts = puts
	return s
}

// movePort is a server with a check whose port changes alone.
func (f *following) movePort(b *testing.B, i int, by string) sample {
	s := sample{domain: checkedDomain(i, by), server: "h0", host: f.hosts[2]}
	s.puts, s.commands = []map[string]string{portOf(b, s.domain+"/h0", s.host.addr)}, s.moves()
	return s
}

// remove is a server with a check that goes.
func (f *following) remove(i int, by string) sample {
	s := sample{domain: checkedDomain(i, by), server: "h1", host: f.hosts[1], gone: true}
	s.deleted, s.commands = s.domain+"/h1/", "set server "+s.domain+"_cluster/h1 state maint"
	return s
}

// found is a new domain, which comes without a reload: from 3.0 on in a spare backend, and HAProxy 3.4 adds one.
func (f *following) found(b *testing.B, name string) sample {
	s := sample{domain: name + ".example.com", server: "server1", host: f.hosts[2], fresh: true}
	s.puts = []map[string]string{addrOf(b, s.domain+"/server1", s.host.addr)}
	return s
}

// served makes requests until they are answered as the sample says.
func (f *following) served(b *testing.B, s sample) {
	limit := time.After(within)
	for {
		a, err := get(f.web, s.domain, s.server) // on a connection of its own: a kept one stays with the old address
		switch {
		case err != nil:
			b.Fatalf("%s: %v", s.domain, err)
		case a.status != http.StatusOK && !s.fresh:
			b.Fatalf("%s with cookie %s: got %s", s.domain, s.server, a)
		case a.status == http.StatusOK && (a.body == s.host.name) != s.gone:
			return
		}
		select {
		case <-time.After(200 * time.Microsecond):
		case <-limit:
			b.Fatalf("%s with cookie %s: got %s, host %s, gone %t", s.domain, s.server, a, s.host.name, s.gone)
		}
	}
}

// change changes the registry and returns when that began.
func (f *following) change(b *testing.B, s sample) time.Time {
	start := time.Now()
	for _, keys := range s.puts {
		f.txn(b, keys)
	}
	if s.deleted != "" {
		f.txn(b, nil, s.deleted)
	}
	return start
}

// byAgent is how long a change takes that the agent makes.
func (f *following) byAgent(b *testing.B, s sample) time.Duration {
	start := f.change(b, s)
	f.served(b, s)
	return time.Since(start)
}

// byHand is how long it takes at least, seen as byAgent sees it: by requests from the put on.
func (f *following) byHand(b *testing.B, s sample) time.Duration {
	start := f.change(b, s)
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

// each takes samples, one after the other, not faster than their pause, and sorts them.
func each(n int, measure func(i int) time.Duration) []time.Duration {
	pace := time.NewTicker(samplePause)
	defer pace.Stop()
	took := make([]time.Duration, n)
	for i := range took {
		<-pace.C
		took[i] = measure(i)
	}
	slices.Sort(took)
	return took
}

// A row is of one change: how long the agent takes, and how long it takes at least.
type row struct {
	change       string
	agent, floor func(i int) time.Duration
	samples      int
	drawn        bool // in the picture
	took, least  []time.Duration
}

// rows are the changes, in the order of the table. Those of the agent are measured before those by hand.
func (f *following) rows(b *testing.B) []*row {
	agent := func(s func(i int) sample) func(int) time.Duration {
		return func(i int) time.Duration { return f.byAgent(b, s(i)) }
	}
	hand := func(s func(i int) sample) func(int) time.Duration {
		return func(i int) time.Duration { return f.byHand(b, s(i)) }
	}
	add := func(by, name string) func(int) sample { return func(i int) sample { return f.add(b, i, by, name) } }
	two := func(i int) sample { return f.add(b, i, byAgent, "two").inTwo() }
	move := func(int) sample { return f.move(b) }
	port := func(by string) func(int) sample { return func(i int) sample { return f.movePort(b, i, by) } }
	remove := func(by string) func(int) sample { return func(i int) sample { return f.remove(i, by) } }
	return []*row{
		{change: "new host", samples: samples, drawn: true, agent: agent(add(byAgent, "new")), floor: hand(add(byHand, "new"))},
		{change: "new host, two puts", samples: samples, agent: agent(two), floor: hand(add(byHand, "two"))},
		{change: "host removed", samples: samples, drawn: true, agent: agent(remove(byAgent)), floor: hand(remove(byHand))},
		{change: "port moved", samples: samples, drawn: true, agent: agent(port(byAgent)), floor: hand(port(byHand))},
		{change: "host moved", samples: samples, agent: agent(move), floor: hand(move)},
		{change: "beside a new domain", samples: fewSamples, agent: func(i int) time.Duration {
			f.rests(b)
			f.change(b, f.found(b, fmt.Sprint("beside", i)))
			<-time.After(samplePause)
			return f.byAgent(b, f.move(b))
		}},
		{change: "new domain", samples: fewSamples, drawn: true, agent: func(i int) time.Duration {
			f.rests(b)
			return f.byAgent(b, f.found(b, fmt.Sprint("found", i)))
		}},
	}
}

// rests waits until all is in line and the agent may reload at once.
func (f *following) rests(b *testing.B) {
	const readBack = 4 * time.Second // then the interval between reloads is over, and what is read after one
	f.settles(b)
	<-time.After(readBack)
}

func (f *following) measure(b *testing.B, delays, costs *strings.Builder, curves map[string]*curve) {
	rows := f.rows(b)
	for _, r := range rows {
		r.took = each(r.samples, r.agent)
		f.settles(b)
	}
	f.cost(b, costs)
	f.agent.terminate(b)
	for _, r := range rows {
		if r.floor != nil {
			r.least = each(r.samples, r.floor)
		}
	}
	rows[5].least, rows[6].least = rows[4].least, rows[0].least // beside a new domain a host moves, and a new domain is a new host
	rendered := each(3, func(int) time.Duration { return f.byTemplate(b) })
	template := rendered[1]
	point := func(name string, took time.Duration) {
		if curves[name] == nil {
			curves[name] = &curve{name: name}
		}
		curves[name].add(f.n, took)
	}
	point("template, check and reload", template)
	point("floor of a new host", rows[0].least[len(rows[0].least)/2])
	for _, r := range rows {
		median, floor := r.took[len(r.took)/2], r.least[len(r.least)/2]
		fmt.Fprintf(delays, "%8d %-20s %9s %9s %9s %9s %10s %10s\n", f.n, r.change, precise(median), precise(r.took[len(r.took)-1]), precise(floor), ratio(median, floor), precise(template), ratio(template, median))
		if r.drawn {
			point("hapsync: "+r.change, median)
		}
		b.ReportMetric(float64(median)/float64(floor), "x-floor-"+strings.NewReplacer(" ", "-", ",", "").Replace(r.change))
	}
	f.master.end(b)
}

func precise(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }
