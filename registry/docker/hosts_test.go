package docker

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hapsync/hapsync/registry"
)

// web is a good container that publishes port 80.
func web(name string, labels ...string) Container {
	c := Container{ID: "id-" + name, Name: name, Labels: map[string]string{LabelDomain: "a.abc.com"}, Started: time.Unix(1, 0), StopSignal: "15",
		Exposed: []uint16{80}, Published: publish("80=0.0.0.0:32768", "80=[::]:32768"),
		Networks: []Network{{Name: "bridge", IP: netip.MustParseAddr("172.17.0.2")}}}
	for _, label := range labels {
		key, value, _ := strings.Cut(label, "=")
		if strings.HasPrefix(key, "-") {
			delete(c.Labels, key[1:])
			continue
		}
		c.Labels[key] = value
	}
	return c
}

// publish reads 80=0.0.0.0:32768.
func publish(words ...string) (all []Published) {
	for _, w := range words {
		var port uint16
		left, right, _ := strings.Cut(w, "=")
		_, _ = fmt.Sscan(left, &port)
		all = append(all, Published{Port: port, At: netip.MustParseAddrPort(right)})
	}
	return all
}

func (c Container) with(change func(*Container)) Container {
	change(&c)
	return c
}

func settings() Settings {
	return Settings{Machine: "box1", IP: netip.MustParseAddr("10.0.0.5")}
}

// lines are hosts and problems as text.
func lines(hosts []Host, problems []Problem) (text []string) {
	for _, h := range hosts {
		line := fmt.Sprintf("%s/%s %s %s", h.Domain, h.Name, h.Addr, h.State)
		if h.Weight != 1 {
			line += fmt.Sprint(" weight ", h.Weight)
		}
		if h.Check != "" {
			line += " check " + h.Check
		}
		text = append(text, line)
	}
	for _, p := range problems {
		text = append(text, fmt.Sprintf("! %s %s: %s", p.Container, p.Label, p.Reason))
	}
	return text
}

