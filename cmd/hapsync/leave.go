package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// hurriedTimeout is how long a removal may take after the second signal.
const hurriedTimeout = time.Second

// oneHangup is the time in which two SIGHUP count as one: when a terminal is closed, both the kernel and the shell send it.
const oneHangup = time.Second

// untilSignals calls run. A first SIGTERM, SIGINT or SIGHUP ends ctx: run drains the hosts and takes them out. A second one ends
// alive: run takes them out at once, and is no longer waited for after hurriedTimeout. A third one ends the process. SIGHUP, as
// when a terminal is closed, does not count under nohup.
func untilSignals(ctx context.Context, log *slog.Logger, run func(ctx, alive context.Context) error) error {
	alive, hurry := context.WithCancel(context.WithoutCancel(ctx))
	defer hurry()
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	counted := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		counted = append(counted, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, counted...)
	defer signal.Stop(signals)
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, alive) }()
	var first os.Signal
	select {
	case err := <-ended:
		return err
	case first = <-signals:
		leave()
	}
	for began, again := time.Now(), false; !again; {
		select {
		case err := <-ended:
			return err
		case s := <-signals:
			again = s != first || s != syscall.SIGHUP || time.Since(began) > oneHangup
		}
	}
	signal.Reset(counted...)
	log.Info("a second signal: what is registered is taken out at once, without a drain")
	hurry()
	timer := time.NewTimer(hurriedTimeout)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
		log.Warn("etcd has not answered in time: what is registered leaves when its lease runs out", "time", hurriedTimeout.String())
		return nil
	}
}
