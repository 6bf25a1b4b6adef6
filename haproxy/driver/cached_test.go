package driver

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// A remembering is a HAProxy, and an Instance whose cache has all of it.
type remembering struct {
	*haproxytest.Proc
	*Instance
}

func startRemembering(t *testing.T, bin string) remembering {
	t.Helper()
	p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, "127.0.0.1:1", "127.0.0.1:2"))
	h, err := Open(haproxy.Settings{BaseFile: p.BaseFile, ManagedFile: p.ManagedFile, Binary: bin, Background: true})
	if err != nil {
		t.Fatal(err)
	}
	r := remembering{p, h}
	r.reads(t)
	return r
}

// reads reads some domains; without names, all.
func (r remembering) reads(t *testing.T, domains ...string) haproxy.State {
	t.Helper()
	st, err := r.State(t.Context(), domains...)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// agree fails the test if the cache differs from a new reading.
func (r remembering) agree(t *testing.T, domains ...string) {
	t.Helper()
	recalled, ok := r.Recall(domains...)
	if !ok {
		t.Fatal("nothing is recalled")
	}
	addrs := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
	if diff := cmp.Diff(r.reads(t, domains...), recalled, addrs, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("recalled (-read +recalled):\n%s", diff)
	}
}

// moveTo changes the port of server1 of b.abc.com, based on the cached state.
func (r remembering) moveTo(t *testing.T, port uint16) haproxy.Change {
	t.Helper()
	st, ok := r.Recall("b.abc.com")
	if !ok {
		t.Fatal("nothing is recalled")
	}
	have := st.Live.Backends[0].Servers[0]
	want := have
	want.Addr = netip.AddrPortFrom(have.Addr.Addr(), port)
	return haproxy.SetServer{Backend: haproxytest.BackendB, Have: have, Want: want}
}

func TestWhatIsRecalledIsWhatWasRead(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		r := startRemembering(t, bin)
		r.agree(t, "a.abc.com", "b.abc.com")
		if err := r.Run(t.Context(), []haproxy.Change{r.moveTo(t, 3)}); err != nil {
			t.Fatal(err)
		}
		st, ok := r.Recall("b.abc.com")
		if !ok || st.Live.Backends[0].Servers[0].Addr.Port() != 3 {
			t.Fatalf("what Run made is not recalled: %+v", st.Live)
		}
		limited := r.moveTo(t, 4).(haproxy.SetServer)
		limited.Want.MaxConn = 9 // "show servers state" does not show it
		if err := r.Run(t.Context(), []haproxy.Change{limited}); err != nil {
			t.Fatal(err)
		}
		r.agree(t, "b.abc.com")
		r.agree(t, "a.abc.com")
	})
}

func TestRunReadsNothingThatWasRecalled(t *testing.T) {
	t.Parallel()
	r := startRemembering(t, haproxytest.FirstHAProxy(t))
	for port := range uint16(2) {
		move := []haproxy.Change{r.moveTo(t, 3+port)}
		if _, ok := r.cache.View(move); !ok {
			t.Fatal("what was recalled is to be read again")
		}
		if err := r.Run(t.Context(), move); err != nil {
			t.Fatal(err)
		}
		if _, ok := r.cache.View(move); ok {
			t.Error("what was recalled before a run counts after it")
		}
	}
}

func TestRunMendsWhatWasRecalledWrongly(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		r := startRemembering(t, bin)
		r.Must(t, "set server "+haproxytest.BackendB+"/server1 weight 7")
		move := r.moveTo(t, 3).(haproxy.SetServer)
		if err := r.Run(t.Context(), []haproxy.Change{move}); err != nil {
			t.Fatal(err)
		}
		r.agree(t, "b.abc.com")
		if st, _ := r.Recall("b.abc.com"); st.Live.Backends[0].Servers[0] != move.Want {
			t.Errorf("got %+v, want %+v", st.Live.Backends[0].Servers[0], move.Want)
		}
	})
}

