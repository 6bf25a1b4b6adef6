package render

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// A History is what hapsync history shows: entries of the journal, newest first.
type History struct {
	Entries []sync.Entry
	// Whole shows all changes of each entry, not one line.
	Whole bool
}

type historyJSON struct {
	Version int          `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
	Entries []sync.Entry `json:"entries" doc:"what passes did, newest first; a pass has an entry for HAProxy's process, and one for its file"`
}

// WriteJSON implements Page.
func (h History) WriteJSON(w io.Writer) error { return JSON(w, historyJSON{1, orEmpty(h.Entries)}) }

// WriteText implements Page.
func (h History) WriteText(w io.Writer) error {
	var out bytes.Buffer
	if h.Whole {
		for _, e := range h.Entries {
			writeEntry(&out, e)
		}
	} else {
		writeEntries(&out, h.Entries)
	}
	_, err := out.WriteTo(w)
	return err
}

func writeEntries(out *bytes.Buffer, entries []sync.Entry) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PASS\tTOOK\tREVISION\tBY\tWHAT")
	for _, e := range entries {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", stamp(e.At), took(e.Seconds), e.Revision, registry.OneLine(string(e.By)),
			OneLine(strings.Join(EntryTexts(e), "; ")))
	}
	_ = table.Flush() // into the buffer
}

// EntryTexts says what an entry did: its change, or a summary of several, and the reasons.
func EntryTexts(e sync.Entry) []string {
	if e.Shadow != "" {
		return shadowTexts(e)
	}
	var texts []string
	n := len(e.Changes) + e.More
	switch {
	case n == 1:
		texts = append(texts, string(e.Changes[0].Via)+" "+e.Changes[0].String())
	case n > 1:
		texts = append(texts, fmt.Sprintf("%s: %s", strings.TrimSuffix(e.Summary(), " reload=0"), changedDomains(e)))
	}
	return append(texts, entryReasons(e)...)
}

// entryReasons are the texts of an entry besides its changes.
func entryReasons(e sync.Entry) []string {
	var texts []string
	if e.Rewrite != "" {
		texts = append(texts, "rewrite: "+e.Rewrite)
	}
	for _, reason := range e.Reload {
		texts = append(texts, "reload: "+reason)
	}
	if e.Held != "" {
		texts = append(texts, "held: "+e.Held)
	}
	if e.Error != "" {
		texts = append(texts, "failed: "+e.Error)
	}
	return texts
}

// maxDomainsShown is how many domains are named before the rest is counted.
const maxDomainsShown = 3

func changedDomains(e sync.Entry) string {
	domains := each(e.Changes, func(c sync.EntryChange) string { return c.Domain })
	slices.Sort(domains)
	domains = slices.Compact(domains)
	if e.More > 0 {
		return strings.Join(domains[:min(len(domains), maxDomainsShown)], ", ") + " and many more"
	}
	return someOf(domains)
}

// writeEntry writes an entry with a line for each change.
func writeEntry(out *bytes.Buffer, e sync.Entry) {
	fmt.Fprintf(out, "%s  revision %d, %s, by %s, took %s\n", stamp(e.At), e.Revision, doneWord(e), registry.OneLine(string(e.By)), took(e.Seconds))
	for _, c := range e.Changes {
		fmt.Fprintf(out, "  %-12s %s\n", c.Via, OneLine(c.String()))
	}
	if e.More > 0 {
		fmt.Fprintf(out, "  and %d more\n", e.More)
	}
	for _, text := range entryReasons(e) {
		fmt.Fprintf(out, "  %s\n", OneLine(text))
	}
}

func doneWord(e sync.Entry) string {
	switch {
	case e.Error != "":
		return "failed"
	case !e.Done:
		return "held"
	}
	return "done"
}

func stamp(at time.Time) string { return at.Local().Format(time.DateTime) }

func took(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(100 * time.Microsecond)
}
