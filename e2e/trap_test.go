package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A trap kills hapsync at the n-th of its moments. The sockets and the files tell it of each.
type trap struct {
	mu     sync.Mutex
	victim *exec.Cmd
	left   int // moments until it snaps; 0 where it is not set
}

// set starts hapsync and has it killed at the n-th moment from now. It reports whether it was, once it has ended.
func (tr *trap) set(t *testing.T, b *box, n int, args ...string) (killed bool) {
	t.Helper()
	tr.mu.Lock()
	tr.victim, tr.left = b.startHapsync(t, args...), n
	victim := tr.victim
	tr.mu.Unlock()
	err := victim.Wait()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	killed = tr.left == 0
	tr.left = 0
	if !killed && err != nil {
		t.Fatalf("hapsync %s, not killed: %v", strings.Join(args, " "), err)
	}
	return killed
}

// moment reports whether hapsync has been killed at it.
func (tr *trap) moment() bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.left == 0 {
		return false
	}
	tr.left--
	if tr.left > 0 {
		return false
	}
	_ = tr.victim.Process.Kill()
	return true
}

// onSocket puts the trap between hapsync and a socket. Its moments are those before a command is passed on, and after
// one was carried out that does more than to read, but before the reply comes.
func (tr *trap) onSocket(t *testing.T, dir, to string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "trap-"+filepath.Base(to))
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var talks sync.WaitGroup
	talks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			talks.Go(func() { tr.talk(conn, to) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		talks.Wait()
	})
	return path
}

func (tr *trap) talk(from net.Conn, socket string) {
	defer from.Close()
	request := make([]byte, 64<<10)
	n, err := from.Read(request)
	if err != nil || tr.moment() {
		return
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	to := conn.(*net.UnixConn)
	defer to.Close()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		_, _ = io.Copy(to, io.MultiReader(bytes.NewReader(request[:n]), from))
		_ = to.CloseWrite()
	}()
	reply, _ := io.ReadAll(to)
	if len(writes(strings.FieldsFunc(string(request[:n]), func(c rune) bool { return c == '\n' || c == ';' }))) == 0 || !tr.moment() {
		_, _ = from.Write(reply)
	}
	_ = from.Close()
	<-asked
}

// onFiles makes a moment of everything that is done to the files in the directories.
func (tr *trap) onFiles(t *testing.T, dirs ...string) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	var watches []int
	for _, dir := range dirs {
		const events = unix.IN_CREATE | unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_DELETE
		watch, err := unix.InotifyAddWatch(fd, dir, events)
		if err != nil {
			t.Fatalf("watch %s: %v", dir, err)
		}
		watches = append(watches, watch)
	}
	ended := make(chan error, 1)
	go func() { ended <- tr.readEvents(fd, len(watches)) }()
	t.Cleanup(func() {
		for _, watch := range watches {
			_, _ = unix.InotifyRmWatch(fd, uint32(watch)) // which is an event as well
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = unix.Close(fd)
	})
}

// readEvents returns when all watches are gone.
func (tr *trap) readEvents(fd, watches int) error {
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buffer)
		if err != nil {
			return fmt.Errorf("read the events of files: %w", err)
		}
		for at := 0; at < n; {
			event := (*unix.InotifyEvent)(unsafe.Pointer(&buffer[at]))
			at += unix.SizeofInotifyEvent + int(event.Len)
			if event.Mask&unix.IN_IGNORED == 0 {
				tr.moment()
			} else if watches--; watches == 0 {
				return nil
			}
		}
	}
}
