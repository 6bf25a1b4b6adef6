package netns

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/hapsync/hapsync/e2e/internal/harness"
)

// told returns a command of docs/, which must be there word by word, for etcd2 at 10.0.0.12, as another member runs it.
func (m *member) told(t *testing.T, command string) string {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no page of docs/ is found: %v", err)
	}
	command = words(command)
	said := false
	for _, page := range pages {
		said = said || strings.Contains(words(harness.Read(t, page)), command)
	}
	if !said {
		t.Fatalf("no page of docs/ says: %s", command)
	}
	const second = "etcd2=http://10.0.0.12" // in a list of all members
	return strings.NewReplacer(second, second, "etcd2", m.name, "10.0.0.12", m.ip,
		"/var/lib/etcd/hapsync", m.dir, "etcdutl", programs.etcdutl).Replace(command)
}

// words is a text without its line ends.
func words(text string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "\\\n", " ")), " ")
}

// follow runs a command of docs/ for a member, in a directory. Its etcdctl knows all members.
func (e *etcd) follow(t *testing.T, m *member, dir, command string) (string, error) {
	t.Helper()
	cmd := e.admin.command(t.Context(), "sh", "-c", m.told(t, command))
	cmd.Env = append(cmd.Env, "ETCDCTL_ENDPOINTS="+e.endpoints())
	cmd.Dir = dir
	return e.admin.output(cmd)
}
