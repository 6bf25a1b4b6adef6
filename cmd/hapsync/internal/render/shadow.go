package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/sync"
)

// JSON of what a shadow has found.
type (
	// Shadow is the part of a status that only agent --shadow has.
	Shadow struct {
		Agreed   int            `json:"agreed" doc:"changes of the registry that the other tool made as hapsync would have made them"`
		Differed int            `json:"differed" doc:"changes that the other tool has not made as hapsync would have, and changes of its own"`
		Acted    *time.Time     `json:"acted" doc:"when the other tool was last seen to change HAProxy; null if it was not"`
		Changes  []ShadowChange `json:"changes" doc:"the changes that hapsync would have made and HAProxy does not have, the oldest first"`
	}

	// ShadowChange is one of these changes.
	ShadowChange struct {
		State    sync.ShadowState  `json:"state" doc:"'waiting' (the other tool may be about to make it), 'unanswered' (nothing shows that it has seen it) or 'different' (it has not made it, or another one)"`
		Why      string            `json:"why,omitempty" doc:"what shows that; absent while it waits"`
		Revision registry.Revision `json:"revision" doc:"the registry's revision that asks for it; 0 if it was so when the agent began"`
		Since    time.Time         `json:"since" doc:"since when HAProxy lacks it"`
		Seconds  float64           `json:"age_seconds" doc:"how long ago that was"`
		sync.EntryChange
	}
)

// ShadowOf converts what a shadow has found; nil for an agent that is no shadow.
func ShadowOf(s *sync.ShadowStatus) *Shadow {
	if s == nil {
		return nil
	}
	out := &Shadow{Agreed: s.Agreed, Differed: s.Differed, Changes: each(s.Changes, func(c sync.ShadowChange) ShadowChange {
		return ShadowChange{c.State, c.Why, c.Revision, c.Since, time.Since(c.Since).Seconds(), c.EntryChange}
	})}
	if !s.Acted.IsZero() {
		out.Acted = &s.Acted
	}
	return out
}

// ShadowSummary is what a shadow has found, in one line.
func ShadowSummary(s sync.ShadowStatus) string {
	return fmt.Sprintf("%s the same, %d different so far; now %d waiting, %d unanswered, %d different",
		registry.Count(s.Agreed, "change"), s.Differed,
		s.Count(sync.ShadowWaits), s.Count(sync.ShadowUnanswered), s.Count(sync.ShadowDiffers))
}

// Text is the change for people, with its age and the reason.
func (c ShadowChange) Text() string {
	since := "since the start"
	if c.Revision > 0 {
		since = fmt.Sprintf("revision %d", c.Revision)
	}
	text := fmt.Sprintf("%s (%s, for %s)", c.EntryChange, since, Seconds(c.Seconds))
	if c.Why != "" {
		text += ": " + c.Why
	}
	return text
}

// write writes the rows of a status that only a shadow has.
func (s *Shadow) write(row func(what, format string, args ...any)) {
	row("shadow", "nothing is changed; %s the same, %d different so far", registry.Count(s.Agreed, "change"), s.Differed)
	acted := "has not been seen to change HAProxy yet"
	if s.Acted != nil {
		acted = "changed HAProxy last " + Seconds(time.Since(*s.Acted).Seconds()) + " ago"
	}
	row("other tool", "%s", acted)
	for _, c := range s.Changes {
		row(string(c.State), "%s", c.Text())
	}
}

// shadowTexts are the texts of an entry of a shadow.
func shadowTexts(e sync.Entry) []string {
	word := map[sync.ShadowVerdict]string{
		sync.WouldMake: "would", sync.Agreed: "made the same change", sync.NotAnswered: "not answered",
		sync.Differs: "differs", sync.DiffersNoMore: "no longer differs",
	}[e.Shadow]
	what := ""
	switch n := len(e.Changes) + e.More; {
	case n == 1:
		what = e.Changes[0].String()
	case n > 1:
		what = fmt.Sprintf("%s of %s", registry.Count(n, "change"), changedDomains(e))
	}
	texts := []string{word + ": " + what}
	if len(e.Reload) > 0 {
		texts = append(texts, "would reload: "+strings.Join(e.Reload, "; "))
	}
	return texts
}
