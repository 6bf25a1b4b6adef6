package journal

import (
	"log/slog"
	stdsync "sync"
	"time"

	"github.com/hapsync/hapsync/sync"
)

const (
	// maxQueued is how many changes and entries wait for a slow disk. More are lost.
	maxQueued = 100_000
	// lastWrite is how long Close waits for the disk.
	lastWrite = 2 * time.Second
)

// A Writer appends to a journal in its own goroutine, so that callers never wait for the disk.
type Writer struct {
	file File
	log  *slog.Logger
	wake chan struct{} // of size one
	done chan struct{}

	mu     stdsync.Mutex
	queue  []sync.Entry
	queued int // changes and entries
	lost   int // entries
	closed bool
}

// NewWriter returns a Writer, which Run starts.
func NewWriter(file File, log *slog.Logger) *Writer {
	return &Writer{file: file, log: log, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// Add appends an entry soon.
func (w *Writer) Add(e sync.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if weight := len(e.Changes) + 1; w.queued+weight <= maxQueued {
		w.queue, w.queued = append(w.queue, e), w.queued+weight
	} else {
		w.lost++
	}
	w.notify()
}

// Run writes added entries until Close.
func (w *Writer) Run() {
	defer close(w.done)
	failing := false
	for range w.wake {
		entries, lost, closed := w.take()
		err := w.file.Append(entries...)
		if err != nil && !failing {
			w.log.Warn("the journal is not written, and what passes do is lost to hapsync history", "error", err)
		} else if err == nil && failing && len(entries) > 0 {
			w.log.Info("the journal is written again")
		}
		if err == nil && lost > 0 {
			w.log.Warn("the disk is slow, and the journal lacks passes", "lost", lost)
		}
		failing = err != nil || failing && len(entries) == 0
		if closed {
			return
		}
	}
}

// Close makes Run write the rest, and waits for that, for a while.
func (w *Writer) Close() {
	w.mu.Lock()
	w.closed = true
	w.notify()
	w.mu.Unlock()
	timer := time.NewTimer(lastWrite)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
		w.log.Warn("the disk does not answer, and the journal lacks the last passes", "file", w.file.Path)
	}
}

func (w *Writer) take() (entries []sync.Entry, lost int, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	entries, lost = w.queue, w.lost
	w.queue, w.queued, w.lost = nil, 0, 0
	return entries, lost, w.closed
}

func (w *Writer) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
