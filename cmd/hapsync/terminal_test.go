package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/hapsync/hapsync/registry"
)

// openTerminal returns a terminal of 60 columns and 24 lines, and what is shown on it.
func openTerminal(t *testing.T) (terminal *os.File, shown *log) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(screen.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 60}); err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	shown = new(log)
	read := make(chan struct{})
	go func() {
		defer close(read)
		text := make([]byte, 4096)
		for {
			n, err := screen.Read(text)
			_, _ = shown.Write(text[:n])
			if err != nil {
				return // the other end is closed
			}
		}
	}()
	t.Cleanup(func() {
		_ = terminal.Close()
		<-read
		_ = screen.Close()
	})
	return terminal, shown
}

func TestHelpIsAsWideAsTheTerminal(t *testing.T) {
	for _, args := range [][]string{{"help", "flags"}, {"drain", "--help"}, {"--help"}} {
		terminal, shown := openTerminal(t)
		p := new(bench).program(nil, nil)
		p.stdout = terminal
		if code := p.run(t.Context(), append([]string{"hapsync"}, args...)); code != exitOK {
			t.Errorf("%q: code %d", args, code)
		}
		_, example, _ := strings.Cut(new(bench).run(t, args...).stdout, "EXAMPLE:\n")
		example, _, _ = strings.Cut(example, "\n\n")
		shows(t, shown, "EXAMPLE:\r\n"+strings.ReplaceAll(example, "\n", "\r\n"))
		help, _, _ := strings.Cut(shown.String(), "EXAMPLE:\r\n")
		for line := range strings.SplitSeq(help, "\r\n") {
			if utf8.RuneCountInString(line) > 60 && strings.Contains(strings.TrimLeft(line, " "), " ") {
				t.Errorf("%q: a line is longer than the terminal is wide: %q", args, line)
			}
		}
	}
	plain := new(bench).run(t, "help", "flags").stdout
	wantContains(t, "help without a terminal", plain, "read, never written (default: /etc/haproxy/haproxy.cfg) [$HAPSYNC_BASE_FILE]\n")
}

func TestColorsAreForTerminals(t *testing.T) {
	for _, tt := range []struct {
		name     string
		args     string
		noColor  string
		terminal bool
		colors   bool
	}{
		{"a terminal", "plan", "", true, true},
		{"no terminal", "plan", "", false, false},
		{"NO_COLOR", "plan", "1", true, false},
		{"asked for", "plan --color always", "1", false, true},
		{"asked not to", "plan --color never", "", true, false},
		{"JSON", "plan --color always -o json", "", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := oneHost()
			b.snapshot.Problems = []registry.Problem{{Key: "/services/web/x", Reason: "bad"}}
			b.env = map[string]string{"NO_COLOR": tt.noColor}
			var stdout, stderr bytes.Buffer
			p, text := b.program(&stdout, &stderr), stdout.String
			if tt.terminal {
				terminal, shown := openTerminal(t)
				p.stdout, text = terminal, shown.String
			}
			p.run(t.Context(), append([]string{"hapsync"}, strings.Fields(tt.args)...))
			eventually(t, "the plan is shown", func() error {
				if !strings.Contains(text(), "812") {
					return fmt.Errorf("%q", text())
				}
				return nil
			})
			step := "transaction  + backend a.abc.com_cluster balance roundrobin"
			if got := strings.Contains(text(), "\x1b[32m"+step+"\x1b[0m"); got != tt.colors || strings.Contains(text(), "\x1b") != tt.colors {
				t.Errorf("colors: %t\n%q", got, text())
			}
			if tt.colors && !strings.Contains(text(), "\x1b[31mproblem ") {
				t.Errorf("a problem has no color: %q", text())
			}
		})
	}
}

func TestStatusIsRedrawnInPlace(t *testing.T) {
	b := oneHost()
	b.snapshot.Problems = []registry.Problem{{Key: "/services/web/x", Reason: strings.Repeat("bad ", 40)}}
	listen := freeAddr(t)
	a := startAgent(t, b.program(nil, nil), listen)
	a.answers(t, "/readyz", 200)
	terminal, shown := openTerminal(t)
	p := new(bench).program(nil, new(bytes.Buffer))
	p.stdout = terminal
	ctx, interrupt := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- p.run(ctx, []string{"hapsync", "status", "--watch", "--listen", listen}) }()
	sees := func(words string) {
		eventually(t, "the terminal shows "+words, func() error {
			if !strings.Contains(shown.String(), words) {
				return fmt.Errorf("%q", shown.String())
			}
			return nil
		})
	}
	sees("\x1b[Hagent        ready: hapsync ")
	a.ends()
	sees("\x1b[Hagent        no agent answers on ")
	interrupt()
	if got := <-code; got != exitOK {
		t.Errorf("code %d", got)
	}
	for line := range strings.SplitSeq(shown.String(), "\r\n") {
		text := strings.NewReplacer("\x1b[H", "", "\x1b[J", "", "\x1b[K", "", "\x1b[31m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(line)
		if n := utf8.RuneCountInString(text); n > 60 {
			t.Errorf("%d columns: %q", n, text)
		}
	}
	if got := new(bench).run(t, "status", "--watch", "-o", "json", "--listen", listen); got.code != exitUsage {
		t.Errorf("as JSON: code %d", got.code)
	}
}
