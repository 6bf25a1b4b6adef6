package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// A printer prints the tour.
type printer struct {
	w             io.Writer
	bold, ok, off string // escape sequences; empty for plain output
	step          int
}

// newPrinter returns a printer. It uses colors if f is a terminal that supports them.
func newPrinter(f *os.File) *printer {
	p := &printer{w: f}
	info, err := f.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	if terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
		p.bold, p.ok, p.off = "\x1b[1m", "\x1b[32m", "\x1b[0m"
	}
	return p
}

// heading begins a step.
func (p *printer) heading(title string) {
	p.step++
	fmt.Fprintf(p.w, "\n%s%d. %s%s\n\n", p.bold, p.step, title, p.off)
}

func (p *printer) text(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// command prints a command line that the reader could type.
func (p *printer) command(line string) { fmt.Fprintf(p.w, "  %s$ %s%s\n", p.bold, line, p.off) }

// output prints a command's output.
func (p *printer) output(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintln(p.w, strings.TrimRight("  "+line, " \n"))
	}
}

// checked prints the result of a check that passed.
func (p *printer) checked(format string, args ...any) {
	fmt.Fprintf(p.w, "  %sok%s: %s\n", p.ok, p.off, fmt.Sprintf(format, args...))
}

// quoted quotes the words for a shell.
func quoted(words []string) []string {
	var out []string
	for _, w := range words {
		out = append(out, quote(w))
	}
	return out
}

func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@,+", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
