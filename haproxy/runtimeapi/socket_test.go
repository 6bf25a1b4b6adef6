package runtimeapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"

	stdsync "sync"
	"syscall"
	"testing"
	"time"
)

// fakeSocket is a stats socket. serve gets every connection after its line of commands.
func fakeSocket(t *testing.T, serve func(conn net.Conn, line string)) Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "hap")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var running stdsync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
					serve(conn, line)
				}
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return Client{Socket: path, timeout: 5 * time.Second}
}

// replies is a stats socket that answers every line with the same text.
func replies(t *testing.T, text string) Client {
	t.Helper()
	return fakeSocket(t, func(conn net.Conn, _ string) { _, _ = io.WriteString(conn, text) })
}

func TestAReplyThatIsNoneIsAnError(t *testing.T) {
	t.Parallel()
	for name, try := range map[string]struct{ reply, want string }{
		"closed without an answer": {"", "without an answer"},
		"half a line":              {"New serv", "cut off"},
		"an unknown command":       {"Unknown command: 'x', but maybe\n  help\n\n", "does not know the command"},
		"an old unknown command":   {"\nUnknown command. Please enter one of\n\n", "does not know the command"},
		"a lower level":            {"Permission denied\n\n", "level admin"},
		"a lower level later":      {"\nPermission denied\n\n", "level admin"},
		"fewer answers":            {"\n", "cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := replies(t, try.reply)
			err := r.exec(t.Context(), []string{"disable server b/s", "del server b/s"})
			if err == nil || !strings.Contains(err.Error(), try.want) {
				t.Fatalf("error %v, want %q", err, try.want)
			}
			if !strings.Contains(err.Error(), r.Socket) || !strings.Contains(err.Error(), "disable server b/s") {
				t.Errorf("error %v names neither socket nor command", err)
			}
		})
	}
}

func TestAReplyToAReadThatIsNoneIsAnError(t *testing.T) {
	t.Parallel()
	const info = "Pid: 3\nVersion: 3.2.0\nUptime_sec: 1\n\n"
	const state = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_check_result srv_check_state srv_agent_state srv_port\n"
	const stat = "# pxname,svname,scur,slim,bck,status,type,cookie,mode,algo\n"
	for name, try := range map[string]struct{ reply, want string }{
		"closed without an answer":   {"", "cut off"},
		"garbage":                    {"\x00\xff\x01garbage\n\n", "unexpected answer"},
		"half a line":                {state + "2 b 1 s 127.0", "cut off"},
		"only one of two tables":     {state + "\n", "cut off"},
		"no end of the last table":   {state + "\n" + stat, "cut off"},
		"more than two tables":       {state + "\n" + stat + "\n" + stat, "unexpected"},
		"an unknown command":         {"Unknown command: 'x'\n\n", "does not know the command"},
		"a lower level":              {"Permission denied\n\n", "level admin"},
		"hidden addresses":           {state + "\n" + stat + "b,BACKEND,0,0,0,UP,1,,http,\n\n", "level admin"},
		"a missing column":           {"1\n# be_id be_name srv_id\n\n" + stat + "\n", "no column"},
		"a short line":               {state + "2 b 1\n\n" + stat + "\n", "too few columns"},
		"a word instead of a number": {state + "2 b 1 s 127.0.0.1 x 0 0 0 0 0 0 0\n\n" + stat + "\n", "not a number"},
		"an endless line":            {strings.Repeat("x", maxRow+maxRow/2), "more than a megabyte"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := replies(t, info+try.reply)
			have, err := r.backends(t.Context())
			if err == nil || !strings.Contains(err.Error(), try.want) {
				t.Fatalf("read %v, error %v, want %q", have, err, try.want)
			}
			if !strings.Contains(err.Error(), r.Socket) || !strings.Contains(err.Error(), "show servers state") {
				t.Errorf("error %v names neither socket nor command", err)
			}
		})
	}
}

