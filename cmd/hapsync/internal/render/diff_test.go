package render

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestADiffReadsLikeThis(t *testing.T) {
	t.Parallel()
	have := "global\n\nfrontend webin\n    bind :80\n\nbackend a\n    server s 10.0.0.1:80\n    server t 10.0.0.2:80\n\nbackend b\n    server s 10.0.0.3:80\n"
	want := strings.Replace(strings.Replace(have, "10.0.0.1:80", "10.0.0.1:81", 1), "10.0.0.3:80\n", "10.0.0.3:80\n    server u 10.0.0.4:80", 1)
	got := Diff("/etc/haproxy/hapsync.cfg", have, want)
	if expected := `--- /etc/haproxy/hapsync.cfg
+++ /etc/haproxy/hapsync.cfg
@@ -4,8 +4,9 @@
     bind :80
 
 backend a
-    server s 10.0.0.1:80
+    server s 10.0.0.1:81
     server t 10.0.0.2:80
 
 backend b
     server s 10.0.0.3:80
+    server u 10.0.0.4:80
\ No newline at end of file
`; got != expected {
		t.Errorf("got\n%s\nwant\n%s", got, expected)
	}
	if Diff("x", have, have) != "" {
		t.Error("what is the same differs")
	}
}

func TestADiffLeadsFromOneTextToTheOther(t *testing.T) {
	t.Parallel()
	line := rapid.SampledFrom([]string{"a", "b", "c", "", "    server s", "    server t", "x1", "x2", "x3", "x4"})
	text := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(line, 0, 40).Draw(t, "lines"), "\n") })
	rapid.Check(t, func(t *rapid.T) {
		have, want := text.Draw(t, "have"), text.Draw(t, "want")
		if rapid.Bool().Draw(t, "near") {
			lines := slices.Collect(strings.Lines(have))
			at := rapid.IntRange(0, len(lines)).Draw(t, "at")
			lines = slices.Insert(lines, at, "new\n")
			want = strings.Join(lines, "")
		}
		if got := patched(t, have, Diff("file", have, want)); got != want {
			t.Fatalf("%q\n%s\nmade %q, want %q", have, Diff("file", have, want), got, want)
		}
	})
}

// patched applies a diff, strictly.
func patched(t *rapid.T, text, diff string) string {
	lines := slices.Collect(strings.Lines(text))
	var out []string
	at := 0
	take := func(line string) {
		if at >= len(lines) || lines[at] != line {
			t.Fatalf("line %d is not %q", at+1, line)
		}
		at++
	}
	all := slices.Collect(strings.Lines(diff))
	for i, line := range all {
		sign, rest := line[:1], line[1:]
		if i+1 < len(all) && strings.HasPrefix(all[i+1], "\\") {
			rest = strings.TrimSuffix(rest, "\n")
		}
		switch {
		case i < 2 || sign == "\\":
		case sign == "@":
			var from, n, to, m int
			if _, err := fmt.Sscanf(line, "@@ -%d,%d +%d,%d @@", &from, &n, &to, &m); err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				from--
			}
			out = append(out, lines[at:from]...)
			if at = from; m > 0 {
				to--
			}
			if len(out) != to {
				t.Fatalf("%s stands at %d", line, len(out))
			}
		case sign == " ":
			take(rest)
			out = append(out, rest)
		case sign == "-":
			take(rest)
		case sign == "+":
			out = append(out, rest)
		}
	}
	return strings.Join(append(out, lines[at:]...), "")
}

func TestADiffOfManyLines(t *testing.T) {
	t.Parallel()
	var have, want strings.Builder
	for n := range 100_000 {
		fmt.Fprintf(&have, "backend d%d\n    cookie SERVERID insert\n", n)
		if n%3 > 0 {
			fmt.Fprintf(&want, "backend d%d\n    cookie SERVERID insert\n", n)
		}
	}
	if got := strings.Count(Diff("file", have.String(), want.String()), "\n-"); got < 66_000 || got > 67_000 {
		t.Errorf("%d lines go", got)
	}
}
