package registry_test

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/hapsync/hapsync/registry"
	"github.com/hapsync/hapsync/registry/registrytest"
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
			text := registrytest.Describe(registry.Decode("/services/web", kvs, registry.Addresses{}))
			got.Files = append(got.Files, txtar.File{Name: file.Name, Data: []byte(text)})
			if diff := cmp.Diff(want[file.Name], text); diff != "" && !*update {
				t.Errorf("-want +have:\n%s", diff)
			}
			slices.Reverse(kvs)
			if diff := cmp.Diff(text, registrytest.Describe(registry.Decode("/services/web/", kvs, registry.Addresses{}))); diff != "" {
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
func parseKeys(t *testing.T, text string) []registry.KeyValue {
	t.Helper()
	var kvs []registry.KeyValue
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
		kvs = append(kvs, registry.KeyValue{Key: unquote(t, key), Value: unquote(t, value)})
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

func TestDecodeSharesNoMemoryWithItsKeysAndDoesNotChangeThem(t *testing.T) {
	t.Parallel()
	kvs := []registry.KeyValue{
		{Key: "/p/a.com/h/port", Value: "80"},
		{Key: "/p/a.com/h/ip", Value: "10.0.0.1"},
		{Key: "/p/a.com/check", Value: "/health"},
	}
	before := slices.Clone(kvs)
	domains, _, _ := registry.Decode("/p", kvs, registry.Addresses{})
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