func TestInfoThatIsNoneIsAnError(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"", "\n", "Name: HAProxy\nPid: 3\n", "Pid: x\nVersion: 3.0\n\n", "Pid: 3\n\n", "Pid: 3\nVersion: three\n\n", "Version: 3.0\n\n", "Permission denied\n\n"} {
		if w, err := replies(t, reply).Info(t.Context()); err == nil {
			t.Errorf("%q is read as %+v", reply, w)
		}
	}
}

func TestASocketThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	r := fakeSocket(t, func(net.Conn, string) { <-hang })
	t.Cleanup(func() { close(hang) })
	r.timeout = 50 * time.Millisecond
	if _, err := r.Info(t.Context()); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no complete answer in time") {
		t.Errorf("error %v", err)
	}
	r.timeout = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := r.backends(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestASocketWhereNobodyListensIsDown(t *testing.T) {
	t.Parallel()
	r := replies(t, "\n")
	gone := filepath.Join(filepath.Dir(r.Socket), "gone")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: gone, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	_ = listener.Close()
	for _, path := range []string{"/nonexistent/haproxy.sock", gone} {
		_, err := Client{Socket: path}.Info(t.Context())
		if !errors.Is(err, haproxy.ErrDown) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "--runtime-socket") {
			t.Errorf("error %v", err)
		}
	}
	_, err = Client{Socket: "/dev/null"}.Info(t.Context())
	if err == nil || !strings.Contains(err.Error(), "/dev/null") {
		t.Errorf("error %v", err)
	}
}

func TestASocketWithoutPermissionSaysWhatToDo(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}
	err := dialError("/run/haproxy.sock", refused)
	if errors.Is(err, haproxy.ErrDown) || !errors.Is(err, fs.ErrPermission) ||
		!strings.Contains(err.Error(), "no permission for the socket /run/haproxy.sock") {
		t.Errorf("error %v", err)
	}
	err = denied("/run/master.sock", err)
	if !errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "stats socket") ||
		!strings.Contains(err.Error(), "-S /run/master.sock,mode,660,group,haproxy") {
		t.Errorf("error %v", err)
	}
}

func TestASocketOfALowerLevelSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		base := strings.Replace(haproxytest.PlainBase, "maxconn 1000", "maxconn 1000\n    stats socket @DIR@/user level user\n    stats socket @DIR@/operator level operator", 1)
		p := haproxytest.StartHAProxy(t, bin, base, "backend b\n    server s 127.0.0.1:1\n")
		user, operator := Client{Socket: p.Dir + "/user"}, Client{Socket: p.Dir + "/operator"}
		if _, err := user.Info(t.Context()); err != nil {
			t.Errorf("info: %v", err)
		}
		if have, err := user.backends(t.Context()); err == nil || !strings.Contains(err.Error(), "level admin") {
			t.Errorf("backends: %v, %v", have, err)
		}
		change := haproxy.RemoveServer{Backend: "b", Server: haproxy.Server{Name: "s"}}
		err := operator.run(t.Context(), capabilities(t, operator), []haproxy.Change{change}, noParams, time.Second)
		if err == nil || !strings.Contains(err.Error(), "level admin") {
			t.Errorf("run: %v", err)
		}
	})
}

func TestCommandsThatBelongTogetherStayOnOneLine(t *testing.T) {
	t.Parallel()
	var commands []string
	for range 1000 {
		commands = append(commands, "first"+strings.Repeat("x", 50)+";second")
	}
	lines := pack(commands)
	if len(lines) < 5 || len(lines) > 20 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if len(line) > maxLine || !strings.HasPrefix(line, "first") || !strings.HasSuffix(line, "second") {
			t.Errorf("line %q", clip(line, 80))
		}
	}
	if got := strings.Join(lines, ";"); got != strings.Join(commands, ";") {
		t.Error("the lines are not the commands")
	}
}
