package e2e

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestAdoptSaysWhatToDoAndThatIsAllThereIsToDo carries out the steps of hapsync adopt that are not systemd's.
func TestAdoptSaysWhatToDoAndThatIsAllThereIsToDo(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startConfd(t, h)
		b.env = append(b.env, "HAPSYNC_MANAGED_FILE="+b.dir+"/hapsync.cfg", "HAPSYNC_MASTER_SOCKET="+b.masterSocket) // as a config file may say
		moved := startHost(t, "moved")
		b.register(t, "a.abc.com/server2", moved.addr)
		files, before := b.footprints(t), b.generation(t)

		o := b.exits(t, 10, "adopt", "--unit", "confd-web", "--detailed-exitcode")
		for _, words := range [][]string{
			{"runtime", "~ server a.abc.com_cluster/server2"}, {"hapsync check", "--managed-file " + b.baseFile, "--prefix " + b.prefix}, {"managed-file: " + b.baseFile},
			{"prefix: " + b.prefix}, {"cp -pn " + b.baseFile + " " + b.baseFile + ".before-hapsync"}, {"systemctl disable --now confd-web"}, {"systemctl restart hapsync-agent"},
			{"systemctl disable --now hapsync-agent"}, {"systemctl enable --now confd-web"}, {h.path + " -c -f " + b.baseFile},
		} {
			says(t, o.stdout, words...)
		}
		if now := b.footprints(t); len(now) != len(files) || now[b.baseFile] != files[b.baseFile] {
			t.Errorf("something was written: %v, and now %v", files, now)
		}
		b.notReloaded(t, before)

		var said struct {
			File string
			Plan struct {
				Actions []struct{ Via string }
			}
			Switch, Back []struct{ Commands []string }
		}
		if err := json.Unmarshal([]byte(b.must(t, "adopt", "-o", "json").stdout), &said); err != nil {
			t.Fatal(err)
		}
		if said.File != b.baseFile || len(said.Plan.Actions) != 2 || len(said.Switch) < 6 || len(said.Back) < 3 {
			t.Errorf("%+v", said)
		}
		for _, step := range said.Switch {
			for _, command := range step.Commands {
				words := strings.Fields(command)
				switch {
				case words[0] == "cp":
					if out, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
						t.Fatalf("%s: %v\n%s", command, err, out)
					}
				case words[0] == "hapsync" && slices.Contains([]string{"check", "sync"}, words[1]), strings.HasPrefix(command, "hapsync plan"):
					b.must(t, words[1:]...)
				}
			}
		}
		b.serves(t, "a.abc.com", "server2", moved)
		if got, kept := read(t, b.baseFile), read(t, b.baseFile+".before-hapsync"); got == kept || !strings.Contains(got, moved.addr) {
			t.Errorf("the file is\n%s\nand was\n%s", got, kept)
		}
	})
}