func TestHostsOfContainers(t *testing.T) {
	t.Parallel()
	const good = "a.abc.com/box1_web1 10.0.0.5:32768 ready"
	internal := settings()
	internal.Internal = true
	local := settings()
	local.IP, local.Addresses.Loopback = netip.MustParseAddr("127.0.0.1"), true
	refused := local
	refused.Addresses.Loopback = false
	const aloneWhy = ", which a container's check cannot have: --interval, --timeout, --rise and --fall say when it is made, and a space in a path is %20"
	six := settings()
	six.IP = netip.MustParseAddr("fd00::5")
	for name, test := range map[string]struct {
		settings Settings
		running  []Container
		want     []string
	}{
		"a published port is that of the machine": {settings(), []Container{web("web1")}, []string{good}},
		"a container without the label is nobody": {settings(), []Container{web("web1", "-hapsync.domain=")}, nil},
		"labels say more": {settings(), []Container{web("web1", "hapsync.host=server1", "hapsync.port=80", "hapsync.weight=10", "hapsync.check=/health")},
			[]string{"a.abc.com/server1 10.0.0.5:32768 ready weight 10 check /health"}},
		"several domains": {settings(), []Container{web("web1", "hapsync.domain=A.abc.com, b.abc.com")}, []string{good, "b.abc.com/box1_web1 10.0.0.5:32768 ready"}},
		"a domain twice":  {settings(), []Container{web("web1", "hapsync.domain=a.abc.com,A.abc.com")}, []string{good}},
		"a check that is off, or beside a HEALTHCHECK, is none": {settings(), []Container{web("web1", "hapsync.check=off"),
			web("web2", "hapsync.check=/health").with(func(c *Container) { c.Health = Healthy })},
			[]string{good, "a.abc.com/box1_web2 10.0.0.5:32768 ready"}},
		"a check of a path and a query": {settings(), []Container{web("web1", "hapsync.check=/a%2Fb?c=d")}, []string{good + " check /a%2Fb?c=d"}},
		"a check with words that are for a domain": {settings(), []Container{web("web1", "hapsync.check=/health inter=5s"), web("web2", "hapsync.check=tcp inter=5s"),
			web("web3", "hapsync.check=off fall=2"), web("web4", "hapsync.check=/a b"), web("web5", "hapsync.check=/health ")},
			[]string{`! web1 hapsync.check: check "/health inter=5s" has words behind "/health"` + aloneWhy,
				`! web2 hapsync.check: check "tcp inter=5s" has words behind "tcp"` + aloneWhy, `! web3 hapsync.check: check "off fall=2" has words behind "off"` + aloneWhy,
				`! web4 hapsync.check: check "/a b" has words behind "/a"` + aloneWhy, `! web5 hapsync.check: check "/health " has words behind "/health"` + aloneWhy}},
		"a check of an anchor": {settings(), []Container{web("web1", "hapsync.check=/a#b")},
			[]string{`! web1 hapsync.check: check "/a#b" has "#", which a path here cannot have: percent-encode it`}},
		"starting is not yet":   {settings(), []Container{web("web1").with(func(c *Container) { c.Health = Starting })}, nil},
		"unhealthy is maint":    {settings(), []Container{web("web1").with(func(c *Container) { c.Health = Unhealthy })}, []string{"a.abc.com/box1_web1 10.0.0.5:32768 maint"}},
		"paused is maint":       {settings(), []Container{web("web1").with(func(c *Container) { c.Paused = true })}, []string{"a.abc.com/box1_web1 10.0.0.5:32768 maint"}},
		"in its network":        {internal, []Container{web("web1")}, []string{"a.abc.com/box1_web1 172.17.0.2:80 ready"}},
		"in the one of several": {internal, []Container{web("web1", "hapsync.network=back").with(twoNetworks)}, []string{"a.abc.com/box1_web1 10.9.0.2:80 ready"}},
		"in several": {internal, []Container{web("web1").with(twoNetworks)},
			[]string{"! web1 hapsync.network: the container is in several networks, back, bridge: say which with the label"}},
		"in another": {internal, []Container{web("web1", "hapsync.network=no\nsuch").with(twoNetworks)},
			[]string{`! web1 hapsync.network: the container has no address in network "no\nsuch", but in back, bridge`}},
		"in none": {internal, []Container{web("web1").with(func(c *Container) { c.Networks = nil })},
			[]string{"! web1 hapsync.network: the container has an address in no network: attach it to one"}},
		"with a port that nobody exposes": {internal, []Container{web("web1", "hapsync.port=8080")}, []string{"a.abc.com/box1_web1 172.17.0.2:8080 ready"}},
		"without any port": {internal, []Container{web("web1").with(func(c *Container) { c.Exposed = nil })},
			[]string{"! web1 hapsync.port: the container exposes no TCP port: say which one it has with the label"}},
		"in the network of the machine": {settings(), []Container{web("web1").with(func(c *Container) { c.HostNetwork, c.Published, c.Networks = true, nil, nil })},
			[]string{"a.abc.com/box1_web1 10.0.0.5:80 ready"}},
		"nothing published": {settings(), []Container{web("web1").with(func(c *Container) { c.Published = nil })},
			[]string{"! web1 hapsync.port: the container publishes no TCP port: publish one with -p, or start hapsync with --internal"}},
		"another port published": {settings(), []Container{web("web1", "hapsync.port=8080")},
			[]string{"! web1 hapsync.port: port 8080 of the container is not published: publish it with -p 8080, or start hapsync with --internal"}},
		"several published": {settings(), []Container{web("web1").with(func(c *Container) { c.Published = publish("80=0.0.0.0:1", "443=0.0.0.0:2") })},
			[]string{"! web1 hapsync.port: the container publishes several TCP ports, 80, 443: say which with the label"}},
		"several published, and which": {settings(), []Container{web("web1", "hapsync.port=443").with(func(c *Container) { c.Published = publish("80=0.0.0.0:1", "443=0.0.0.0:2") })},
			[]string{"a.abc.com/box1_web1 10.0.0.5:2 ready"}},
		"published on the machine alone": {settings(), []Container{web("web1").with(func(c *Container) { c.Published = publish("80=127.0.0.1:8080") })},
			[]string{"! web1 hapsync.port: port 80 of the container is published on 127.0.0.1 only, which no other machine reaches: publish it without that " +
				"address, or start hapsync with --internal, or with --ip 127.0.0.1 --allow-loopback where HAProxy runs on this machine"}},
		"published on the machine alone, where HAProxy is": {local, []Container{web("web1").with(func(c *Container) { c.Published = publish("80=127.0.0.1:8080") })},
			[]string{"a.abc.com/box1_web1 127.0.0.1:8080 ready"}},
		"at an address that is refused": {refused, []Container{web("web1").with(func(c *Container) { c.Published = publish("80=127.0.0.1:8080") })},
			[]string{"! web1 hapsync.port: address 127.0.0.1:8080 is refused: it is a loopback address, which is no other machine's; --allow-loopback takes it"}},
		"published on one address": {settings(), []Container{web("web1").with(func(c *Container) { c.Published = publish("80=127.0.0.1:1", "80=10.7.0.1:8080") })},
			[]string{"a.abc.com/box1_web1 10.7.0.1:8080 ready"}},
		"published for IPv4 alone": {six, []Container{web("web1").with(func(c *Container) { c.Published = publish("80=0.0.0.0:8080") })},
			[]string{"! web1 hapsync.port: port 80 of the container is not published for addresses of the kind of fd00::5: publish it with -p 80, or give another --ip"}},
		"published for IPv6": {six, []Container{web("web1")}, []string{"a.abc.com/box1_web1 [fd00::5]:32768 ready"}},
		"a label that there is not": {settings(), []Container{web("web1", "hapsync.wieght=7")},
			[]string{good, "! web1 hapsync.wieght: there is no such label, it is passed over: they are hapsync.domain, hapsync.host, hapsync.port, hapsync.weight, hapsync.check, hapsync.network"}},
		"one name for two": {settings(), []Container{web("web1", "hapsync.host=x"), web("web2", "hapsync.host=x")},
			[]string{"a.abc.com/x 10.0.0.5:32768 ready", "! web2 hapsync.host: a.abc.com/x is container web1 already: give each container a name of its own with the label"}},
		"what the engine does not tell": {settings(), []Container{web("web1"), {ID: "y", Name: "web2", Unread: fmt.Errorf("no such answer")}},
			[]string{good, "! web2 : no such answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, lines(test.settings.Hosts(test.running, nil))); diff != "" {
				t.Error("want -, got +:\n" + diff)
			}
		})
	}
}

