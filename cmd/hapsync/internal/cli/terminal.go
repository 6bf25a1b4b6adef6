package cli

import (
	"bytes"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// A Terminal is the size of a terminal; 0 if unknown.
type Terminal struct{ Width, Height int }

// TerminalOf is the terminal that w writes to; ok is false if it is none.
func TerminalOf(w io.Writer) (t Terminal, ok bool) {
	file, ok := w.(*os.File)
	if !ok {
		return Terminal{}, false
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return Terminal{}, false
	}
	return Terminal{int(size.Col), int(size.Row)}, true
}

// Wrapped wraps lines of help at the width of the terminal. It returns w if w is no terminal.
func Wrapped(w io.Writer) io.Writer {
	t, ok := TerminalOf(w)
	if !ok || t.Width < narrowest {
		return w
	}
	return &wrapped{out: w, width: t.Width}
}

// narrowest is the smallest width at which wrapping helps.
const narrowest = 40

type wrapped struct {
	out     io.Writer
	width   int
	rest    []byte // an unfinished line
	example bool   // in the examples, which are not wrapped
}

func (w *wrapped) Write(text []byte) (int, error) {
	w.rest = append(w.rest, text...)
	for {
		line, rest, ended := bytes.Cut(w.rest, []byte("\n"))
		if !ended {
			return len(text), nil
		}
		broken := w.line(string(line))
		w.rest = rest
		if _, err := io.WriteString(w.out, broken+"\n"); err != nil {
			return 0, err
		}
	}
}

func (w *wrapped) line(line string) string {
	if strings.HasSuffix(line, ":") && !strings.HasPrefix(line, " ") {
		w.example = line == "EXAMPLE:"
	}
	if w.example {
		return line
	}
	return breakLine(line, w.width)
}

// breakLine wraps a line at spaces. The rest is aligned with the text after a flag or a command, or with the line's first word.
func breakLine(line string, width int) string {
	indent := len(line) - len(strings.TrimLeft(line, " "))
	if gap := strings.Index(line[indent:], "  "); gap >= 0 {
		behind := line[indent+gap:]
		if column := len(line) - len(strings.TrimLeft(behind, " ")); column < width/2 {
			indent = column
		} else {
			indent += 4
		}
	}
	var b strings.Builder
	for utf8.RuneCountInString(line) > width {
		at := strings.LastIndexByte(line[:width+1], ' ')
		if at <= indent {
			break
		}
		b.WriteString(strings.TrimRight(line[:at], " ") + "\n")
		line = strings.Repeat(" ", indent) + line[at+1:]
	}
	return b.String() + line
}
