package e2e

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A footprint is all by which a write of a file shows.
type footprint struct {
	text    string
	mode    os.FileMode
	changed time.Time
	inode   uint64
}

func footprintOf(t *testing.T, file string) footprint {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return footprint{read(t, file), info.Mode(), info.ModTime(), info.Sys().(*syscall.Stat_t).Ino}
}

func TestSecondSyncTouchesNothing(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		runtime := startRecorder(t, b.dir, b.runtimeSocket)
		master := startRecorder(t, b.dir, b.masterSocket)
		sockets := []string{"--runtime-socket", runtime.path, "--master-socket", master.path}
		base, managed, before := footprintOf(t, b.baseFile), footprintOf(t, b.managedFile), b.generation(t)

		o := b.must(t, append([]string{"sync"}, sockets...)...)

		if !strings.HasPrefix(o.stdout, "in line: ") || strings.Count(o.stdout, "\n") != 1 || o.stderr != "" {
			t.Errorf("not only that it is in line: %s", o)
		}
		if footprintOf(t, b.baseFile) != base || footprintOf(t, b.managedFile) != managed {
			t.Error("a file was written")
		}
		b.notReloaded(t, before)
		read := runtime.commands()
		if len(read) == 0 {
			t.Error("nothing was asked: the sync has not seen the process")
		}
		for _, sent := range [][]string{read, master.commands()} {
			if w := writes(sent); len(w) > 0 {
				t.Errorf("sent to HAProxy: %q", w)
			}
		}

		b.put(t, "b.abc.com/server1/port", "1")
		b.must(t, append([]string{"sync"}, sockets...)...)
		if len(writes(runtime.commands())) == 0 {
			t.Error("a sync with something to do has sent no command: the recorder is blind")
		}
	})
}

func TestPlanIsReadByPrograms(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		inLine := b.stablePlan(t)
		if !inLine.InLine || len(inLine.Actions) != 0 || len(inLine.Reload) != 0 {
			t.Errorf("in line, but the plan is %+v", inLine)
		}
		for _, d := range []string{"z", "y", "x", "w"} {
			b.register(t, d+".abc.com/server2", "127.0.0.1:2")
			b.register(t, d+".abc.com/server1", "127.0.0.1:1")
		}
		b.put(t, "b.abc.com/server1/port", "3")
		base, managed := footprintOf(t, b.baseFile), footprintOf(t, b.managedFile)
		before := b.generation(t)

		changes := b.stablePlan(t)

		if changes.InLine || len(changes.Actions) == 0 || len(changes.Reload) == 0 {
			t.Errorf("not in line, but the plan is %+v", changes)
		}
		if o := b.hapsync(t, "plan", "--detailed-exitcode", "-o", "json"); o.code != 10 {
			t.Error(o)
		}
		if footprintOf(t, b.baseFile) != base || footprintOf(t, b.managedFile) != managed {
			t.Error("the plan has written a file")
		}
		b.notReloaded(t, before)
	})
}

// A jsonPlan is what the tests look at in a plan's JSON.
type jsonPlan struct {
	Version int               `json:"version"`
	InLine  bool              `json:"in_line"`
	Actions []json.RawMessage `json:"actions"`
	Reload  []string          `json:"reload"`
}

// stablePlan makes a plan as JSON several times, while nobody changes a host: each has the same bytes, but for the revision,
// which grows with the reports of other tests' agents.
func (b *box) stablePlan(t *testing.T) jsonPlan {
	t.Helper()
	world.etcd.writing.Lock()
	defer world.etcd.writing.Unlock()
	revision := regexp.MustCompile(`"revision": \d+`)
	first := b.must(t, "plan", "-o", "json")
	for range 3 {
		again := b.must(t, "plan", "-o", "json")
		if revision.ReplaceAllString(again.stdout, "") != revision.ReplaceAllString(first.stdout, "") || again.stderr != first.stderr {
			t.Errorf("two plans differ:\n%s%s", first, again)
		}
	}
	var plan jsonPlan
	if err := json.Unmarshal([]byte(first.stdout), &plan); err != nil {
		t.Fatalf("%v in\n%s", err, first)
	}
	if plan.Version != 1 || !strings.Contains(first.stdout, `"version": 1`) {
		t.Errorf("version %d: %s", plan.Version, first)
	}
	return plan
}
