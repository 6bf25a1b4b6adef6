package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	stdsync "sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/hapsync/hapsync/cmd/hapsync/internal/daemon"
	"github.com/hapsync/hapsync/cmd/hapsync/internal/journal"
)

// startEtcd starts etcd, whose data is in dir, at an address.
func startEtcd(t *testing.T, dir, addr string) (etcd *embed.Etcd, stop func()) {
	t.Helper()
	client, peer := url.URL{Scheme: "http", Host: addr}, url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.LogLevel = "fatal"
	cfg.UnsafeNoFsync = true
	cfg.BcryptCost = 4 // the least: a login is a second of work otherwise, under the race detector
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	etcd, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	stop = stdsync.OnceFunc(etcd.Close)
	t.Cleanup(stop)
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		t.Fatal("etcd is not ready after 30 s")
	}
	return etcd, stop
}

// host puts the keys of a host.
func host(t *testing.T, etcd *embed.Etcd, name, addr string) {
	t.Helper()
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"ip": ip, "port": port} {
		put := &etcdserverpb.PutRequest{Key: []byte("/services/web/" + name + "/" + key), Value: []byte(value)}
		if _, err := etcd.Server.Put(t.Context(), put); err != nil {
			t.Fatal(err)
		}
	}
}

// website is a web server that answers with a word.
func website(t *testing.T, word string) (addr string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, word) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// serves waits until HAProxy answers a request for the domain with the word.
func serves(t *testing.T, web, domain, word string) {
	t.Helper()
	eventually(t, domain+" is served by "+word, func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+web+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = domain
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != word {
			return fmt.Errorf("%s %q %w", response.Status, body, err)
		}
		return nil
	})
}

// worker is the process id of the HAProxy that serves.
func worker(t *testing.T, dir string) (pid string) {
	t.Helper()
	eventually(t, "HAProxy tells its process id", func() error {
		found := regexp.MustCompile(`(?m)^Pid: (\d+)$`).FindStringSubmatch(ask(t.Context(), dir+"/run/haproxy.sock", "show info"))
		if found == nil {
			return errors.New("no answer")
		}
		pid = found[1]
		return nil
	})
	return pid
}

func TestAgentKeepsARealHAProxyInLine(t *testing.T) {
	for _, binary := range binaries(t) {
		t.Run(binary, func(t *testing.T) { keepInLine(t, binary) })
	}
}

func keepInLine(t *testing.T, binary string) {
	t.Helper()
	dir, flags := place(t)
	if got := new(bench).run(t, append(flags, "--haproxy-bin", binary)...); got.code != exitOK {
		t.Fatalf("init: code %d: %s", got.code, got.stderr)
	}
	defer launch(t, binary, dir)()
	web, etcdAddr, etcdDir := flags[8], freeAddr(t), t.TempDir()
	one, two := website(t, "one"), website(t, "two")

	// The agent is there before etcd is.
	p := program{getenv: func(string) string { return "" }, journal: journal.Beside, dial: dial, open: open}
	a := startAgent(t, p, dir+"/agent.sock", "--allow-loopback", "--endpoints", "http://"+etcdAddr, "--dial-timeout", "1s", "--haproxy-bin", binary,
		"--base-file", dir+"/haproxy.cfg", "--managed-file", dir+"/hapsync.cfg", "--reload-interval", "100ms")
	a.answers(t, "/readyz", 503, "registry: registry not reachable")
	etcd, stopEtcd := startEtcd(t, etcdDir, etcdAddr)
	a.answers(t, "/readyz", 200)

	host(t, etcd, "a.abc.com/server1", one)
	serves(t, web, "a.abc.com", "one")
	pid := worker(t, dir)
	host(t, etcd, "a.abc.com/server1", two)
	serves(t, web, "a.abc.com", "two")
	if now := worker(t, dir); now != pid {
		t.Errorf("HAProxy was reloaded for a host that moved: %s, and now %s", pid, now)
	}

	stopEtcd()
	a.answers(t, "/readyz", 503, "registry: ")
	serves(t, web, "a.abc.com", "two")
	if got := new(bench).run(t, "status", "--listen", dir+"/agent.sock"); got.code != exitRegistry {
		t.Errorf("status without etcd: code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	etcd, _ = startEtcd(t, etcdDir, etcdAddr)
	a.answers(t, "/readyz", 200)
	host(t, etcd, "b.abc.com/server1", one)
	serves(t, web, "b.abc.com", "one")
	a.answers(t, "/status", 200, `"ready": true`)

	pid, file := worker(t, dir), ""
	eventually(t, "the file has all", func() error {
		file = read(t, dir+"/hapsync.cfg")
		if !regexp.MustCompile(`server server1 `+two).MatchString(file) || !strings.Contains(file, "\nbackend b.abc.com_cluster\n") {
			return errors.New(file)
		}
		return nil
	})
	if code := a.ends(); code != exitOK {
		t.Errorf("code %d", code)
	}
	serves(t, web, "b.abc.com", "one")
	if now := worker(t, dir); now != pid || read(t, dir+"/hapsync.cfg") != file {
		t.Errorf("HAProxy was touched at the agent's end: process %s, was %s\n%s", now, pid, a)
	}
}

func TestSignalEndsTheAgentWithoutAnError(t *testing.T) {
	program := executable(t)
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			dir, flags := place(t)
			if got := new(bench).run(t, flags...); got.code != exitOK {
				t.Fatalf("init: code %d: %s", got.code, got.stderr)
			}
			stderr := new(log)
			cmd := exec.CommandContext(t.Context(), program, "agent", "--listen", dir+"/agent.sock", "--endpoints", "http://"+freeAddr(t),
				"--base-file", dir+"/haproxy.cfg", "--managed-file", dir+"/hapsync.cfg")
			cmd.Stderr = stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			a := &runningAgent{log: stderr, listen: daemon.Address{Network: "unix", Address: dir + "/agent.sock"}}
			a.answers(t, "/readyz", 503, "the registry has not been read yet")
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, stderr)
			}
			if _, err := os.Lstat(dir + "/agent.sock"); err == nil {
				t.Error("the socket is left behind")
			}
		})
	}
}

func TestAnAgentRunsThoughItsAddressIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := startAgent(t, oneHost().program(nil, nil), taken.Addr().String())
	a.says(t, "answers on no address until this one is free")
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it answers once the address is free", func() error {
		code, body, err := a.get(t, "/healthz")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("%d %s", code, body)
		}
		return err
	})
	if code := a.ends(); code != exitOK {
		t.Errorf("code %d: %s", code, a.log)
	}
}

func TestAnAgentEndsThatStillWaitsForItsAddress(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	a := startAgent(t, oneHost().program(nil, nil), taken.Addr().String())
	a.says(t, "answers on no address until this one is free")
	if code := a.ends(); code != exitOK {
		t.Errorf("code %d: %s", code, a.log)
	}
}
