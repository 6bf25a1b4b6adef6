package driver

import (
	"os"
	"slices"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// looks returns what a look finds; meanwhile runs between its start and its reading.
func (r remembering) looks(t *testing.T, meanwhile func()) haproxy.Look {
	t.Helper()
	look, err := r.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	meanwhile()
	seen, err := look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func TestALookFindsTheDomainsThatHaveChanged(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		r := startRemembering(t, bin)
		if err := r.Run(t.Context(), []haproxy.Change{r.moveTo(t, 3)}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			typed string
			want  []string
		}{
			{"show info", nil},
			{"set server " + haproxytest.BackendB + "/server1 weight 7", []string{"b.abc.com"}},
			{"set maxconn server " + haproxytest.BackendB + "/server1 7", []string{"b.abc.com"}}, // only "show stat" shows it
			{"disable server " + haproxytest.BackendA + "/server1", []string{"a.abc.com"}},
		} {
			seen := r.looks(t, func() { r.Must(t, c.typed) })
			if !slices.Equal(seen.Changed, c.want) || seen.More {
				t.Errorf("%s: %q has changed, more: %t", c.typed, seen.Changed, seen.More)
			}
			if len(c.want) == 0 {
				continue
			}
			r.Forget(c.want...)
			if _, ok := r.Recall(c.want...); ok {
				t.Errorf("%s: what has changed is recalled", c.typed)
			}
			r.reads(t, c.want...)
			r.agree(t, c.want...)
		}
		if seen := r.looks(t, func() {}); len(seen.Changed) > 0 {
			t.Errorf("%q has changed once more", seen.Changed)
		}
	})
}

func TestALookFindsWhatAStateOfEverythingShowsToo(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		r := startRemembering(t, bin)
		st := r.reads(t)
		seen := r.looks(t, func() {})
		if seen.Identity != st.Identity() || !seen.Surroundings.Equal(st.Surroundings()) || seen.OldWorkers != st.OldWorkers {
			t.Errorf("have %+v, the State %+v", seen, st.Surroundings())
		}
		seen = r.looks(t, func() {
			text, err := os.ReadFile(r.ManagedFile)
			if err == nil {
				err = os.WriteFile(r.ManagedFile, append(text, "# mine\n"...), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		if seen.Identity == st.Identity() {
			t.Error("an edit of the file is not found")
		}
	})
}
