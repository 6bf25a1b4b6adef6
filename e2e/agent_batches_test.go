package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// A batchWatch stands between agents, one after the other, and the master's socket. It keeps which reloads the master has
// carried out (HAProxy 3.0 and later tell), and whether each brought a batch of new domains.
type batchWatch struct {
	path, to, file string

	mu     sync.Mutex
	loaded map[string]bool // domains that some reload has brought
	// batches are reloads that brought a domain that no reload had brought before.
	batches int
	// agents is how many agents have been killed, reloads those of the one at work, which brought nothing new where they are
	// in again.
	agents, reloads int
	unfinished      bool // the agent before was killed before it had noted its last reload
	again           int  // reloads that did such a one again
	wrong           []string
}

func startBatchWatch(t *testing.T, b *box) *batchWatch {
	t.Helper()
	w := &batchWatch{path: filepath.Join(b.dir, "batches.sock"), to: b.masterSocket, file: b.managedFile, loaded: map[string]bool{}}
	listener, err := net.Listen("unix", w.path)
	if err != nil {
		t.Fatal(err)
	}
	var talks sync.WaitGroup
	talks.Go(func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			talks.Go(func() { w.talk(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		talks.Wait()
	})
	b.env = append(b.env, "HAPSYNC_MASTER_SOCKET="+w.path)
	return w
}

// talk passes one command on, and waits for its reply even where the agent that asked is dead.
func (w *batchWatch) talk(from net.Conn) {
	defer from.Close()
	limit := time.Now().Add(within)
	_ = from.SetDeadline(limit)
	command, err := io.ReadAll(from) // up to the half-close
	if err != nil || len(command) == 0 {
		return
	}
	conn, err := net.Dial("unix", w.to)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(limit)
	file, _ := os.ReadFile(w.file) // no file has no domains
	if _, err = conn.Write(command); err == nil {
		err = conn.(*net.UnixConn).CloseWrite()
	}
	if err != nil {
		return
	}
	reply, _ := io.ReadAll(conn) // what came is the reply
	if strings.HasPrefix(string(command), "reload") && strings.HasPrefix(string(reply), "Success=1") {
		w.reloaded(string(file))
	}
	_, _ = from.Write(reply)
}

var backendOfDomain = regexp.MustCompile(`(?m)^backend (\S+)_cluster$`)

// reloaded takes note of a reload with the file.
func (w *batchWatch) reloaded(file string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reloads++
	news := false
	for _, found := range backendOfDomain.FindAllStringSubmatch(file, -1) {
		news = news || !w.loaded[found[1]]
		w.loaded[found[1]] = true
	}
	switch {
	case news:
		w.batches++
	case w.reloads == 1 && w.unfinished:
		w.again++
	default:
		w.wrong = append(w.wrong, fmt.Sprintf("reload %d of agent %d", w.reloads, w.agents))
	}
	w.unfinished = false
}

// killed takes note that the agent is dead, which logged so much. Of the reload that was under way then, the next agent cannot
// know that it is done: that one it may do again.
func (w *batchWatch) killed(logged string) {
	noted := 0
	for line := range strings.Lines(logged) {
		if containsAll(line, []string{"msg=synced", ` reload="[`}) {
			noted++
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unfinished = w.unfinished || w.reloads > noted
	w.agents, w.reloads = w.agents+1, 0
}

// onlyForNewDomains fails the test unless each of HAProxy's reloads brought a batch of new domains, but for those that were
// done again for a killed agent: one for each at most.
func (w *batchWatch) onlyForNewDomains(t *testing.T, reloads int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("%d reloads: %d for batches of new domains, %d again after a kill (%d kills)", reloads, w.batches, w.again, w.agents)
	if len(w.wrong) > 0 {
		t.Errorf("%d reloads without a new domain: %q", len(w.wrong), w.wrong)
	}
	if want := w.batches + w.again + len(w.wrong); reloads != want {
		t.Errorf("%d reloads, %d of them by an agent", reloads, want)
	}
}