func TestAServerThatIsAddedLiveIsRecalledWithItsCookie(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		r := startRemembering(t, bin)
		st, ok := r.Recall("b.abc.com")
		if !ok {
			t.Fatal("nothing is recalled")
		}
		s := haproxy.Server{Name: "server2", Addr: netip.MustParseAddrPort("127.0.0.1:4"), Weight: 1, State: haproxy.Ready}
		if st.Capabilities.CookieLive {
			s.Cookie = "server2"
		}
		if err := r.Run(t.Context(), []haproxy.Change{haproxy.AddServer{Backend: haproxytest.BackendB, Server: s}}); err != nil {
			t.Fatal(err)
		}
		r.agree(t, "b.abc.com")
		if st, _ = r.Recall("b.abc.com"); len(st.Live.Backends) != 1 || len(st.Live.Backends[0].Servers) != 2 || st.Live.Backends[0].Servers[1] != s {
			t.Errorf("recalled %+v, want %+v too", st.Live, s)
		}
	})
}

func TestNothingIsRecalledThatMayBeWrong(t *testing.T) {
	t.Parallel()
	bin := haproxytest.FirstHAProxy(t)
	for name, f := range map[string]func(t *testing.T, r remembering) (domains []string){
		"a domain that was not read": func(*testing.T, remembering) []string { return []string{"a.abc.com", "c.abc.com"} },
		"no domain":                  func(*testing.T, remembering) []string { return nil },
		"an edited managed file": func(t *testing.T, r remembering) []string {
			r.edit(t, r.ManagedFile)
			return []string{"a.abc.com"}
		},
		"an edited base file": func(t *testing.T, r remembering) []string {
			r.edit(t, r.BaseFile)
			return []string{"a.abc.com"}
		},
		"a managed file that is gone": func(t *testing.T, r remembering) []string {
			if err := os.Remove(r.ManagedFile); err != nil {
				t.Fatal(err)
			}
			return []string{"a.abc.com"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startRemembering(t, bin)
			domains := f(t, r)
			if st, ok := r.Recall(domains...); ok {
				t.Errorf("recalled %+v", st)
			}
		})
	}
	t.Run("without Background", func(t *testing.T) {
		t.Parallel()
		r := startRemembering(t, bin)
		h, err := Open(haproxy.Settings{BaseFile: r.BaseFile, ManagedFile: r.ManagedFile, Binary: bin})
		if err != nil {
			t.Fatal(err)
		}
		r = remembering{r.Proc, h}
		r.reads(t)
		if _, ok := h.Recall("a.abc.com"); ok {
			t.Error("recalled")
		}
	})
}

// edit adds an operator's line to a file.
func (r remembering) edit(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.TrimRight(string(text), "\n")+"\n    # edited\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestTheCopyOfAnotherWorkerIsReadAgainOnlyIfItIsAnotherFile starts HAProxy without hapsync, so that the worker has no copy. Then it
// changes the copy of the worker before, but not its inode, size and mtime.
func TestTheCopyOfAnotherWorkerIsReadAgainOnlyIfItIsAnotherFile(t *testing.T) {
	t.Parallel()
	r := startRemembering(t, haproxytest.FirstHAProxy(t))
	f, err := r.files.Read()
	if err != nil {
		t.Fatal(err)
	}
	client, err := r.runtime(f.Base)
	if err != nil {
		t.Fatal(err)
	}
	w, err := client.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Minute)
	write := func(started, at time.Time) {
		r.Write(t, r.files.LoadedFile(), loadedHeader(runtimeapi.Worker{Pid: w.Pid, Started: started}))
		if err := os.Chtimes(r.files.LoadedFile(), at, at); err != nil {
			t.Fatal(err)
		}
	}
	known := func() bool {
		if _, err := r.loaded(f, w); err != nil {
			t.Fatal(err)
		}
		return r.lastLoaded.Worker.Same(w)
	}
	write(w.Started.Add(-time.Hour), at)
	if known() {
		t.Fatal("the copy of another worker is taken for this one's")
	}
	write(w.Started, at)
	if known() {
		t.Error("the copy was read again, although it is the same file")
	}
	write(w.Started, at.Add(time.Second))
	if !known() {
		t.Error("another copy was not read")
	}
}
