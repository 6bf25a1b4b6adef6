package registrar

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// RunWith is Run for the host of a command that was started: the host leaves when ctx ends, and then the command is told to end;
// if the command ends first, the host is taken out at once. SIGTERM or SIGINT, which are to end ctx, are passed on when the host
// is out, other signals at once. It returns a ChildError if the command fails.
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

// passSignals passes those signals on that do not end hapsync, and notes the one that does. A second one of these kills
// the command.
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
