package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/registry"
)

// withJournal is a bench with a journal in a new directory.
func withJournal(t *testing.T) *bench {
	b := oneHost()
	b.journal = filepath.Join(t.TempDir(), "journal")
	return b
}

func TestHistoryOfAnAgentAndOfHands(t *testing.T) {
	b := withJournal(t)
	a := startAgent(t, b.program(nil, nil), freeAddr(t))
	a.says(t, "synced")
	if code := a.ends(); code != exitOK {
		t.Fatalf("code %d\n%s", code, a)
	}
	b.state.File, b.state.Live, b.snapshot.Revision = threeServers(), threeServers(), 813
	b.run(t, "sync", "--allow-mass-removal")
	b.state.File, b.state.Live, b.snapshot = threeServers(), threeServers(), registry.Snapshot{Revision: 814}
	b.run(t, "sync")
	b.snapshotErr = registry.ErrUnavailable
	b.run(t, "sync")

	got := b.run(t, "history")
	lines := strings.Split(got.stdout, "\n")
	if got.code != exitOK || len(lines) != 6 {
		t.Fatalf("code %d: %s%s", got.code, got.stdout, got.stderr)
	}
	for i, want := range [][]string{
		{"PASS", "TOOK", "REVISION", "BY", "WHAT"},
		{" 0 ", "hand", "failed: registry not reachable"},
		{" 814 ", "hand", "held: the registry has no key below the prefix"},
		{" 813 ", "hand", "transaction="},
		{" 812 ", "resync", "transaction=3 reload=1: a.abc.com; reload: new domain: a.abc.com ("},
	} {
		wantContains(t, fmt.Sprintf("line %d", i), lines[i], want...)
	}
	got = b.run(t, "history", "812")
	wantContains(t, "the pass", got.stdout, "  revision 812, done, by resync, took ", "\n  transaction  + server a.abc.com/server1 10.0.0.1:10000 cookie server1\n",
		"\n  transaction  + rule a.abc.com in webin\n", "\n  reload: new domain: a.abc.com (")
	got = b.run(t, "history", "813", "--domain", "b.abc.com")
	if got.code != exitUsage {
		t.Errorf("a flag behind the revision: code %d", got.code)
	}
	got = b.run(t, "history", "--domain", "b.abc.com", "813")
	if wantContains(t, "of a domain", got.stdout, "- server b.abc.com/s"); strings.Contains(got.stdout, "server a.abc.com/") { // the reason of the reload names it
		t.Errorf("of a domain: %s", got.stdout)
	}
	var all struct {
		Version int
		Entries []struct {
			Revision int
			By       string
			Changes  []struct{ Via, Op, Object, Domain, Name, Want string }
		}
	}
	got = b.run(t, "history", "-o", "json", "--since", "1h")
	if err := json.Unmarshal([]byte(got.stdout), &all); err != nil || all.Version != 1 || len(all.Entries) != 4 || all.Entries[3].Changes[1].Want != "10.0.0.1:10000 cookie server1" {
		t.Errorf("%v: %s", err, got.stdout)
	}
}

func TestHistoryThatThereIsNot(t *testing.T) {
	b := withJournal(t)
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"history", exitError, "there is no journal"},
		{"history --journal off", exitError, "no journal is kept"},
		{"history abc", exitUsage, `"abc" is no revision`},
		{"history 1 2", exitUsage, `"2"`},
		{"history --since x", exitUsage, "with its unit"},
	} {
		got := b.run(t, strings.Fields(tt.args)...)
		if got.code != tt.code || got.stdout != "" {
			t.Errorf("%s: code %d, want %d: %s", tt.args, got.code, tt.code, got.stdout)
		}
		wantContains(t, tt.args, got.stderr, tt.want)
	}
	b.run(t, "sync")
	if got := b.run(t, "history", "7"); got.code != exitError || !strings.Contains(got.stderr, "no pass about revision 7") {
		t.Errorf("code %d: %s", got.code, got.stderr)
	}
}

func TestASyncIsDoneThoughItsJournalCannotBeWritten(t *testing.T) {
	b := withJournal(t)
	if err := os.Mkdir(b.journal, 0o700); err != nil {
		t.Fatal(err)
	}
	got := b.run(t, "sync")
	if got.code != exitOK || !b.wrote {
		t.Errorf("code %d, wrote %t", got.code, b.wrote)
	}
	wantContains(t, "the log", got.stderr, "hapsync history will not show this")
}
