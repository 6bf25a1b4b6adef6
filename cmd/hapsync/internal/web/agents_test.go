package web

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/render"
)

func TestAgentsComePageByPage(t *testing.T) {
	t.Parallel()
	var all render.Roster
	var want, got []string
	for i := range 7 {
		want = append(want, fmt.Sprintf("lb%d", i))
		all.Agents = append(all.Agents, render.RosterLine{Name: want[i]})
	}
	pages := 0
	for after := ""; pages == 0 || after != ""; pages++ {
		list := agentList(all, after, 3)
		for _, a := range list.Agents {
			got = append(got, a.Name)
		}
		if after = list.Next; list.Total != 7 || len(list.Agents) > 3 {
			t.Fatalf("%d of %d agents", len(list.Agents), list.Total)
		}
	}
	if !slices.Equal(got, want) || pages != 3 {
		t.Errorf("%q on %d pages", got, pages)
	}
	if list := agentList(all, "lb3x", 500); len(list.Agents) != 3 || list.Agents[0].Name != "lb4" || list.Next != "" {
		t.Errorf("after an agent that is gone: %+v", list)
	}
	if list := agentList(render.Roster{}, "", 3); len(list.Agents) != 0 || list.Next != "" {
		t.Errorf("of none: %+v", list)
	}
}
