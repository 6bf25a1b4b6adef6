package render

import (
	"bytes"
	"slices"

	"github.com/hapsync/hapsync/sync"
)

// Limits of a status: anyone who can write keys can cause many problems.
const (
	maxList   = 1000     // entries of each list
	maxStatus = 63 << 10 // bytes of the JSON without Agent
)

// StatusOf converts an agent's status. It shortens the lists until the status fits.
func StatusOf(s sync.Status) Status {
	for most := maxList; ; most /= 2 {
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

// short is a status with at most so many entries in each list, and how many are left out.
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

// cut shortens a list to most entries, and adds to left how many it removes.
func cut[T any](list *[]T, most int, left *int) {
	if more := len(*list) - most; more > 0 {
		*list = (*list)[:most]
		*left += more
	}
}
