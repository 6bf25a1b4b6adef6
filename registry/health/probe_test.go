package health

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestCheckCounts(t *testing.T) {
	for results, want := range map[string]string{ // + good, - bad; ^ becomes healthy, v unhealthy, . neither
		"+":           ".",
		"++":          ".^",
		"+-++":        "...^",
		"++--+---":    ".^.....v",
		"++---+-++":   ".^..v...^",
		"-++":         "v.^",
		"--":          "v.",
		"++-+-+-+---": ".^........v",
	} {
		g, got := &Check{Rise: 2, Fall: 3}, ""
		for _, r := range results {
			switch changed := g.count(r == '+'); {
			case changed && g.healthy:
				got += "^"
			case changed:
				got += "v"
			default:
				got += "."
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", results, got, want)
		}
	}
}

// tryProbe probes once, with a short timeout.
func tryProbe(t *testing.T, check string, timeout time.Duration) error {
	t.Helper()
	p, err := Parse(check)
	if err != nil {
		t.Fatal(err)
	}
	g := &Check{Probe: p, Timeout: timeout, Rise: 1, Fall: 1}
	_, err = g.ask(t.Context())
	return err
}

func TestProbes(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.URL.Path[1:])
		if err == nil {
			http.Redirect(w, r, "/500", code)
			return
		}
		<-r.Context().Done() // hangs
	}))
	defer server.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed := silent.Addr().String()
	for check, want := range map[string]string{
		server.URL + "/200":  "",
		server.URL + "/302":  "",
		server.URL + "/404":  "404 Not Found",
		server.URL + "/503":  "503 Service Unavailable",
		server.URL + "/hang": "no answer in 200ms",
		"http://" + closed:   "no answer in 200ms",
		"tcp://" + closed:    "",
		"tcp://127.0.0.1:1":  "refused",
		"exec:/bin/true":     "",
		"exec:/bin/false":    "exit status 1",
		"exec:/bin/test a":   "",
		"exec:/no/such":      "no such file",
		"exec:/bin/sleep 60": "no answer in 200ms",
	} {
		began := time.Now()
		limit := 200 * time.Millisecond
		if want == "" {
			limit = time.Minute // a busy machine is slow
		}
		err := tryProbe(t, check, limit)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", check, err, want)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("%s: took %s", check, took)
		}
	}
}

func TestHangingProgramEndsWithAllThatItStarted(t *testing.T) {
	dir := t.TempDir()
	script, pid := filepath.Join(dir, "check"), filepath.Join(dir, "pid")
	text := "#!/bin/sh\ntrap '' TERM\nsleep 1000 &\necho $! > " + pid + "\nwait\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := tryProbe(t, "exec:"+script, 2*time.Second); err == nil || !strings.Contains(err.Error(), "no answer in 2s") {
		t.Errorf("got %v", err)
	}
	word, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(word)))
	if err != nil {
		t.Fatal(err)
	}
	deadline, poll := time.After(30*time.Second), time.NewTicker(5*time.Millisecond)
	defer poll.Stop()
	for alive(child) {
		select {
		case <-deadline:
			_ = syscall.Kill(child, syscall.SIGKILL)
			t.Fatal("what the program started is still there")
		case <-poll.C:
		}
	}
}

// alive is false for a process that has ended, even if it is a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestCheckWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began, asked := time.Now(), 0
		g := &Check{Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3, Probe: func(ctx context.Context) error {
			asked++
			switch {
			case asked <= 3:
				return nil
			case asked <= 5:
				return errors.New("bad")
			}
			<-ctx.Done() // hangs
			return ctx.Err()
		}}
		told := ""
		g.Watch(ctx, func(healthy bool, why error) {
			told += time.Since(began).String() + " "
			if !healthy {
				told += why.Error()
				cancel()
			}
		})
		if want := "2s 11s no answer in 1s"; told != want {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

func TestAPortThatDoesNotExistIsRefused(t *testing.T) {
	for _, check := range []string{"http://127.0.0.1:999999/", "https://[::1]:65536", "http://127.0.0.1:0/", "tcp://127.0.0.1:65536", "tcp://127.0.0.1:0", "tcp://127.0.0.1:nosuchservice"} {
		if _, err := Parse(check); err == nil || !strings.Contains(err.Error(), "1 to 65535") {
			t.Errorf("%s: got %v", check, err)
		}
	}
	for _, check := range []string{"http://127.0.0.1:65535/", "http://127.0.0.1/", "tcp://127.0.0.1:1"} {
		if _, err := Parse(check); err != nil {
			t.Errorf("%s: %v", check, err)
		}
	}
}
