package sync

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/hapsync/hapsync/registry"
)

// taken is a registry whose keys another tool wrote, with names that hapsync does not take, as Decode has it.
func taken(t *testing.T) registry.Snapshot {
	t.Helper()
	kvs := []registry.KeyValue{}
	for path, addr := range map[string]string{
		"a.abc.com/server1": "10.0.0.1", "my_app.abc.com/server1": "10.0.0.2", "c.abc.com/core-01:web:80": "10.0.0.3", "a.abc.com/core-01:web:80": "10.0.0.4",
	} {
		kvs = append(kvs, registry.KeyValue{Key: "/services/web/" + path + "/ip", Value: addr}, registry.KeyValue{Key: "/services/web/" + path + "/port", Value: "80"})
	}
	s := registry.Snapshot{Prefix: "/services/web", Revision: 900, Keys: len(kvs)}
	s.Domains, s.Problems, _ = registry.Decode(s.Prefix, kvs, registry.Addresses{})
	return s
}

func TestANameThatIsRefusedKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	was := revised(registry.Snapshot{}, 1,
		domain("a.abc.com", host("core-01:web:80", "10.0.0.4:80"), host("server1", "10.0.0.1:80")),
		domain("c.abc.com", host("core-01:web:80", "10.0.0.3:80")), domain("gone.abc.com", host("server1", "10.0.0.5:80")),
		domain("my_app.abc.com", host("server1", "10.0.0.2:80")))
	m := inLine(was, v32)
	kept := func(t *testing.T, m *fake) {
		t.Helper()
		for _, b := range was.Domains {
			file, written := backendOf(m.file, b.Name)
			if want := b.Name != "gone.abc.com"; written != want || want && len(file.Servers) != len(b.Hosts) {
				t.Errorf("the file has of %s: %v", b.Name, file.Servers)
			}
			live, _ := backendOf(m.live, b.Name)
			if want := b.Name != "gone.abc.com"; (len(live.Servers) > 0) != want || want && !slices.Equal(live.Servers, file.Servers) {
				t.Errorf("the process has of %s: %v", b.Name, live.Servers)
			}
		}
	}
	report, err := newSyncer(t, source{snapshot: taken(t)}, m, Policy{AllowMassRemoval: true}).Sync(t.Context())
	if err != nil || !report.LeftOut() {
		t.Fatalf("%v, %+v", err, report.Problems)
	}
	kept(t, m)
	inBubble(t, m, func(t *testing.T, i inn) {
		s := taken(t)
		i.registry.tell(s)
		synctest.Wait()
		s.Revision++
		i.registry.change(s, "a.abc.com", "c.abc.com")
		elapse(2 * fileDelay)
		kept(t, i.haproxy.now())
	})
}
