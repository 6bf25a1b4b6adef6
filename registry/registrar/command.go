package registrar

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// refusedTimeout is how long a command has to end if its host cannot be registered. After that it is killed.
const refusedTimeout = 10 * time.Second

// RunWith is Run for the host of a command that was started. When ctx ends, the host leaves, and then the command gets a signal
// to end. If the command ends first, the host is taken out at once. SIGTERM and SIGINT, which must end ctx, are sent to the
// command after the host has left; other signals are sent at once. If the host cannot be registered, that is logged before the
// command gets the signal; it is killed if it takes longer than refusedTimeout. It returns a ChildError if the command fails.
func (r *Registrar) RunWith(ctx context.Context, child *Child) error {
	stop := new(atomic.Value)
	defer passSignals(child, stop)()
	alive, dead := context.WithCancel(context.WithoutCancel(ctx))
	defer dead()
	go func() {
		select {
		case <-child.exited:
			dead()
		case <-alive.Done():
		}
	}()
	err := r.Run(ctx, alive)
	s, _ := stop.Load().(os.Signal)
	if s == nil {
		s = syscall.SIGTERM
	}
	r.end(child, s, err)
	if err == nil {
		err = child.end()
	}
	return err
}

// end tells the command to end, and waits until it has. refused is why its host is not registered; nil if it was.
func (r *Registrar) end(child *Child, s os.Signal, refused error) {
	select {
	case <-child.exited:
		return
	default:
	}
	var late <-chan time.Time
	if refused == nil {
		r.log.Info("the command is told to end", "signal", s.String())
	} else {
		r.log.Error("the host is not registered: the command is told to end, and is killed if it has not ended in time",
			"error", refused, "signal", s.String(), "time", r.refusedTimeout.String())
		late = time.After(r.refusedTimeout)
	}
	child.signal(s)
	child.signal(syscall.SIGCONT) // it may have been stopped
	select {
	case <-child.exited:
	case <-late:
		r.log.Warn("the command has not ended in time: it is killed", "time", r.refusedTimeout.String())
		child.kill()
		<-child.exited
	}
}

// passSignals sends the command the signals that do not end hapsync, and stores the first SIGTERM or SIGINT in stop. A second
// one kills the command.
func passSignals(child *Child, stop *atomic.Value) (end func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range signals {
			switch {
			case s != syscall.SIGTERM && s != syscall.SIGINT:
				child.signal(s)
			case stop.CompareAndSwap(nil, s):
			default:
				child.kill()
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}
