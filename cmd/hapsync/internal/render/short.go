package render

import (
	"bytes"
	"slices"

	"github.com/hapsync/hapsync/sync"
)

const (
	// mostShown and maxStatus bound the lists of a status, and its bytes as JSON without Agent: who can write keys can make many problems.
	mostShown = 1000
	maxStatus = 63 << 10
)

// StatusOf is an agent's status as it is printed: of its lists what fits.
func StatusOf(s sync.Status) Status {
	for most := mostShown; ; most /= 2 {
		part, hidden := short(s, most)
		out := statusOf(part)
		if hidden != (notShown{}) {
			out.NotShown = &hidden
		}
		var text bytes.Buffer
		_ = out.WriteJSON(&text) // into the buffer
		if text.Len() <= maxStatus || most == 0 {
			return out
		}
	}
}

// short is a status with so many of each list at most, and what is left out.
func short(s sync.Status, most int) (sync.Status, notShown) {
	var hidden notShown
	r := &s.Last
	cut(&r.Problems, most, &hidden.Problems)
	cut(&r.Pending, most, &hidden.Pending)
	cut(&r.Plan.Actions, most, &hidden.Actions)
	s.Passes = slices.Clone(s.Passes)
	cut(&s.Passes, most, &hidden.Others)
	lists := []*[]string{&s.Reasons, &r.Plan.Reload, &r.Warnings, &r.Refused, &r.Ignored.Names}
	for i := range s.Passes {
		lists = append(lists, &s.Passes[i].Reload)
	}
	for _, list := range lists {
		cut(list, most, &hidden.Others)
	}
	if s.Shadow != nil {
		part := *s.Shadow
		cut(&part.Changes, most, &hidden.Others)
		s.Shadow = &part
	}
	for _, list := range []*[]sync.Override{&s.Overrides, &r.Kept, &r.Agents} {
		cut(list, most, &hidden.Others)
	}
	return s, hidden
}

// cut shortens a list where it is long, and counts what is left out.
func cut[T any](list *[]T, most int, left *int) {
	if more := len(*list) - most; more > 0 {
		*list = (*list)[:most]
		*left += more
	}
}
