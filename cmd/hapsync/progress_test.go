package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/etcd"
)

// A slowSource answers when the test lets it.
type slowSource struct {
	benchSource
	answer <-chan struct{}
}

func (s slowSource) Snapshot(ctx context.Context) (registry.Snapshot, error) {
	<-s.answer
	return s.benchSource.Snapshot(ctx)
}

// A slowTarget writes and reloads when the test lets it.
type slowTarget struct {
	benchTarget
	written, reloaded <-chan struct{}
}

func (s slowTarget) Write(ctx context.Context, e haproxy.Edit) error {
	<-s.written
	return s.benchTarget.Write(ctx, e)
}

func (s slowTarget) Reload(ctx context.Context) error {
	<-s.reloaded
	return s.benchTarget.Reload(ctx)
}

// slowSync starts a sync. The test decides when etcd, haproxy -c and the reload answer.
func slowSync(t *testing.T, stderr *os.File) (etcdAnswers, written, reloaded chan struct{}, code chan int) {
	t.Helper()
	b := oneHost()
	etcdAnswers, written, reloaded, code = make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan int, 1)
	p := b.program(new(bytes.Buffer), nil)
	p.stderr = stderr
	p.dial = func(etcd.Config) (source, error) { return slowSource{benchSource{b}, etcdAnswers}, nil }
	p.open = func(haproxy.Settings) (target, error) { return slowTarget{benchTarget{b}, written, reloaded}, nil }
	go func() {
		code <- p.run(t.Context(), []string{"hapsync", "sync", "--endpoints", "http://10.0.0.11:2379"})
	}()
	return etcdAnswers, written, reloaded, code
}

// shows waits until a terminal has shown something.
func shows(t *testing.T, shown *log, words string) {
	t.Helper()
	eventually(t, "the terminal shows "+words, func() error {
		if !strings.Contains(shown.String(), words) {
			return fmt.Errorf("%q", shown.String())
		}
		return nil
	})
}

func TestATerminalIsToldWhatIsWaitedFor(t *testing.T) {
	terminal, shown := openTerminal(t)
	etcdAnswers, written, reloaded, code := slowSync(t, terminal)
	shows(t, shown, "waiting for etcd at http://10.0.0.11:2379, 1 s")
	shows(t, shown, "waiting for etcd at http://10.0.0.11:2379, 2 s")
	close(etcdAnswers)
	shows(t, shown, "[##------] step 2 of 4: waiting for haproxy -c, ")
	close(written)
	shows(t, shown, "[####----] step 3 of 4: waiting for HAProxy to reload, ")
	if shown.String() == "" || strings.HasSuffix(shown.String(), "\x1b[K") {
		t.Errorf("nothing is shown: %q", shown.String())
	}
	close(reloaded)
	if got := <-code; got != exitOK {
		t.Errorf("code %d", got)
	}
	eventually(t, "the line is taken away", func() error {
		if text := shown.String(); !strings.HasSuffix(text, "\r\x1b[K") || strings.Contains(text, "\n") {
			return fmt.Errorf("%q", text)
		}
		return nil
	})
}

func TestWithoutATerminalNothingIsSaidOfWaits(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	terminal, _ := openTerminal(t)
	for _, tt := range []struct {
		stderr io.Writer
		term   string
		told   bool
	}{{terminal, "xterm", true}, {terminal, "", true}, {terminal, "dumb", false}, {file, "xterm", false}, {new(bytes.Buffer), "xterm", false}} {
		b := oneHost()
		b.env = map[string]string{"TERM": tt.term}
		p := b.program(nil, nil)
		p.stderr = tt.stderr
		if told := p.newProgress() != nil; told != tt.told {
			t.Errorf("%T with TERM=%q: told %t", tt.stderr, tt.term, told)
		}
	}
}

func TestALogTakesThePlaceOfWhatIsShown(t *testing.T) {
	terminal, shown := openTerminal(t)
	b := new(bench)
	p := b.program(nil, nil)
	p.stderr = terminal
	w := p.newProgress()
	end := w.on("etcd at %s", strings.Repeat("x", 100))
	shows(t, shown, "waiting for etcd at "+strings.Repeat("x", 39)) // 59 of 60 columns
	if _, err := w.Write([]byte("level=WARN\n")); err != nil {
		t.Fatal(err)
	}
	shows(t, shown, "x\r\x1b[Klevel=WARN\r\nwaiting for etcd")
	end()
	if strings.Contains(shown.String(), strings.Repeat("x", 40)) {
		t.Errorf("the line is longer than the terminal is wide: %q", shown.String())
	}
	var none *progress
	none.on("etcd")()
}
