package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// metric reads one of the agent's metrics, by its name and labels as they are printed, or the sum of all with the name.
func (a *agent) metric(name string) (sum float64, err error) {
	got, err := a.get("/metrics")
	if err != nil {
		return 0, err
	}
	found := false
	for line := range strings.Lines(got.body) {
		series, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if series != name && !strings.HasPrefix(series, name+"{") {
			continue
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, err
		}
		found, sum = true, sum+value
	}
	if !found {
		err = fmt.Errorf("there is no %s in %s", name, got)
	}
	return sum, err
}

// measures waits until metrics have values: "hapsync_ready 1".
func (a *agent) measures(t testing.TB, wants ...string) {
	t.Helper()
	for _, want := range wants {
		name, value, _ := strings.Cut(want, " ")
		eventually(t, "the metric "+want, func() error {
			if got, err := a.metric(name); err != nil || strconv.FormatFloat(got, 'f', -1, 64) != value {
				return fmt.Errorf("got %v, %w", got, err)
			}
			return nil
		})
	}
}

// A jsonStatus is what the tests look at in /status.
type jsonStatus struct {
	Ready    bool     `json:"ready"`
	Reasons  []string `json:"reasons"`
	Registry struct {
		Up       bool  `json:"up"`
		Revision int64 `json:"revision"`
	} `json:"registry"`
	HAProxy struct {
		Up bool `json:"up"`
	} `json:"haproxy"`
	Applied struct {
		Revision int64 `json:"revision"`
	} `json:"applied"`
}

// tells waits until `hapsync status` ends with the code and has a line with the words, and /status says the same.
func (b *box) tells(t testing.TB, a *agent, code int, words ...string) jsonStatus {
	t.Helper()
	var status jsonStatus
	eventually(t, fmt.Sprintf("status ends with %d and says %q", code, words), func() error {
		if o := b.hapsync(t, "status", "--listen", a.listen); o.code != code || !hasLine(o.stdout, words) {
			return fmt.Errorf("got %s", o)
		}
		got, err := a.get("/status")
		if err != nil {
			return err
		}
		status = jsonStatus{}
		if err := json.Unmarshal([]byte(got.body), &status); err != nil || status.Ready != (code == 0) || status.Ready != (len(status.Reasons) == 0) {
			return fmt.Errorf("got %s, %w", got, err)
		}
		return nil
	})
	return status
}

// revision is the one at which the key was last written.
func (b *box) revision(t testing.TB, key string) int64 {
	t.Helper()
	got, err := world.etcd.client.Get(t.Context(), b.prefix+"/"+key)
	if err != nil || len(got.Kvs) != 1 {
		t.Fatalf("get %s: %v, %v", key, got, err)
	}
	return got.Kvs[0].ModRevision
}

func TestAgentTellsWhatItDoesAndWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := startABC(t, latestHAProxy(t))
	w := startWire(t, strings.TrimPrefix(world.etcd.endpoint(t), "http://"))
	a := b.startAgent(t, "--endpoints", "http://"+w.at)
	a.ready(t)
	b.tells(t, a, 0, "agent", "ready")
	a.measures(t, "hapsync_ready 1", "hapsync_registry_up 1", "hapsync_haproxy_up 1", "hapsync_domains 2", "hapsync_hosts 3",
		"hapsync_reloads_total 0", "hapsync_held 0", "hapsync_failed 0")

	c := startHost(t, "c.abc.com")
	before := b.generation(t)
	b.txn(t, addrOf(t, "c.abc.com/server1", c.addr))
	b.comes(t, "c.abc.com", "", c)
	a.measures(t, "hapsync_domains 3", "hapsync_hosts 4", "hapsync_reloads_total 1", "hapsync_ready 1", `hapsync_apply_seconds_count{way="reload"} 1`)
	b.reloadedOnce(t, before)
	status := b.tells(t, a, 0, "registry", "3 domains, 4 hosts")
	if put := b.revision(t, "c.abc.com/server1/ip"); status.Registry.Revision < put || status.Applied.Revision < put {
		t.Errorf("the keys were put at revision %d, and the status says %+v", put, status)
	}

	b.master.end(t)
	a.unready(t, "haproxy", b.runtimeSocket)
	b.tells(t, a, 4, "reason", "haproxy", b.runtimeSocket)
	a.measures(t, "hapsync_ready 0", "hapsync_registry_up 1", "hapsync_haproxy_up 0")
	b.start(t)
	b.tells(t, a, 0, "haproxy", "answers")
	a.measures(t, "hapsync_ready 1", "hapsync_haproxy_up 1")

	w.cut()
	a.unready(t, "registry", w.at)
	b.tells(t, a, 3, "reason", "registry", w.at)
	a.measures(t, "hapsync_ready 0", "hapsync_registry_up 0", "hapsync_haproxy_up 1", "hapsync_hosts 4")
	w.mend()
	b.tells(t, a, 0, "registry", "followed")
	a.measures(t, "hapsync_ready 1", "hapsync_registry_up 1")

	b.txn(t, nil, "")
	a.unready(t, "held", "no key below the prefix")
	b.tells(t, a, 5, "held", "no key below the prefix")
	a.measures(t, "hapsync_ready 0", "hapsync_held 1", "hapsync_registry_up 1")
	if held, err := a.metric(`hapsync_passes_total{result="held"}`); err != nil || held < 1 {
		t.Errorf("held passes: %v, %v", held, err)
	}

	a.kill(t)
	says(t, b.exits(t, 5, "status", "--listen", a.listen).stdout, "agent", "no agent answers", a.listen)
}

func TestAgentAnswersOnAUnixSocket(t *testing.T) {
	t.Parallel()
	b := startABC(t, latestHAProxy(t))
	path := b.dir + "/agent.sock"
	a := b.startAgentAt(t, "unix:"+path)
	a.ready(t)
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	b.tells(t, a, 0, "registry", "2 domains, 3 hosts")
	a.measures(t, "hapsync_hosts 3")
	if got, err := a.get("/healthz"); err != nil || got.status != http.StatusOK {
		t.Errorf("/healthz: %s, %v", got, err)
	}

	a.kill(t) // the socket is left
	says(t, b.exits(t, 1, "status", "--listen", a.listen).stdout, "agent", "no agent answers", path)
	a = b.startAgentAt(t, "unix:"+path)
	a.ready(t)
	b.unregister(t, "a.abc.com/server2")
	a.measures(t, "hapsync_hosts 2")
	b.tells(t, a, 0, "registry", "2 domains, 2 hosts")
	a.terminate(t)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}
