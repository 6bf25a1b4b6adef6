package main

import (
	"bytes"
	"io"
	"time"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/cli"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
)

// redraw is how often status --watch asks the agent.
const redraw = time.Second

// watch shows the agent's status until it is interrupted: on a terminal in place, else one below the other.
func (p program) watch(c *cli.Context, agent inquiry) error {
	if c.String("output") == "json" {
		return cli.Usagef(c, "--watch is for people: leave out -o json")
	}
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		var text bytes.Buffer
		status, err := agent.status(c.Context)
		if err == nil {
			err = status.WriteText(&text)
		}
		if c.Err() != nil {
			return nil //nolint:nilerr // an interrupt is the normal end
		}
		if err != nil {
			text.WriteString("agent        " + err.Error() + "\n")
		}
		page := text.String() + "\n"
		terminal, inPlace := cli.TerminalOf(p.stdout)
		if inPlace {
			page = render.Cut(text.String(), terminal.Width, terminal.Height)
		}
		if p.colored(c) {
			page = render.Colored(page)
		}
		if inPlace {
			page = render.Redrawn(page)
		}
		if _, err := io.WriteString(p.stdout, page); err != nil {
			return err
		}
		select {
		case <-c.Done():
			return nil
		case <-tick.C:
		}
	}
}

// write writes a page in the format of --output, with colors if they are wanted.
func (p program) write(c *cli.Context, page render.Page) error {
	if format := c.String("output"); format == "json" || !p.colored(c) {
		return render.Write(p.stdout, format, page)
	}
	var text bytes.Buffer
	if err := page.WriteText(&text); err != nil {
		return err
	}
	_, err := io.WriteString(p.stdout, render.Colored(text.String()))
	return err
}

// colored reports whether output for people has colors.
func (p program) colored(c *cli.Context) bool {
	switch c.String("color") {
	case "always":
		return true
	case "never":
		return false
	}
	_, terminal := cli.TerminalOf(p.stdout)
	return terminal && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb"
}
