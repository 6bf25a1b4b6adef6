package cli

import (
	"io"
	"os"

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
