package e2e

import (
	"os/exec"
	"testing"
	"time"
)

// TestHAProxyThatIsKilledInAStormIsBroughtInLine kills master and worker at random moments, in the midst of commands,
// commits and reloads, and starts them again as a supervisor does.
func TestHAProxyThatIsKilledInAStormIsBroughtInLine(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		s := startStorm(t, b)
		a := b.startAgent(t, stormy()...)
		b.comes(t, "stable0.abc.com", anchor, s.domains["stable0.abc.com"][anchor].host)
		for range stormKills(t) {
			for range 5 {
				s.change()
				s.pause()
			}
			for range s.random.IntN(10) { // the last changes before the end are under way
				s.change()
			}
			<-time.After(time.Duration(s.random.Int64N(int64(300 * time.Millisecond))))
			b.master.end(t) // by SIGKILL
			check := exec.CommandContext(t.Context(), h.path, "-c", "-f", b.baseFile, "-f", b.managedFile)
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("haproxy -c refuses the file: %v\n%s", err, out)
			}
			s.change()
			b.start(t)
		}
		s.passes()
		a.ready(t)
	})
}
