package configfile

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

func TestAFaultInTheLinesOfADomainIsARefusalOfThatDomain(t *testing.T) {
	t.Parallel()
	files := openSite(t, haproxytest.FirstHAProxy(t), siteTop+siteAC+siteBackend("a.com")+siteBackend("c.com"), 0)
	before := readSite(t, files)
	want := plusB(before)
	for i := range want.Backends[1:] {
		want.Backends[i+1].Options.Balance = "uri  depth 2" // which would read as one blank
	}
	err := writeSite(t, files, want)
	var invalid *haproxy.InvalidConfigError
	if !errors.As(err, &invalid) || !slices.Equal(invalid.Domains, []string{"b.com", "c.com"}) {
		t.Fatalf("error %v, %+v", err, invalid)
	}
	lines := strings.Split(invalid.Output, "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "'b.com_cluster' ("+haproxy.OwnFault+")") || !strings.Contains(lines[1], "'c.com_cluster' (") {
		t.Errorf("says\n%s", invalid.Output)
	}
	if strings.Contains(err.Error(), "haproxy -c") || !strings.Contains(haproxy.Brief(err), haproxy.OwnFault) {
		t.Errorf("says %q, in brief %q", err, haproxy.Brief(err))
	}
	if f := readSite(t, files); f.Text != before.Text {
		t.Errorf("written:\n%s", f.Text)
	}
}

func TestAFaultDoesNotWaitForHAProxysAnswer(t *testing.T) {
	t.Parallel()
	hangs := wrapper(t, `case "$1" in -v) echo HAProxy version 3.2.0;; *) sleep 600;; esac`+"\n")
	files := openSite(t, hangs, siteTop+siteAC+siteBackend("a.com")+siteBackend("c.com"), 0)
	files.checker.timeout = time.Hour // longer than any test
	want := plusB(readSite(t, files))
	want.Backends[1].Options.Balance = "uri  depth 2"
	if err := writeSite(t, files, want); err == nil || !strings.Contains(err.Error(), haproxy.OwnFault) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Lstat(Beside(files.Managed, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the candidate is left: %v", err)
	}
}

func TestAFaultOfATransactionIsNoRefusal(t *testing.T) {
	t.Parallel()
	p := haproxytest.NewProc(t)
	p.Write(t, p.BaseFile, siteTop)
	p.Write(t, p.ManagedFile, siteAC+siteBackend("a.com")+siteBackend("c.com"))
	files, err := OpenFiles(haproxy.Settings{BaseFile: p.BaseFile, ManagedFile: p.ManagedFile, Frontends: []string{"webin"}, Binary: haproxytest.FirstHAProxy(t), CheckTimeout: 10 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := readSite(t, files)
	want := plusB(before)
	want.Backends[1].Options.Balance = "uri  depth 2"
	var invalid *haproxy.InvalidConfigError
	err = writeSite(t, files, want)
	if err == nil || errors.As(err, &invalid) || files.NoEdit(before) != "" || !strings.Contains(err.Error(), haproxy.OwnFault) {
		t.Errorf("error %v; no transaction because of %q", err, files.NoEdit(before))
	}
}
