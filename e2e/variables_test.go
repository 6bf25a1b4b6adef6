package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestNamesWithVariablesAreThoseOfHAProxysEnvironment has an ACL and a backend whose names have a variable that hapsync's own
// environment lacks: no domain is added beside them.
func TestNamesWithVariablesAreThoseOfHAProxysEnvironment(t *testing.T) {
	t.Parallel()
	const (
		acl     = "    acl \"is_${SHOP}.abc.com\" path /never\n"
		backend = "\nbackend \"${SHOP}.abc.com_cluster\"\n    server w @ADDR@\n"
	)
	for name, c := range someOf(map[string]struct{ global, env, rules, sections string }{
		"an ACL, by the environment":      {"", "SHOP=a", acl, ""},
		"an ACL, by setenv":               {"    setenv SHOP a\n", "", acl, ""},
		"a default that does not hold":    {"", "SHOP=a", strings.Replace(acl, "SHOP}", "SHOP-x}", 1), ""},
		"a backend, by the environment":   {"", "SHOP=a", "", backend},
		"a backend, by presetenv":         {"    presetenv SHOP a\n", "", "", backend},
		"needed by HAProxy to judge":      {"", "SHOP=a", "    acl own req.hdr(x-own) -m found\n    use_backend \"${SHOP}own\" if own\n" + acl, "\nbackend aown\n    server w @ADDR@\n"},
		"a condition on what HAProxy has": {"", "SHOP=a", "    .if defined(SHOP)\n" + acl + "    .endif\n", ""},
	}) {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				one := startHost(t, "one")
				b.write(t, b.baseFile, strings.Replace(read(t, b.baseFile), "global\n", "global\n"+c.global, 1))
				text := "frontend webin\n    bind " + b.web + "\n" + c.rules + strings.ReplaceAll(c.sections, "@ADDR@", one.addr)
				b.write(t, b.managedFile, text)
				b.startInEnv(t, c.env)
				for _, domain := range []string{"a.abc.com", "b.abc.com"} {
					b.register(t, domain+"/server1", one.addr)
				}
				o := b.hapsync(t, "sync")
				if o.code != 6 {
					t.Errorf("want exit code 6 for a domain that is left alone: %s", o)
				}
				says(t, o.stdout, "problem ", "a.abc.com", "left alone")
				b.serves(t, "b.abc.com", "", one)
				if a := b.ask(t, "a.abc.com", ""); a.status != http.StatusServiceUnavailable {
					t.Errorf("a.abc.com: got %s", a)
				}
				if got := read(t, b.managedFile); strings.Contains(got, "is_a.abc.com") {
					t.Errorf("the domain is added beside what has its name:\n%s", got)
				}
			})
		})
	}
}

// TestAnotherHAProxyIsAskedAboutConditionsAgain has an agent meet a HAProxy whose environment, or another program, makes a condition
// true that was false.
func TestAnotherHAProxyIsAskedAboutConditionsAgain(t *testing.T) {
	t.Parallel()
	for name, condition := range map[string]string{"environment": "defined(SHOP)", "program": "version_atleast(99.0)"} {
		t.Run(name, func(t *testing.T) {
			eachHAProxy(t, func(t *testing.T, h haproxy) {
				b := newBeside(t, h)
				one, later := startHost(t, "one"), filepath.Join(b.dir, "later")
				program := filepath.Join(b.dir, "haproxy")
				script := fmt.Sprintf("#!/bin/sh\n[ \"$*\" = '-cc version_atleast(99.0)' ] && [ -e %s ] && exit 0\nexec %s \"$@\"\n", later, h.path)
				if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
					t.Fatal(err)
				}
				own := freeAddr(t)
				b.write(t, b.managedFile, "frontend webin\n    bind "+b.web+"\n    .if "+condition+"\n    bind "+own+"\n    .endif\n")
				b.startInEnv(t, "")
				b.register(t, "a.abc.com/server1", one.addr)
				b.register(t, "a.abc.com/server2", own)
				a := b.startAgent(t, "--haproxy-bin", program)
				a.ready(t)
				b.master.terminate(t)
				b.write(t, later, "")
				b.startInEnv(t, "SHOP=a")
				eventually(t, "the agent knows that HAProxy listens there", func() error {
					if got := b.hapsync(t, "status", "--listen", a.listen); !strings.Contains(got.stdout, own) {
						return errors.New(got.stdout)
					}
					return nil
				})
			})
		})
	}
}

// startInEnv starts HAProxy with one more variable.
func (b *box) startInEnv(t *testing.T, variable string) {
	t.Helper()
	cmd := exec.Command(b.haproxy.path, "-W", "-S", b.masterSocket, "-f", b.baseFile, "-f", b.managedFile)
	cmd.Env = cleanEnv()
	if variable != "" {
		cmd.Env = append(cmd.Env, variable)
	}
	b.master = startCommand(t, filepath.Join(b.dir, "haproxy.log"), cmd)
	b.master.Eventually(t, "HAProxy answers", func() error {
		_, err := b.pid()
		return err
	})
}

// TestAVariableThatNothingTellsIsNamed has a name with a variable, and no HAProxy to ask.
func TestAVariableThatNothingTellsIsNamed(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBeside(t, h)
		b.write(t, b.managedFile, "frontend webin\n    bind "+b.web+"\n    acl \"is_${SHOP}.abc.com\" path /never\n")
		says(t, b.hapsync(t, "plan").stdout, "warning ", "hapsync.cfg:3", "the value of SHOP is not known")
		b.startInEnv(t, "SHOP=a")
		if o := b.must(t, "plan"); strings.Contains(o.stdout, "not known") {
			t.Errorf("HAProxy tells it: %s", o)
		}
	})
}
