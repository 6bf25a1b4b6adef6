package e2e

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// TestAManagedFileThatIsLostComesBack has the managed file emptied or removed, by a copy that failed for example.
func TestAManagedFileThatIsLostComesBack(t *testing.T) {
	t.Parallel()
	for name, lose := range someOf(map[string]func(t *testing.T, b *box){
		"emptied": func(t *testing.T, b *box) { b.write(t, b.managedFile, "") },
		"blank":   func(t *testing.T, b *box) { b.write(t, b.managedFile, "\n \n") },
		"removed": func(t *testing.T, b *box) {
			if err := os.Remove(b.managedFile); err != nil {
				t.Fatal(err)
			}
		},
	}) {
		for _, agent := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", an agent runs"}[agent], func(t *testing.T) {
				eachHAProxy(t, func(t *testing.T, h haproxy) {
					b := startBox(t, h)
					one, two := startHost(t, "one"), startHost(t, "two")
					b.register(t, "a.abc.com/server1", one.addr)
					own := "    http-request deny deny_status 403 if { path /own }\n"
					b.write(t, b.managedFile, strings.Replace(read(t, b.managedFile), "frontend webin\n", "frontend webin\n"+own, 1))
					b.must(t, "sync") // and reloads
					b.register(t, "b.abc.com/server1", one.addr)
					b.must(t, "sync")
					before := read(t, b.managedFile)

					lose(t, b)
					if agent {
						a := b.startAgent(t, "--resync", "1s")
						eventually(t, "the file is written again", func() error { return isText(t, b.managedFile, before) })
						eventually(t, "the agent warns no more", func() error {
							if o := b.hapsync(t, "status", "--listen", a.listen); o.code != 0 || strings.Contains(o.stdout, "missing or empty") {
								return errors.New(o.String())
							}
							return nil
						})
					} else {
						says(t, b.hapsync(t, "plan").stdout, "warning ", "missing or empty", "written again from what HAProxy loaded last")
						b.must(t, "sync")
					}
					if err := isText(t, b.managedFile, before); err != nil {
						t.Error(err)
					}
					b.register(t, "c.abc.com/server1", two.addr)
					if !agent {
						b.must(t, "sync")
					}
					b.comes(t, "c.abc.com", "", two)
					b.serves(t, "a.abc.com", "", one)
					b.settles(t)
				})
			})
		}
	}
}

// TestAManagedFileIsNotWrittenFromNothingWhileItsFrontendRuns has hapsync see HAProxy for the first time when the file is lost.
func TestAManagedFileIsNotWrittenFromNothingWhileItsFrontendRuns(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		b.register(t, "a.abc.com/server1", startHost(t, "one").addr)
		b.write(t, b.managedFile, "")
		o := b.exits(t, 1, "sync")
		says(t, o.stderr, "missing or empty, but HAProxy runs with the frontend webin", "restore the file")
		if text := read(t, b.managedFile); text != "" {
			t.Errorf("the file is written:\n%s", text)
		}
		a := b.startAgent(t)
		eventually(t, "the agent says so", func() error {
			if !strings.Contains(a.printed(), "HAProxy runs with the frontend webin") {
				return errors.New(a.printed())
			}
			return nil
		})
		if text := read(t, b.managedFile); text != "" {
			t.Errorf("the agent has written the file:\n%s", text)
		}
	})
}

func isText(t *testing.T, file, want string) error {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil && string(text) != want {
		err = errors.New("the file is\n" + string(text) + "\nwant\n" + want)
	}
	return err
}
