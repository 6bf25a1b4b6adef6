package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/journal"
	"github.com/hapsync/hapsync/haproxy"
)

// hangable is a program that replaces haproxy. While the file dir/hang exists, its -c does not answer.
func hangable(t *testing.T, binary, dir string) (path string) {
	t.Helper()
	path = dir + "/hangable"
	script := fmt.Sprintf("#!/bin/sh\ncase \" $* \" in *' -c '*) while [ -e %s/hang ]; do sleep 0.1; done ;; esac\nexec %s \"$@\"\n", dir, binary)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func weigh(t *testing.T, etcd *embed.Etcd, host, weight string) {
	t.Helper()
	put := &etcdserverpb.PutRequest{Key: []byte("/services/web/" + host + "/weight"), Value: []byte(weight)}
	if _, err := etcd.Server.Put(t.Context(), put); err != nil {
		t.Fatal(err)
	}
}

// TestAgentGoesOnWhileHaproxyCHangs uses a timeout of 8 s for haproxy -c, instead of one minute.
func TestAgentGoesOnWhileHaproxyCHangs(t *testing.T) {
	t.Parallel()
	all := binaries(t)
	binary := all[len(all)-1]
	dir, flags := place(t)
	if got := new(bench).run(t, append(flags, "--haproxy-bin", binary)...); got.code != exitOK {
		t.Fatalf("init: code %d: %s", got.code, got.stderr)
	}
	defer launch(t, binary, dir)()
	web, etcdAddr := flags[8], freeAddr(t)
	etcd, _ := startEtcd(t, t.TempDir(), etcdAddr)
	one, two := website(t, "one"), website(t, "two")
	host(t, etcd, "a.abc.com/server1", one)
	host(t, etcd, "b.abc.com/server1", one)
	p := program{getenv: func(string) string { return "" }, journal: journal.Beside, dial: dial, open: func(s haproxy.Settings) (target, error) {
		s.CheckTimeout = 8 * time.Second
		return open(s)
	}}
	a := startAgent(t, p, dir+"/agent.sock", "--allow-loopback", "--endpoints", "http://"+etcdAddr, "--haproxy-bin", hangable(t, binary, dir),
		"--base-file", dir+"/haproxy.cfg", "--managed-file", dir+"/hapsync.cfg")
	a.answers(t, "/readyz", 200)
	serves(t, web, "a.abc.com", "one")

	long := func() int { return strings.Count(a.String(), "a step takes long") }
	before := long() // a busy machine may be that slow without a hang
	if err := os.WriteFile(dir+"/hang", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	weigh(t, etcd, "a.abc.com/server1", "7")
	a.answers(t, "/readyz", 503, "waiting for haproxy -c since ")
	host(t, etcd, "b.abc.com/server1", two) // another domain, meanwhile
	serves(t, web, "b.abc.com", "two")
	got := new(bench).run(t, "status", "--listen", dir+"/agent.sock")
	if got.code != exitError {
		t.Errorf("status: code %d", got.code)
	}
	wantContains(t, "status", got.stdout, "not ready", "waiting for haproxy -c since ")
	if strings.Contains(read(t, dir+"/hapsync.cfg"), two) {
		t.Error("the file was written without haproxy -c")
	}
	a.answers(t, "/readyz", 503, "the last pass failed: haproxy -c gave no answer within 8s")
	if n := long() - before; n != 1 {
		t.Errorf("it is logged %d times that haproxy -c takes long:\n%s", n, a)
	}

	if err := os.Remove(dir + "/hang"); err != nil {
		t.Fatal(err)
	}
	a.answers(t, "/readyz", 200)
	eventually(t, "the file has all", func() error {
		if file := read(t, dir+"/hapsync.cfg"); !strings.Contains(file, two) || !strings.Contains(file, "weight 7") {
			return errors.New(file)
		}
		return nil
	})
}
