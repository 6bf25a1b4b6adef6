package registrar

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// RunWith is Run for the host of a command that was started. When ctx ends, the host leaves, and then the command gets a signal
// to end. If the command ends first, the host is taken out at once. SIGTERM and SIGINT, which must end ctx, are sent to the
// command after the host has left; other signals are sent at once. It returns a ChildError if the command fails.
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
	err := r.run(ctx, alive)
	select {
	case <-child.exited:
	default:
		s, _ := stop.Load().(os.Signal)
		if s == nil {
			s = syscall.SIGTERM
		}
		r.log.Info("the command is told to end", "signal", s.String())
		child.signal(s)
		child.signal(syscall.SIGCONT) // it may have been stopped
	}
	<-child.exited
	if err == nil {
		err = child.end()
	}
	return err
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
