package driver

import (
	"context"

	"github.com/hapsync/hapsync/haproxy"
)

// Lock makes this process the only writer of the managed file until unlock is called. An error that wraps ErrLocked says
// who holds it. What a process that was killed amid a reload has left for HAProxy to read is cleared.
func (h *Instance) Lock() (unlock func() error, err error) {
	if unlock, err = h.files.Lock(); err != nil {
		return nil, err
	}
	if f, err := h.files.Reread(); err == nil && leftHealth(f.Base.StateFile) {
		h.clearHealth(f.Base.StateFile)
	}
	return unlock, nil
}

// Commit edits the managed file in one transaction of client-native; the errors are those of Files.Commit.
func (h *Instance) Commit(ctx context.Context, want haproxy.Config, base haproxy.Digest) error {
	return h.files.Commit(ctx, want, base, h.rememberLoaded)
}

// Rewrite splices our lines into the managed file; the errors are those of Files.Commit.
func (h *Instance) Rewrite(ctx context.Context, want haproxy.Config, base haproxy.Digest) error {
	return h.files.Rewrite(ctx, want, base, h.rememberLoaded)
}

// Amend brings backends that the managed file has to what is wanted of them, as Files.Amend does.
func (h *Instance) Amend(ctx context.Context, backends []haproxy.Backend) error {
	return h.files.Amend(ctx, backends, h.rememberLoaded)
}

// Claim keeps which words of the file are there because keys say so, as Files.Claim does.
func (h *Instance) Claim(want haproxy.Config) error { return h.files.Claim(want) }

// Keep keeps a text beside the managed file. It outlives this process, but not a crash of the machine.
func (h *Instance) Keep(memo []byte) error { return h.files.Keep(memo) }

// Kept is what Keep kept last; nil where there is nothing.
func (h *Instance) Kept() ([]byte, error) { return h.files.Kept() }

// Preview is the text of the managed file, and the one that a Rewrite would make of it.
func (h *Instance) Preview(want haproxy.Config) (have, next string, err error) {
	return h.files.Preview(want)
}

// Files is what the files say. The process is not asked.
func (h *Instance) Files() (haproxy.State, error) { return h.files.State() }

// Waiting tells, with Background, what takes longer than a few seconds right now: haproxy -c, a reload, the process's
// socket or the disk. Of several it is the one that has taken longest. Any goroutine may call it.
func (h *Instance) Waiting() (wait haproxy.Wait, long bool) { return h.waits.Longest() }
