package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
)

// What systemd is told.
const (
	Ready         = daemon.SdNotifyReady
	stateStopping = daemon.SdNotifyStopping
)

// stateReloading has the time that Type=notify-reload asks for.
func stateReloading() string { return daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec() }

// Notify does nothing where systemd did not start this process.
func Notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Debug("tell systemd", "state", state, "error", err)
	}
}

// tellSystemd tells systemd how the agent is, where that changes, and feeds the watchdog as long as the pass loop works. It
// returns how to end that.
func (s *Daemon) tellSystemd() (end func()) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		s.keepTelling(done)
	}()
	return func() {
		close(done)
		<-ended
	}
}

func (s *Daemon) keepTelling(done <-chan struct{}) {
	look := time.NewTicker(2 * time.Second)
	defer look.Stop()
	var feed <-chan time.Time
	if interval, err := daemon.SdWatchdogEnabled(false); err != nil {
		s.agent.Load().Log.Warn("the watchdog is not fed", "error", err)
	} else if interval > 0 {
		ticker := time.NewTicker(interval / 2)
		defer ticker.Stop()
		feed = ticker.C
	}
	said := ""
	for {
		if state := "STATUS=" + s.summary(); state != said {
			said = state
			Notify(s.agent.Load().Log, state)
		}
		select {
		case <-done:
			return
		case <-look.C:
		case <-feed:
			s.FeedWatchdog()
		}
	}
}

// FeedWatchdog leaves it to systemd to end a process whose pass loop is stuck.
func (s *Daemon) FeedWatchdog() {
	if s.alive() == nil {
		Notify(s.agent.Load().Log, daemon.SdNotifyWatchdog)
	}
}

// summary is the agent's status in a line.
func (s *Daemon) summary() string {
	status := s.status()
	if status.Ready() && status.Shadow != nil {
		return readiness(status)
	}
	if status.Ready() {
		return fmt.Sprintf("ready, revision %d is applied", status.Applied)
	}
	return "not ready: " + strings.Join(render.OneLineEach(status.Reasons), "; ")
}
