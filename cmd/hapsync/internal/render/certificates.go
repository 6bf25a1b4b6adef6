package render

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// Certificates is what hapsync certs shows. While the version stays, fields are only added.
type Certificates struct {
	Version      int                   `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
	Directory    string                `json:"directory" doc:"the directory of the files"`
	Certificates []haproxy.Certificate `json:"certificates" doc:"the files, by name"`
	Loaded       []string              `json:"loaded" doc:"the files that were put into HAProxy right now"`
}

// Bad counts the files that cannot be used.
func (p Certificates) Bad() (n int) {
	for _, c := range p.Certificates {
		if c.Problem != "" {
			n++
		}
	}
	return n
}

// WriteJSON implements Page.
func (p Certificates) WriteJSON(w io.Writer) error {
	p.Certificates = orEmpty(p.Certificates)
	return JSON(w, p)
}

// WriteText writes a line for each file, then the warnings.
func (p Certificates) WriteText(w io.Writer) error {
	const maxNames = 4 // on a line
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	if len(p.Certificates) > 0 {
		fmt.Fprintln(table, "FILE\tHAPROXY\tEXPIRES\tNAMES")
	}
	now := time.Now()
	for _, c := range p.Certificates {
		names, expires := c.Names, "-"
		if len(names) > maxNames {
			names = append(names[:maxNames:maxNames], fmt.Sprintf("and %d more", len(names)-maxNames))
		}
		if !c.NotAfter.IsZero() {
			expires = fmt.Sprintf("%s (%d days)", c.NotAfter.Format(time.DateOnly), int(c.NotAfter.Sub(now).Hours()/24))
		}
		fmt.Fprintln(table, strings.Join([]string{c.File, string(c.State), expires, Dash(strings.Join(names, " "))}, "\t"))
	}
	_ = table.Flush() // into the buffer
	for _, line := range haproxy.Warnings(p.Certificates, now) {
		fmt.Fprintf(&out, "warning  %s\n", line)
	}
	for _, file := range p.Loaded {
		fmt.Fprintf(&out, "loaded   %s is in HAProxy now\n", file)
	}
	fmt.Fprintf(&out, "%d in %s\n", len(p.Certificates), p.Directory)
	_, err := out.WriteTo(w)
	return err
}
