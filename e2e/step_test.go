package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// step brings HAProxy in line, as an operator does: first the plan, which must say exactly what the sync then does; and
// there is nothing left to do after it. It returns what the sync printed.
func (b *box) step(t *testing.T, flags ...string) string {
	t.Helper()
	plan := b.hapsync(t, append([]string{"plan", "--detailed-exitcode"}, flags...)...)
	if plan.code != 10 {
		t.Errorf("there is something to do, but %s", plan)
	}
	done := b.must(t, append([]string{"sync"}, flags...)...)
	planned, toDo := verdict(t, plan)
	did, applied := verdict(t, done)
	if planned != did || !strings.HasPrefix(toDo, "to do: ") || !strings.HasPrefix(applied, "applied: ") ||
		strings.TrimPrefix(toDo, "to do: ") != strings.TrimPrefix(applied, "applied: ") {
		t.Errorf("plan and sync differ:\n%s%s", plan, done)
	}
	b.inLine(t)
	return done.stdout
}

// verdict cuts off the last line, and from that what it counts in the registry: the revision is that of all tests.
func verdict(t *testing.T, o outcome) (lines, last string) {
	t.Helper()
	text, ok := strings.CutSuffix(o.stdout, "\n")
	if !ok || o.stderr != "" {
		t.Fatalf("no line on standard output alone: %s", o)
	}
	at := strings.LastIndex(text, "\n") + 1
	last, _, _ = strings.Cut(text[at:], " (revision ")
	return text[:at], last
}

// inLine fails the test where there is something to do.
func (b *box) inLine(t *testing.T) {
	t.Helper()
	if o := b.hapsync(t, "plan", "--detailed-exitcode"); o.code != 0 || !strings.HasPrefix(o.stdout, "in line: ") {
		t.Errorf("not in line: %s", o)
	}
}

// says fails the test unless one line of the output has all the words.
func says(t *testing.T, output string, words ...string) {
	t.Helper()
	if !hasLine(output, words) {
		t.Errorf("no line with %q in:\n%s", words, output)
	}
}

func hasLine(output string, words []string) bool {
	for line := range strings.Lines(output) {
		if containsAll(line, words) {
			return true
		}
	}
	return false
}

// reloads fails the test where the output of a plan or sync has another number of reloads than wanted in its verdict.
func reloads(t *testing.T, output string, want int) {
	t.Helper()
	if found := regexp.MustCompile(`\breload=(\d+)`).FindStringSubmatch(output); len(found) != 2 || found[1] != fmt.Sprint(want) {
		t.Errorf("want reload=%d in:\n%s", want, output)
	}
}

// mapRule is the line of a frontend that init ends it with.
func (b *box) mapRule() string {
	backend := "req.hdr(host),host_only,lower,map(" + b.mapFile() + ")"
	return "    use_backend %[" + backend + "] if { " + backend + " -m found }\n"
}

// allByMap is that line of a frontend that has all domains by the map.
func (b *box) allByMap() string { return strings.TrimSuffix(b.mapRule(), "\n") + " # hapsync\n" }

// byMap reports whether the box has its domains by the map.
func (b *box) byMap() bool {
	routing := ""
	for _, variable := range b.env {
		if value, ok := strings.CutPrefix(variable, "HAPSYNC_ROUTING="); ok {
			routing = value
		}
	}
	return routing == "map"
}

func (b *box) mapFile() string { return strings.TrimSuffix(b.managedFile, ".cfg") + ".domains.map" }

// managed waits until the managed file is what init writes with these domains in it, each as its name and
// hosts, "a.abc.com server1=127.0.0.1:10000", and perhaps spare backends. What an agent writes may be a change behind what it has just found.
func (b *box) managed(t *testing.T, domains ...string) {
	t.Helper()
	var acls, rules, backends strings.Builder
	for _, d := range domains {
		words := strings.Fields(d)
		fmt.Fprintf(&acls, "    acl is_%[1]s hdr(host),host_only -i %[1]s\n", words[0])
		if !b.byMap() {
			fmt.Fprintf(&rules, "    use_backend %[1]s_cluster if is_%[1]s\n", words[0])
		}
		fmt.Fprintf(&backends, "\nbackend %s_cluster\n    balance roundrobin\n    cookie SERVERID insert indirect nocache\n", words[0])
		for _, server := range words[1:] {
			name, addr, _ := strings.Cut(server, "=")
			fmt.Fprintf(&backends, "    server %[1]s %[2]s cookie %[1]s check\n", name, addr)
		}
	}
	rule := b.mapRule()
	if b.byMap() {
		rule = b.allByMap()
	}
	want := "frontend webin\n    bind " + b.web + "\n" + acls.String() + rules.String() + rule + backends.String()
	eventually(t, "the managed file is as wanted", func() error {
		if got := withoutSpares(read(t, b.managedFile)); got != want {
			return fmt.Errorf("it is\n%s\nwant\n%s", got, want)
		}
		return nil
	})
}
