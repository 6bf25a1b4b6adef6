package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

func TestListenTakesAnotherPortWhereTheWantedOneIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	other, err := listen(port)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if got := other.Addr().(*net.TCPAddr).Port; got == port {
		t.Errorf("both listen on %d", port)
	}
}

func TestBackendAnswersWithItsName(t *testing.T) {
	t.Parallel()
	b, err := startBackend("a.abc.com server1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	resp, err := http.Get("http://127.0.0.1:" + b.port + "/any/path")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "a.abc.com server1\n" {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestStoreKeepsWhatIsPut(t *testing.T) {
	t.Parallel()
	s, err := startEtcd(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.put(t.Context(), "/services/web/a.abc.com/server1/port", "10000"); err != nil {
		t.Fatal(err)
	}
	client := v3client.New(s.server.Server)
	defer client.Close()
	got, err := client.Get(t.Context(), "/services/web/a.abc.com/server1/port")
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "10000" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestShellReadsQuotedWordsBack(t *testing.T) {
	t.Parallel()
	words := []string{"plain-1.2/x:=@", "", "two words", "it's", `$HOME "x" \`, "a;b", "é"}
	out, err := exec.Command("sh", "-c", `printf '%s\n' `+strings.Join(quoted(words), " ")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"); !slices.Equal(got, words) {
		t.Errorf("the shell reads %q, not %q", got, words)
	}
}

func TestEnvironmentOfTheUserIsLeftOut(t *testing.T) {
	t.Parallel()
	got := withoutOurs([]string{"HOME=/root", "HAPSYNC_PREFIX=/x", "ETCDCTL_USER=me", "PATH=/bin"})
	if want := []string{"HOME=/root", "PATH=/bin"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOutputIsPlainWhereItIsNoTerminal(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := newPrinter(f)
	p.heading("Start")
	p.command("hapsync plan")
	p.output("one\n\ntwo\n")
	p.checked("%d of them", 2)
	got, err := os.ReadFile(f.Name())
	if want := "\n1. Start\n\n  $ hapsync plan\n  one\n\n  two\n  ok: 2 of them\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestDemoEndsByItselfWhereStandardInputIsNoTerminal(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	for name, stdin := range map[string]*os.File{"/dev/null": null, "a pipe": read} {
		if !unattended(stdin) {
			t.Errorf("%s is taken for a terminal", name)
		}
	}
	terminal, err := os.Open("/dev/ptmx")
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if unattended(terminal) {
		t.Error("a terminal is not seen")
	}
}
