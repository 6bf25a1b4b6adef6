package registry

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the golden files")

// TestDecode reads testdata/decode.txtar, and what is wanted from testdata/decode.want.txtar.
func TestDecode(t *testing.T) {
	const wantFile = "testdata/decode.want.txtar"
	keys, err := txtar.ParseFile("testdata/decode.txtar")
	if err != nil {
		t.Fatal(err)
	}
	want := readWant(t, wantFile)
	got := txtar.Archive{Comment: []byte("What Decode makes of decode.txtar, written by `go test ./registry -run TestDecode -update`.\n\n")}
	for _, file := range keys.Files {
		t.Run(file.Name, func(t *testing.T) {
			kvs := parseKeys(t, string(file.Data))
			text := describe(Decode("/services/web", kvs))
			got.Files = append(got.Files, txtar.File{Name: file.Name, Data: []byte(text)})
			if diff := cmp.Diff(want[file.Name], text); diff != "" && !*update {
				t.Errorf("-want +have:\n%s", diff)
			}
			slices.Reverse(kvs)
			if diff := cmp.Diff(text, describe(Decode("/services/web/", kvs))); diff != "" {
				t.Errorf("the order of the keys matters, -forwards +backwards:\n%s", diff)
			}
		})
	}
	if *update {
		if err := os.WriteFile(wantFile, txtar.Format(&got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func readWant(t *testing.T, path string) map[string]string {
	t.Helper()
	want := map[string]string{}
	archive, err := txtar.ParseFile(path)
	if err != nil && !*update {
		t.Fatal(err)
	}
	if err == nil {
		for _, file := range archive.Files {
			want[file.Name] = string(file.Data)
		}
	}
	return want
}

// parseKeys reads lines of a key and a value.
func parseKeys(t *testing.T, text string) []KeyValue {
	t.Helper()
	var kvs []KeyValue
	for line := range strings.Lines(text) {
		line = repeated.ReplaceAllStringFunc(strings.TrimSuffix(line, "\n"), func(text string) string {
			parts := repeated.FindStringSubmatch(text)
			n, _ := strconv.Atoi(parts[2])
			return strings.Repeat(parts[1], n)
		})
		key, value := line, ""
		if i := strings.LastIndex(line, " "); i >= 0 {
			key, value = line[:i], line[i+1:]
		}
		if i := strings.LastIndex(line, ` "`); i >= 0 && strings.HasSuffix(line, `"`) {
			key, value = line[:i], line[i+1:]
		}
		kvs = append(kvs, KeyValue{unquote(t, key), unquote(t, value)})
	}
	return kvs
}

var repeated = regexp.MustCompile(`\{([^*}]+)\*([0-9]+)\}`)

func unquote(t *testing.T, text string) string {
	t.Helper()
	if !strings.HasPrefix(text, `"`) {
		return text
	}
	text, err := strconv.Unquote(text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// describe writes domains and problems as text, everything that is in them.
func describe(domains []Domain, problems []Problem) string {
	var b strings.Builder
	for _, d := range domains {
		fmt.Fprintf(&b, "%s%s%s%s\n", d.Name, given(" balance=", d.Options.Balance), given(" check=", d.Options.Check),
			map[bool]string{true: " held"}[d.Held])
		for _, h := range d.Hosts {
			fmt.Fprintf(&b, "  %s %s weight=%d maxconn=%d backup=%t %s\n", h.Name, h.Addr, h.Weight, h.MaxConn, h.Backup, h.State)
		}
		for _, p := range d.Pending {
			fmt.Fprintf(&b, "  %s pending: no %s\n", p.Host, p.Missing)
		}
		for _, name := range d.HeldHosts {
			fmt.Fprintf(&b, "  %s held\n", name)
		}
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "! %s\n    %s\n", p.Key, p.Reason)
		if p.Holds() {
			fmt.Fprintf(&b, "    holds %s%s\n", p.Domain, given("/", p.Host))
		}
	}
	return b.String()
}

func given(name, value string) string {
	if value == "" {
		return ""
	}
	return name + value
}

func TestDecodeSharesNoMemoryWithItsKeysAndDoesNotChangeThem(t *testing.T) {
	t.Parallel()
	kvs := []KeyValue{
		{"/p/a.com/h/port", "80"},
		{"/p/a.com/h/ip", "10.0.0.1"},
		{"/p/a.com/check", "/health"},
	}
	before := slices.Clone(kvs)
	domains, _ := Decode("/p", kvs)
	if diff := cmp.Diff(before, kvs); diff != "" {
		t.Errorf("the keys changed:\n%s", diff)
	}
	for _, kept := range []string{domains[0].Name, domains[0].Hosts[0].Name, domains[0].Options.Check} {
		for _, kv := range kvs {
			if sameMemory(kept, kv.Key) || sameMemory(kept, kv.Value) {
				t.Errorf("%q keeps the memory of %q", kept, kv.Key)
			}
		}
	}
}
