package mirror

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/registrytest"
)

const testSettle = 100 * time.Millisecond

// A step is what a writer does to a host at a time: a put, or a delete if the value is empty.
type step struct {
	at    time.Duration
	keys  map[string]string // "ip", "port"
	host  string
	opens int // by how many writers between their two puts the step changes the number of them
}

// A stage is etcd with hosts, their writers, and the mirror that follows.
type stage struct {
	*Mirror
	now      time.Time
	revision int64
	stored   map[string]*Stored
	open     map[string]int               // writers between their puts, by host
	address  map[string]registry.KeyValue // ip and port that a host may be shown with
}

func newStage() *stage {
	s := &stage{stored: map[string]*Stored{}, open: map[string]int{}, address: map[string]registry.KeyValue{}, now: time.Unix(1000, 0)}
	s.restart()
	return s
}

// restart begins with a new mirror that knows only a listing.
func (s *stage) restart() {
	s.Mirror = New("/p", testSettle, math.MaxInt, registry.Addresses{})
	l := Listing{Cluster: 1, Revision: s.revision}
	for _, key := range slices.Sorted(maps.Keys(s.stored)) {
		l.Add("/p", math.MaxInt, *s.stored[key])
	}
	s.Begin(l, s.now)
}

// do makes a step in etcd and in the mirror.
func (s *stage) do(st step) {
	s.revision++
	var changes []Change
	for attr, value := range st.keys {
		key := "/p/a.com/" + st.host + "/" + attr
		changes = append(changes, Change{KeyValue: registry.KeyValue{Key: key, Value: value}, Revision: s.revision, Deleted: value == ""})
		kv := s.stored[key]
		switch {
		case value == "":
			delete(s.stored, key)
			continue
		case kv == nil:
			kv = &Stored{Key: []byte(key), Created: s.revision}
			s.stored[key] = kv
		}
		kv.Value, kv.Modified = []byte(value), s.revision
		kv.Version++
	}
	s.Apply(changes, s.now)
	s.open[st.host] += st.opens
	if s.open[st.host] == 0 || len(st.keys) == 2 {
		s.address[st.host] = s.has(st.host)
	}
}

// has is the address of a host in etcd.
func (s *stage) has(host string) (address registry.KeyValue) {
	if kv := s.stored["/p/a.com/"+host+"/ip"]; kv != nil {
		address.Key = string(kv.Value)
	}
	if kv := s.stored["/p/a.com/"+host+"/port"]; kv != nil {
		address.Value = string(kv.Value)
	}
	return address
}

// shown is the address of a host in the mirror.
func (s *stage) shown(host string) (address registry.KeyValue) {
	for _, d := range s.snapshot.Domains {
		for _, h := range d.Hosts {
			if h.Name == host {
				return registry.KeyValue{Key: h.Addr.Addr().String(), Value: fmt.Sprint(h.Addr.Port())}
			}
		}
	}
	return address
}

// wait advances the time until a step is due, and settles meanwhile.
func (s *stage) wait(until time.Time, check func()) {
	for {
		next := s.NextSettle()
		if next.IsZero() || next.After(until) {
			s.now = until
			return
		}
		s.now = next
		s.Settle(s.now)
		s.Update()
		check()
	}
}

func drawIP(t *rapid.T) string   { return fmt.Sprintf("10.0.0.%d", rapid.IntRange(1, 3).Draw(t, "ip")) }
func drawPort(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(80, 82).Draw(t, "port")) }

// pair are the two puts of a writer of both keys that begins with first, and when it is ready.
func pair(t *rapid.T, host string, first string, at time.Duration) ([]step, time.Duration) {
	keys := map[string]string{"ip": drawIP(t), "port": drawPort(t)}
	if first == "" {
		return []step{{at: at, host: host, keys: keys}}, at
	}
	second := map[string]string{"ip": "port", "port": "ip"}[first]
	ready := at + time.Duration(rapid.IntRange(1, 99).Draw(t, "gap"))*time.Millisecond
	return []step{
		{at: at, host: host, keys: map[string]string{first: keys[first]}, opens: 1},
		{at: ready, host: host, keys: map[string]string{second: keys[second]}, opens: -1},
	}, ready
}

// drawBoth are the steps of a writer of both keys, in one of the orders or in one revision. Sometimes it deletes the host.
func drawBoth(t *rapid.T, host string, orders []string) (steps []step) {
	at := time.Second
	for range rapid.IntRange(1, 8).Draw(t, "moves") {
		at += time.Duration(rapid.IntRange(1, 150).Draw(t, "pause")) * time.Millisecond
		var puts []step
		puts, at = pair(t, host, rapid.SampledFrom(orders).Draw(t, "order"), at)
		steps = append(steps, puts...)
	}
	return steps
}

// drawAlone are the steps of a writer of one key.
func drawAlone(t *rapid.T, host, attr string) (steps []step) {
	at := time.Second
	for range rapid.IntRange(1, 8).Draw(t, "moves") {
		at += time.Duration(rapid.IntRange(1, 300).Draw(t, "pause")) * time.Millisecond
		value := drawIP(t)
		if attr == "port" {
			value = drawPort(t)
		}
		steps = append(steps, step{at: at, host: host, keys: map[string]string{attr: value}})
	}
	return steps
}

