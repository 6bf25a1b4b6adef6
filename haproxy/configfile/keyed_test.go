package configfile

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/hapsync/hapsync/haproxy"
)

// TestKeysThatComeAndGoLeaveAnOperatorsWords sets and deletes keys in any order. The operator's words are known at any moment, even between
// the writes of the two files.
func TestKeysThatComeAndGoLeaveAnOperatorsWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.Custom(func(t *rapid.T) haproxy.Given {
			return haproxy.Given{
				Weighted: true, Weight: rapid.IntRange(0, 3).Draw(t, "weight"), MaxConn: rapid.IntRange(0, 2).Draw(t, "maxconn"),
				Backup: rapid.Bool().Draw(t, "backup"), Disabled: rapid.Bool().Draw(t, "disabled"),
			}
		})
		const name, server = "a.abc.com_cluster", "server1"
		given, operators := draw.Draw(t, "given"), draw.Draw(t, "typed")
		line := serverAs(operators)
		known := keyed{}
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			file := haproxy.Backend{Name: name, Given: given, Servers: []haproxy.Server{line}}
			file.Typed = known.typed(file)
			if got := file.GivenTo(server); got != operators {
				t.Fatalf("%+v is known as the operator's, and not %+v, behind %+v, by\n%s", got, operators, line, known)
			}
			m := Managed{Config: haproxy.Config{Backends: []haproxy.Backend{file}}}
			wanted := operators
			if keys := draw.Draw(t, "keys"); rapid.Bool().Draw(t, "keyed") {
				wanted = keys
			}
			want := serverAs(wanted)
			next := m.keyedIn(haproxy.Config{Backends: []haproxy.Backend{{Name: name, Servers: []haproxy.Server{want}}}})
			interim := readKeyed(readKeyed(known.String()).with(next).String())
			for _, s := range []haproxy.Server{line, want} {
				file.Servers = []haproxy.Server{s}
				file.Typed = interim.typed(file)
				if got := file.GivenTo(server); got != operators {
					t.Fatalf("between the writes %+v is known as the operator's, and not %+v, by\n%s", got, operators, interim)
				}
			}
			line, known = want, readKeyed(next.String())
		}
	})
}

func serverAs(g haproxy.Given) haproxy.Server {
	s := haproxy.Server{Name: "server1", Weight: g.Weight, MaxConn: g.MaxConn, Backup: g.Backup, State: haproxy.Ready}
	if g.Disabled {
		s.State = haproxy.Maint
	}
	return s
}
