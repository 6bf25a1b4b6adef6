package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// pageBlock returns what a page shows in a block of a language after the command, or after the words before the block.
func pageBlock(t *testing.T, page, before, language string) string {
	t.Helper()
	_, rest, ok := strings.Cut(read(t, "../"+page), before)
	if !ok {
		t.Fatalf("%s does not say %q", page, before)
	}
	if language != "" {
		_, rest, _ = strings.Cut(rest, "```"+language+"\n")
	}
	text, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatalf("%s shows nothing after %q", page, before)
	}
	return text
}

// sameOutput compares what a page shows with what the program prints. What differs from run to run is not compared.
func sameOutput(t *testing.T, page, shows, prints string) {
	t.Helper()
	varying := regexp.MustCompile(`(revision|lease|with|DOWN for) [0-9a-fhms]+`)
	plain := func(text string) string { return varying.ReplaceAllString(text, "$1 X") }
	if got, want := plain(prints), plain(shows); got != want {
		t.Errorf("%s shows\n%sbut hapsync prints\n%s", page, shows, prints)
	}
}

func TestPagesShowWhatHapsyncPrints(t *testing.T) {
	t.Parallel()
	h := latestHAProxy(t)
	b := startBox(t, h)
	for host, addr := range map[string]string{"a.abc.com/server1": "10.0.0.1:10000", "b.abc.com/server1": "10.0.0.3:12345", "b.abc.com/server2": "10.0.0.5:10000"} {
		b.register(t, host, addr)
	}
	b.must(t, "sync")
	b.register(t, "a.abc.com/server2", "10.0.0.2:10001")
	if h.can.CookieLive { // the pages show it with such a version
		sameOutput(t, "README.md", pageBlock(t, "README.md", "$ hapsync plan\n", ""), b.must(t, "plan").stdout)
	} else {
		t.Logf("HAProxy %s takes no cookie on a server that is added live: the plans of the pages are not compared", h)
	}

	b.register(t, "c.abc.com/server1", "10.0.0.4:10000")
	b.put(t, "b.abc.com/server2/port", "abc")
	b.put(t, "b.abc.com/server3/ip", "10.0.0.6")
	if h.can.CookieLive {
		plan := strings.ReplaceAll(b.must(t, "plan").stdout, b.prefix, "/services/web")
		sameOutput(t, "docs/concepts.md", pageBlock(t, "docs/concepts.md", "## Read a plan", "text"), plan)
	}
	says(t, b.must(t, "plan", "--diff").stdout, "+backend c.abc.com_cluster")
	for _, key := range []string{"b.abc.com/server2", "b.abc.com/server3", "c.abc.com"} {
		b.unregister(t, key)
	}
	b.must(t, "sync", "--allow-mass-removal")
	file := strings.NewReplacer("bind "+b.web, "bind :80", b.dir, "/etc/haproxy").Replace(read(t, b.managedFile))
	if got := pageBlock(t, "docs/concepts.md", "the managed file is:", "haproxy"); got != file {
		t.Errorf("docs/concepts.md shows\n%sbut the managed file is\n%s", got, file)
	}
}

func TestPagesShowWhatExplainSaysOfAHostThatIsDown(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		addr := freeAddr(t) // where nobody listens
		ip, port := splitAddr(t, addr)
		out, err := exec.CommandContext(t.Context(), lookPath(t, "etcdctl"), "--endpoints", world.etcd.endpoint(t), "-w", "json", "lease", "grant", "600").Output()
		if err != nil {
			t.Fatal(err)
		}
		var lease struct{ ID int64 }
		if err := json.Unmarshal(out, &lease); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("%x", lease.ID)
		b.etcdctl(t, "put", "--lease="+id, b.prefix+"/a.abc.com/server1/ip", ip)
		b.etcdctl(t, "put", "--lease="+id, b.prefix+"/a.abc.com/server1/port", port)
		b.must(t, "sync")
		var said outcome
		eventually(t, "HAProxy's check finds that nobody listens", func() error {
			if said = b.hapsync(t, "explain", "a.abc.com", "server1"); !strings.Contains(said.stdout, "L4CON") {
				return fmt.Errorf("%s", said)
			}
			return nil
		})
		if said.code != 7 {
			t.Error(said)
		}
		prints := strings.NewReplacer(b.prefix, "/services/web", "ECONNREFUSED returned by OS (Connection refused)", "Connection refused", // in the words of 3.4
			addr, "10.0.0.1:10000", ip, "10.0.0.1", "= "+port, "= 10000").Replace(said.stdout)
		sameOutput(t, "README.md", pageBlock(t, "README.md", "$ hapsync explain a.abc.com server1\n", ""), prints)
		sameOutput(t, "docs/troubleshooting.md", pageBlock(t, "docs/troubleshooting.md", "The first line has the answer:", "text"), prints)
	})
}
