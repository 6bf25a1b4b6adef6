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

// States for systemd.
const (
	Ready         = daemon.SdNotifyReady
	stateStopping = daemon.SdNotifyStopping
)

// stateReloading has the time that Type=notify-reload requires.
func stateReloading() string { return daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec() }

// Notify sends a state to systemd. It does nothing if systemd did not start this process.
func Notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Debug("tell systemd", "state", state, "error", err)
	}
}

// notifySystemd sends the agent's status to systemd when it changes, and feeds the watchdog as long as the pass loop works,
// until end is called.
func (s *Daemon) notifySystemd() (end func()) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		s.notifyLoop(done)
	}()
	return func() {
		close(done)
		<-ended
	}
}

func (s *Daemon) notifyLoop(done <-chan struct{}) {
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

// FeedWatchdog feeds systemd's watchdog unless the pass loop is stuck. Then systemd ends the process.
func (s *Daemon) FeedWatchdog() {
	if s.alive() == nil {
		Notify(s.agent.Load().Log, daemon.SdNotifyWatchdog)
	}
}

// summary is the agent's status in one line.
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