func twoNetworks(c *Container) {
	c.Networks = []Network{{Name: "back", IP: netip.MustParseAddr("10.9.0.2")}, {Name: "bridge", IP: netip.MustParseAddr("172.17.0.2")}}
}

func TestNameStaysWithTheContainerThatHasIt(t *testing.T) {
	t.Parallel()
	running := []Container{web("web1", "hapsync.host=x"), web("web2", "hapsync.host=x"), web("web3", "hapsync.host=x")}
	for _, holder := range []string{"id-web1", "id-web2", "id-web3"} {
		hosts, problems := settings().Hosts(running, map[Key]string{{"a.abc.com", "x"}: holder})
		if len(hosts) != 1 || hosts[0].ID != holder || len(problems) != 2 {
			t.Errorf("%s has the name: got %v %v", holder, hosts, problems)
		}
	}
}

// TestHostileValuesAreProblems: whatever a label says, a host is good by the rules of the registry, or there is none.
func TestHostileValuesAreProblems(t *testing.T) {
	t.Parallel()
	for label, check := range map[string]func(string) error{
		LabelDomain: registry.CheckDomain,
		LabelHost:   registry.CheckHost,
		LabelPort:   func(s string) error { return registry.CheckValue("port", s) },
		LabelWeight: func(s string) error { return registry.CheckValue("weight", s) },
		LabelCheck:  func(s string) error { return registry.CheckOption("check", s) },
	} {
		for _, value := range []string{"", " ", "a b", "x\ny", "a.abc.com/../b", "x;y", "$(reboot)", "#", "é", "\x00", "-1", "65536", "exec:/bin/sh",
			"http://10.0.0.1/", strings.Repeat("a", 300), "a.abc.com\n  server x 1.2.3.4:80"} {
			hosts, problems := settings().Hosts([]Container{web("web1", label+"="+value)}, nil)
			if check(value) == nil {
				continue // strange, but good
			}
			if len(hosts) > 0 || len(problems) != 1 || problems[0].Label != label || problems[0].Container != "web1" {
				t.Errorf("%s=%q: got %v", label, value, lines(hosts, problems))
			}
			if text := fmt.Sprint(problems); strings.ContainsAny(text, "\n\x00") || len(text) > 600 {
				t.Errorf("%s=%q: the problem is %q", label, value, text)
			}
		}
	}
}