// TestNoAddressOfTwoHalves plays writers of both keys of a host, one in any order or two at the same time, beside writers of
// one key of another host. The first host never has the ip of one address and the port of another, and has its new address as
// soon as its writers are ready.
func TestNoAddressOfTwoHalves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		steps := slices.Concat(
			drawBoth(t, "one", []string{"", "ip", "port"}),
			drawBoth(t, "cross", []string{"", "ip"}), drawBoth(t, "cross", []string{"", "ip"}),
			drawAlone(t, "alone", "port"),
		)
		for _, host := range []string{"one", "cross", "alone"} {
			steps = append(steps, step{host: host, keys: map[string]string{"ip": "10.0.0.1", "port": "80"}})
		}
		slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })
		s := newStage()
		start := s.now
		check := func() {
			t.Helper()
			for _, host := range []string{"one", "cross"} {
				if s.shown(host) != s.address[host] {
					t.Fatalf("%s is shown as %v, want %v", host, s.shown(host), s.address[host])
				}
			}
		}
		for _, st := range steps {
			s.wait(start.Add(st.at), check)
			if s.open["one"] == 0 && s.open["cross"] == 0 && rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				s.restart()
			}
			s.do(st)
			s.Update()
			check()
		}
	})
}

// TestAKeyThatIsPutAloneGoesAtOnce plays writers of one key. The first change may wait. All later ones go at once, whether the
// mirror has seen the first or a listing proves it.
func TestAKeyThatIsPutAloneGoesAtOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		attr := rapid.SampledFrom([]string{"ip", "port"}).Draw(t, "key")
		s := newStage()
		start := s.now
		s.do(step{host: "s", keys: map[string]string{"ip": "10.0.0.9", "port": "99"}})
		s.Update()
		steps := drawAlone(t, "s", attr)
		for i, st := range steps {
			s.wait(start.Add(st.at+time.Duration(i)*testSettle), func() {})
			if rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
				s.restart()
				s.Update()
			}
			s.do(st)
			s.Update()
			if i > 0 && s.shown("s") != s.has("s") {
				t.Fatalf("put %d: shown as %v, want %v", i, s.shown("s"), s.has("s"))
			}
			s.wait(s.now.Add(testSettle), func() {})
			if s.shown("s") != s.has("s") {
				t.Fatalf("put %d: shown as %v after the settle time, want %v", i, s.shown("s"), s.has("s"))
			}
		}
	})
}

// TestAWriterOfBothComesToAWriterOfOne plays both on one host, one after the other. If the writer of both begins with the key
// that the other one never puts, no half address is shown; otherwise none from its second address on.
func TestAWriterOfBothComesToAWriterOfOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newStage()
		s.do(step{host: "s", keys: map[string]string{"ip": "10.0.0.1", "port": "80"}})
		s.Update()
		play := func(steps []step, check func()) {
			start := s.now
			for _, st := range steps {
				s.wait(start.Add(st.at), check)
				s.do(st)
				s.Update()
				check()
			}
			s.wait(s.now.Add(testSettle), check)
		}
		whole := func() {
			t.Helper()
			if s.shown("s") != s.address["s"] {
				t.Fatalf("shown as %v, want %v", s.shown("s"), s.address["s"])
			}
		}
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			play(drawAlone(t, "s", "port"), func() {})
			begins := rapid.SampledFrom([]string{"ip", "port"}).Draw(t, "begins with")
			check := whole
			if begins == "port" {
				check = func() {}
			}
			puts, _ := pair(t, "s", begins, time.Second)
			play(puts, check)
			play(drawBoth(t, "s", []string{"", "ip", "port"}), whole)
		}
	})
}

func TestAListingProvesAKeyAhead(t *testing.T) {
	t.Parallel()
	// Of ip and port: version, created, modified.
	for name, tt := range map[string]struct {
		ip, port [3]int64
		want     int
	}{
		"both put as often":                     {[3]int64{5, 1, 9}, [3]int64{5, 1, 8}, 0},
		"a port that is put alone":              {[3]int64{1, 1, 1}, [3]int64{3, 1, 9}, -2},
		"an ip that is put alone":               {[3]int64{3, 2, 9}, [3]int64{1, 1, 1}, 2},
		"an ip that is ahead, and a port since": {[3]int64{3, 1, 8}, [3]int64{2, 1, 9}, 0},
		"an ip that is ahead, and both since":   {[3]int64{3, 1, 9}, [3]int64{2, 1, 9}, 0},
		"a port that was created anew":          {[3]int64{3, 1, 20}, [3]int64{1, 10, 10}, 0},
	} {
		l := Listing{Cluster: 1, Revision: 30}
		for _, kv := range []struct {
			key, value string
			of         [3]int64
		}{{"ip", "10.0.0.1", tt.ip}, {"maxconn", "9", [3]int64{9, 1, 9}}, {"port", "80", tt.port}} {
			l.Add("/p", math.MaxInt, Stored{Key: []byte("/p/A.com/s/" + kv.key), Value: []byte(kv.value), Version: kv.of[0], Created: kv.of[1], Modified: kv.of[2]})
		}
		m := New("/p", testSettle, math.MaxInt, registry.Addresses{})
		m.Begin(l, time.Unix(1000, 0))
		if got := m.groups["a.com"].leads["/p/A.com/s/"]; got != tt.want {
			t.Errorf("%s: lead %d, want %d", name, got, tt.want)
		}
		if shown := registrytest.Shown(m.Update()); shown != "s 10.0.0.1:80" {
			t.Errorf("%s: shown %q", name, shown)
		}
	}
}
