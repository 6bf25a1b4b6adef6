package packages

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// kinds are the names that an architecture has in Go, in .deb, and in .rpm and .apk.
var kinds = []struct {
	arch, rpm string
	machine   elf.Machine
}{
	{"amd64", "x86_64", elf.EM_X86_64},
	{"arm64", "aarch64", elf.EM_AARCH64},
}

// TestPackagesOfAllKindsHaveTheSameFilesAndTheProgramOfTheirMachine looks into the packages with the tools of their kinds. Those of
// ARM64 are not installed here.
func TestPackagesOfAllKindsHaveTheSameFilesAndTheProgramOfTheirMachine(t *testing.T) {
	_, newer := packages(t)
	m := startMachine(t, "bookworm")
	for _, k := range kinds {
		t.Run(k.arch, func(t *testing.T) {
			m.copies(t, theOnly(t, newer, "*_"+k.arch+".deb"), "hapsync.deb")
			m.copies(t, theOnly(t, newer, "*."+k.rpm+".rpm"), "hapsync.rpm")
			m.copies(t, theOnly(t, newer, "*_"+k.rpm+".apk"), "hapsync.apk")
			for script, want := range map[string]string{
				"dpkg-deb --field /root/hapsync.deb Package Version Architecture":                                                 "Package: hapsync\nVersion: 0.0.2\nArchitecture: " + k.arch,
				"dpkg-deb --info /root/hapsync.deb | grep -o 'Depends: procps'; dpkg-deb --contents /root/hapsync.deb >/dev/null": "Depends: procps",
				"rpm --query --package --queryformat '%{name} %{version} %{arch} %{os}' /root/hapsync.rpm":                        "hapsync 0.0.2 " + k.rpm + " linux",
				"rpm --checksig --nosignature /root/hapsync.rpm":                                                                  "/root/hapsync.rpm: digests OK",
				"tar -xzOf /root/hapsync.apk .PKGINFO 2>/dev/null | grep -E '^(pkgname|pkgver|arch) '":                            "pkgname = hapsync\npkgver = 0.0.2\narch = " + k.rpm,
			} {
				if got := strings.TrimSpace(m.run(t, script)); got != want {
					t.Errorf("%s: %q, want %q", script, got, want)
				}
			}
			haveTheSameFiles(t, m)
			hasItsProgram(t, m, k.machine)
		})
	}
}

// haveTheSameFiles holds that .rpm and .apk have all that the .deb has.
func haveTheSameFiles(t *testing.T, m *machine) {
	t.Helper()
	deb := m.run(t, "dpkg-deb --fsys-tarfile /root/hapsync.deb | tar -t | sed 's|^[.]||; /[/]$/d' | sort")
	if !strings.Contains(deb, "/usr/bin/hapsync\n") || !strings.Contains(deb, "/usr/share/man/man1/hapsync-plan.1.gz\n") {
		t.Errorf("the .deb has not what it should:\n%s", deb)
	}
	for what, script := range map[string]string{
		"rpm": "rpm --query --package --list /root/hapsync.rpm",
		"apk": "tar -tzf /root/hapsync.apk 2>/dev/null | sed '/^[.]/d; s|^|/|; /[/]$/d'",
	} {
		got := m.run(t, script)
		for line := range strings.Lines(deb) {
			if !strings.Contains("\n"+got, "\n"+line) {
				t.Errorf("the .%s lacks %s", what, line)
			}
		}
	}
}

// hasItsProgram holds that each package has a static program for its machine.
func hasItsProgram(t *testing.T, m *machine, want elf.Machine) {
	t.Helper()
	for what, script := range map[string]string{
		"deb": "dpkg-deb --fsys-tarfile /root/hapsync.deb | tar -xO ./usr/bin/hapsync",
		"rpm": "rpm2cpio /root/hapsync.rpm | (cd $(mktemp -d) && busybox cpio -i -d 2>/dev/null; find . -path ./usr/bin/hapsync -exec cat {} +)",
		"apk": "tar -xzOf /root/hapsync.apk usr/bin/hapsync 2>/dev/null",
	} {
		m.run(t, "("+script+") >/root/program")
		file := filepath.Join(t.TempDir(), "hapsync")
		harness.Docker(t, "cp", m.id+":/root/program", file)
		program, err := elf.Open(file)
		if err != nil {
			t.Errorf(".%s: %v", what, err)
			continue
		}
		if libraries, _ := program.ImportedLibraries(); program.Machine != want || len(libraries) > 0 {
			t.Errorf("the .%s has a program for %s with the libraries %q, want %s and none", what, program.Machine, libraries, want)
		}
		program.Close()
	}
}

// TestTheListOfModulesFollowsItsSchema holds that the SBOMs are valid CycloneDX, and name the modules that are in the programs.
func TestTheListOfModulesFollowsItsSchema(t *testing.T) {
	_, newer := packages(t)
	module, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	dir := filepath.Join(strings.TrimSpace(string(module)), "schema")
	for name, file := range map[string]string{"spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		if err := compiler.AddResource("http://cyclonedx.org/schema/"+name, parsed(t, filepath.Join(dir, file))); err != nil {
			t.Fatal(err)
		}
	}
	if err := compiler.AddResource("http://cyclonedx.org/schema/bom-1.5.schema.json", parsed(t, filepath.Join(dir, "bom-1.5.schema.json"))); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.5.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		file := theOnly(t, newer, "*_"+k.arch+".cdx.json")
		if err := schema.Validate(parsed(t, file)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		namesModules(t, file, k.arch)
	}
}

// parsed is a file of JSON, as the schema's library reads it.
func parsed(t *testing.T, file string) any {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	value, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return value
}

// namesModules holds that an SBOM has each module that Go has written into the program, and no other.
func namesModules(t *testing.T, file, arch string) {
	t.Helper()
	var bom cyclonedx.BOM
	decoder := json.NewDecoder(bytes.NewReader([]byte(harness.Read(t, file))))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&bom); err != nil || bom.Components == nil {
		t.Fatalf("%s: %v", file, err)
	}
	info, err := buildinfo.ReadFile("../../bin/package/" + arch + "/hapsync")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"std": strings.TrimPrefix(info.GoVersion, "go")}
	for _, d := range info.Deps {
		want[d.Path] = d.Version
	}
	for _, c := range *bom.Components {
		if want[c.Name] != c.Version {
			t.Errorf("%s has %s %s, the program %q", file, c.Name, c.Version, want[c.Name])
		}
		delete(want, c.Name)
	}
	if len(want) > 0 {
		t.Errorf("%s lacks %v", file, want)
	}
}