func TestACheckAsksForThePathAsTheLabelHasIt(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.RequestURI }))
	defer server.Close()
	r := New(Config{})
	for _, path := range []string{"/", "/health", "/a%2Fb%41%20%25", "/a?", "/a?b=c%26&d=%3F?e", "//a/../b", "/~!&()*+,=:@", "/%23"} {
		h := Host{Check: path, Host: registry.Host{Addr: netip.MustParseAddrPort(server.Listener.Addr().String())}}
		if err := r.checkOf(h).Probe(t.Context()); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if have := <-asked; have != path {
			t.Errorf("it asks for %s, not %s", have, path)
		}
	}
}

func TestRegistratorNames(t *testing.T) {
	t.Parallel()
	two := func(c *Container) { c.Published = publish("80=0.0.0.0:1", "443=0.0.0.0:2") }
	env := func(words ...string) Container {
		return web("web1", "-hapsync.domain=").with(func(c *Container) { c.Env = words })
	}
	s := settings()
	s.RegistratorNames = true
	for name, test := range map[string]struct {
		container Container
		want      []string
	}{
		"a variable":              {env("PATH=/bin", "SERVICE_NAME=b.abc.com"), []string{"b.abc.com/box1_web1 10.0.0.5:32768 ready"}},
		"none":                    {env("PATH=/bin", "SERVICES=x"), nil},
		"a label counts more":     {env("SERVICE_NAME=b.abc.com").with(func(c *Container) { c.Labels["SERVICE_NAME"] = "c.abc.com" }), []string{"c.abc.com/box1_web1 10.0.0.5:32768 ready"}},
		"hapsync's own only":      {web("web1").with(func(c *Container) { c.Env = []string{"SERVICE_NAME=b.abc.com"} }), []string{"a.abc.com/box1_web1 10.0.0.5:32768 ready"}},
		"a port's own":            {env("SERVICE_443_NAME=s.abc.com").with(two), []string{"s.abc.com/box1_web1 10.0.0.5:2 ready"}},
		"both":                    {env("SERVICE_443_NAME=s.abc.com", "SERVICE_NAME=b.abc.com").with(two), []string{"b.abc.com/box1_web1 10.0.0.5:1 ready", "s.abc.com/box1_web1 10.0.0.5:2 ready"}},
		"one ignored":             {env("SERVICE_443_IGNORE=1", "SERVICE_NAME=b.abc.com").with(two), []string{"b.abc.com/box1_web1 10.0.0.5:1 ready"}},
		"a named one ignored":     {env("SERVICE_443_NAME=s.abc.com", "SERVICE_443_IGNORE=1").with(two), nil},
		"all ignored":             {env("SERVICE_IGNORE=1", "SERVICE_NAME=b.abc.com"), nil},
		"several ports":           {env("SERVICE_NAME=b.abc.com").with(two), []string{"! web1 SERVICE_NAME: the container has several TCP ports, 80, 443: name them one by one, as SERVICE_80_NAME"}},
		"several ports, and one":  {env("SERVICE_NAME=b.abc.com").with(two).with(func(c *Container) { c.Labels[LabelPort] = "443" }), []string{"b.abc.com/box1_web1 10.0.0.5:2 ready"}},
		"no port":                 {env("SERVICE_NAME=b.abc.com").with(func(c *Container) { c.Published = nil }), []string{"! web1 hapsync.port: the container publishes no TCP port: publish one with -p, or start hapsync with --internal"}},
		"no port and its own":     {env("SERVICE_80_NAME=b.abc.com", "SERVICE_NAME=c.abc.com"), []string{"b.abc.com/box1_web1 10.0.0.5:32768 ready"}},
		"a hostile name":          {env("SERVICE_NAME=b c"), []string{`! web1 SERVICE_NAME: domain "b c" has " ": only letters, digits, "-" and "." can be in it`}},
		"a hostile port":          {env("SERVICE_99999_NAME=b.abc.com", "SERVICE_x_NAME=y", "SERVICE_0_NAME=y", "SERVICE_=1", "SERVICE_80=y"), nil},
		"not published, by label": {env("SERVICE_8080_NAME=b.abc.com"), []string{"! web1 hapsync.port: port 8080 of the container is not published: publish it with -p 8080, or start hapsync with --internal"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, lines(s.Hosts([]Container{test.container}, nil))); diff != "" {
				t.Error("want -, got +:\n" + diff)
			}
			if hosts, _ := settings().Hosts([]Container{test.container}, nil); len(hosts) > 0 && test.container.Labels[LabelDomain] == "" {
				t.Errorf("without --registrator-names there is %v", hosts)
			}
		})
	}
}

func TestHostNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 64)
	seen := map[string]string{}
	for _, pair := range [][2]string{{"box1", "web1"}, {"box2", "web1"}, {"box", "1_web1"}, {"box1_web1", "x"}, {"box1", "web1_x"}, {"box1-web1", "x"}, {"box1", "web1-x"},
		{"a.b", "c"}, {"a", "b.c"}, {long, "web1"}, {long, "web2"}, {"box1", long}, {"box1", long + "y"}, {"bö", "x"}, {"bä", "x"}, {"b-", "x"}, {"", "x"}, {"a b", "x"}, {"a", ""}} {
		name := HostName(pair[0], pair[1])
		if err := registry.CheckHost(name); err != nil {
			t.Errorf("%q: %v", pair, err)
		}
		if other, there := seen[name]; there {
			t.Errorf("%q and %s are both %s", pair, other, name)
		}
		seen[name] = fmt.Sprintf("%q", pair)
	}
	for pair, want := range map[[2]string]string{{"box1", "shop-web-1"}: "box1_shop-web-1", {"box1.abc.com", "web_1"}: "box1.abc.com_web_1"} {
		if got := HostName(pair[0], pair[1]); got != want {
			t.Errorf("%q: got %s", pair, got)
		}
	}
}

func TestStopSignalsAreNumberedAsTheEngineDoes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"": "15", "SIGTERM": "15", "TERM": "15", "term": "15", "sigquit": "3", "3": "3", "015": "15", "37": "37", "SIGWINCH": "28",
		"SIGKILL": "9", "SIGUSR1": "10", "SIGSTKFLT": "16", "SIGCLD": "17", "IOT": "6", "SIGPOLL": "29", "SIGPWR": "30",
		"SIGRTMIN": "34", "RTMIN": "34", "SIGRTMIN+3": "37", "sigrtmin+3": "37", "rtmin+15": "49", "SIGRTMAX": "64", "SIGRTMAX-3": "61", "RTMAX-14": "50",
		"SIGRTMAX+1": "15", "SIGRTMIN-1": "15", "SIGRTMIN+x": "15", "SIGNONE": "15",
	} {
		if have := signalNumber(name); have != want {
			t.Errorf("%q is %s, want %s", name, have, want)
		}
	}
}

func TestSignalsOfContainersThatStop(t *testing.T) {
	t.Parallel()
	started := time.Unix(100, 0)
	later, earlier := started.Add(1), started.Add(-1)
	kill := func(signal string, at time.Time) func(*Signals) {
		return func(s *Signals) { s.Note(Event{Container: "x", Signal: signal, Time: at}) }
	}
	start := func(s *Signals) { s.Note(Event{Container: "x", Start: true, Time: started}) }
	for name, test := range map[string]struct {
		told []func(*Signals)
		want bool
	}{
		"its stop signal":                     {[]func(*Signals){kill("3", later)}, true},
		"SIGKILL":                             {[]func(*Signals){kill("9", later)}, true},
		"another":                             {[]func(*Signals){kill("1", later)}, false},
		"no signal":                           {[]func(*Signals){kill("", later)}, false},
		"one before its start":                {[]func(*Signals){kill("3", earlier), start}, false},
		"one before, and the clock went back": {[]func(*Signals){kill("3", later), start}, false},
		"one since, and the clock went back":  {[]func(*Signals){start, kill("3", earlier)}, true},
		"one before a start that was missed":  {[]func(*Signals){kill("3", earlier), (*Signals).Gap}, false},
		"one before a gap, since its start":   {[]func(*Signals){kill("3", later), (*Signals).Gap}, true},
		"one after a gap":                     {[]func(*Signals){kill("3", earlier), (*Signals).Gap, kill("3", earlier)}, true},
	} {
		var s Signals
		c := Container{ID: "x", StopSignal: "3", Started: started}
		for _, tell := range append(test.told, kill("1", later)) {
			tell(&s)
		}
		s.Forget([]Container{c})
		if got := s.Stopping(c); got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
		if s.Stopping(Container{ID: "y", StopSignal: "3"}) {
			t.Errorf("%s: another one stops, too", name)
		}
		if s.Forget(nil); len(s.last) > 0 {
			t.Errorf("%s: %v is still known", name, s.last)
		}
	}
}
