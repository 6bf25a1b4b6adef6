package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestWhatIsTypedIntoTheMapIsHealed(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startByMap(t, h)
		b.put(t, "b.abc.com/aliases", "www.b.org")
		b.must(t, "sync")
		before := b.generation(t)
		type2 := func(commands ...string) {
			t.Helper()
			for _, c := range commands {
				command, rest, _ := strings.Cut(c, " map")
				if reply, err := b.runtime(command + " map " + b.mapFile() + rest); err != nil || strings.TrimSpace(reply) != "" {
					t.Fatalf("%s: %q, %v", c, reply, err)
				}
			}
		}
		for _, c := range []struct{ typed, says string }{
			{"del map a.abc.com", "+ map entry of a.abc.com in webin"},
			{"set map a.abc.com b.abc.com_cluster", "+ map entry of a.abc.com in webin"},
			{"add map x.org a.abc.com_cluster", "also x.org ->"},
			{"del map www.b.org", "also www.b.org"},
			{"add map old.org old.org_cluster", "- map entry of old.org in webin"},
			{"add map www.old.org old.org_cluster", "- map entry of old.org in webin"},
			{"clear map", "+ map entry of b.abc.com in webin"},
		} {
			type2(c.typed)
			said := b.step(t)
			says(t, said, "runtime", c.says)
			reloads(t, said, 0)
			b.mapped(t, "a.abc.com", "b.abc.com www.b.org")
			b.serves(t, "a.abc.com", "server1", b.a1)
		}
		type2("add map mine.org own") // is nobody's of ours
		b.inLine(t)
		b.notReloaded(t, before)

		a := b.startAgent(t, "--resync", "1s")
		a.ready(t)
		type2("del map b.abc.com")
		b.comes(t, "b.abc.com", "", b.b1)
		eventually(t, "the agent has counted it", func() error {
			if m, err := a.get("/metrics"); err != nil || !strings.Contains(m.body, "hapsync_drift_total 1") {
				return fmt.Errorf("%w", err)
			}
			return nil
		})
		b.notReloaded(t, before)
	})
}

func TestAMapFileThatIsNotAsItWasIsWrittenAgain(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startByMap(t, h)
		before := b.generation(t)
		const whole = "a.abc.com a.abc.com_cluster\nb.abc.com b.abc.com_cluster\n"
		for have, want := range map[string]string{
			"":                            whole,
			"a.abc.com a.abc.com_cluster": whole,
			whole + "old.org old.org_cluster\nwww.b.org b.abc.com_cluster\n":   whole,
			"a.abc.com b.abc.com_cluster\n":                                    whole,
			"# mine\n\nmine.org mine\n" + whole + "mine.com mine_b\n":          whole + "# mine\n\nmine.org mine\nmine.com mine_b\n",
			"\x00\xff bad\nno.value\na.abc.com a.abc.com_cluster and more\n\n": whole + "\x00\xff bad\nno.value\na.abc.com a.abc.com_cluster and more\n\n",
		} {
			b.write(t, b.mapFile(), have)
			said := b.step(t)
			says(t, said, "rewrite", "the map file beside it is missing, does not say what it does, ")
			if got := read(t, b.mapFile()); got != want {
				t.Errorf("of %q it made %q, want %q", have, got, want)
			}
		}
		if err := os.Remove(b.mapFile()); err != nil {
			t.Fatal(err)
		}
		b.step(t)
		b.mapped(t, "a.abc.com", "b.abc.com")
		b.notReloaded(t, before)
	})
}
