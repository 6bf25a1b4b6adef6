package e2e

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/hapsync/hapsync"

// An importRule says which packages of ours may import what.
type importRule struct {
	name string
	// imports are the paths that the rule is about, each with all below it.
	imports []string
	// by are the packages of ours that may, relative to the module; "cmd/..." is cmd and all below it.
	by []string
	// tests is set where every test may as well.
	tests bool
}

var importRules = []importRule{
	{name: "only registry/etcd talks to etcd", imports: []string{"go.etcd.io/etcd/client"}, by: []string{"registry/etcd", "e2e", "e2e/netns"}},
	{name: "sync and haproxy do not know etcd", imports: []string{"go.etcd.io", "google.golang.org/grpc"}, by: []string{"registry/...", "cmd/...", "e2e", "e2e/netns"}},
	{name: "etcd's server is for the demo and for tests", imports: []string{"go.etcd.io/etcd/server"}, by: []string{"cmd/hapsync-demo", "registry/etcd/etcdtest"}, tests: true},
	{name: "only haproxy/configfile knows HAProxy's libraries", imports: []string{"github.com/haproxytech"}, by: []string{"haproxy/configfile"}},
	{name: "flags and commands belong to cmd", imports: []string{"github.com/urfave/cli"}, by: []string{"cmd/..."}},
	{name: "registry serves sync and cmd", imports: []string{module + "/registry"}, by: []string{"sync", "cmd/hapsync/...", "registry/..."}},
	{name: "haproxy serves sync and cmd, and says what a version can do", imports: []string{module + "/haproxy"},
		by: []string{"sync", "cmd/hapsync/...", "e2e", "haproxy/..."}},
	{name: "HAProxy's file does not know its socket", imports: []string{module + "/haproxy/runtimeapi"}, by: []string{"haproxy/driver"}},
	{name: "HAProxy's socket does not know its file", imports: []string{module + "/haproxy/configfile"},
		by: []string{"haproxy/driver", "cmd/hapsync/..."}},
	{name: "cmd joins sync and HAProxy's driver", imports: []string{module + "/haproxy/driver"}, by: []string{"cmd/hapsync/..."}},
	{name: "sync serves cmd", imports: []string{module + "/sync"}, by: []string{"cmd/hapsync/..."}},
	{name: "only cmd imports cmd", imports: []string{module + "/cmd"}, by: []string{"cmd/..."}},
	{name: "only the daemon knows exporter-toolkit", imports: []string{"github.com/prometheus/exporter-toolkit"}, by: []string{"cmd/hapsync/internal/daemon"}},
	{name: "only e2e drives a browser", imports: []string{"github.com/chromedp"}, by: []string{"e2e"}},
	{name: "only registry/docker knows Docker's libraries", imports: []string{"github.com/moby", "github.com/docker", "github.com/containerd"},
		by: []string{"registry/docker"}},
}

func TestImports(t *testing.T) {
	t.Parallel()
	packages := list(t)
	for _, rule := range importRules {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range packages {
				if path := rule.broken(p); path != "" {
					t.Errorf("%s imports %s", p.ImportPath, path)
				}
			}
		})
	}
}

// TestLinked looks at all that a program is linked from, not only at what a package names.
func TestLinked(t *testing.T) {
	t.Parallel()
	packages := list(t)
	for pkg, without := range map[string][]string{
		"registry":           {"github.com/haproxytech", "go.etcd.io", "google.golang.org/grpc", "github.com/moby", module + "/haproxy", module + "/sync"},
		"registry/mirror":    {"github.com/haproxytech", "go.etcd.io", "google.golang.org/grpc", "github.com/moby", module + "/haproxy", module + "/sync"},
		"registry/etcd":      {"github.com/haproxytech", "go.etcd.io/etcd/server", "github.com/moby", module + "/haproxy", module + "/sync"},
		"haproxy":            {"go.etcd.io", "github.com/haproxytech", "github.com/gofrs", "github.com/google", "golang.org", module + "/registry", module + "/sync"},
		"haproxy/driver":     {"go.etcd.io", "github.com/moby", module + "/registry", module + "/sync"},
		"haproxy/runtimeapi": {"github.com/haproxytech"},
		"sync": {"go.etcd.io", "google.golang.org/grpc", "github.com/haproxytech", "github.com/moby", module + "/cmd",
			module + "/haproxy/configfile", module + "/haproxy/runtimeapi", module + "/haproxy/driver"},
		"cmd/hapsync": {"go.etcd.io/etcd/server", "github.com/chromedp"},
		"cmd/hapsync/internal/web": {"go.etcd.io", "google.golang.org/grpc", "github.com/moby", "github.com/urfave", // its journal opens files as configfile does
			module + "/haproxy/runtimeapi", module + "/haproxy/driver", module + "/registry/etcd"},
	} {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(packages, func(p listed) bool { return p.ImportPath == module+"/"+pkg })
			if i < 0 || len(packages[i].Deps) < 2 {
				t.Fatalf("go list names it at %d, or with nothing that it is linked from", i)
			}
			for _, dep := range packages[i].Deps {
				if slices.ContainsFunc(without, func(path string) bool { return below(dep, path) }) {
					t.Fatalf("%s is linked with %s", pkg, dep)
				}
			}
		})
	}
}

// A listed package is what go list says of it.
type listed struct {
	ImportPath                               string
	Imports, TestImports, XTestImports, Deps []string
}

// list lists the packages of this module.
func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", "./...")
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, &stderr)
	}
	var packages []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatalf("%s: %v", cmd, err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 2 {
		t.Fatalf("%s: %d packages", cmd, len(packages))
	}
	return packages
}

// broken returns the first import of p that the rule forbids, or "".
func (r importRule) broken(p listed) string {
	name := strings.TrimPrefix(p.ImportPath, module+"/")
	if slices.ContainsFunc(r.by, func(by string) bool {
		parent, all := strings.CutSuffix(by, "/...")
		return name == by || all && below(name, parent)
	}) {
		return ""
	}
	imports := p.Imports
	if !r.tests {
		imports = slices.Concat(imports, p.TestImports, p.XTestImports)
	}
	for _, path := range imports {
		if path == p.ImportPath {
			continue // a package's own external test
		}
		if slices.ContainsFunc(r.imports, func(forbidden string) bool { return below(path, forbidden) }) {
			return path
		}
	}
	return ""
}

// below reports whether path is parent or below it.
func below(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}
