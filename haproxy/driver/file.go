package driver

import "github.com/hapsync/hapsync/haproxy"

// Lock makes this process the only writer of the managed file until unlock is called. An error that wraps ErrLocked names the other writer.
// Lock also clears a server-state file that a process left behind when it was killed during a reload.
func (h *Instance) Lock() (unlock func() error, err error) {
	if unlock, err = h.files.Lock(); err != nil {
		return nil, err
	}
	if f, err := h.files.Reread(); err == nil && leftHealth(f.Base.StateFile) {
		h.clearHealth(f.Base.StateFile)
	}
	return unlock, nil
}

// Claim records which words of the file are there because of keys of the registry, as Files.Claim does.
func (h *Instance) Claim(want haproxy.Config) error { return h.files.Claim(want) }

// Keep stores a text beside the managed file. It survives this process, but not a crash of the machine.
func (h *Instance) Keep(memo []byte) error { return h.files.Keep(memo) }

// Kept is the text of the last Keep; nil if there is none.
func (h *Instance) Kept() ([]byte, error) { return h.files.Kept() }

// Preview is the text of the managed file, and the text that Rewrite would write.
func (h *Instance) Preview(want haproxy.Config) (have, next string, err error) {
	return h.files.Preview(want)
}

// Files is the state of the files. It does not ask the process.
func (h *Instance) Files() (haproxy.State, error) { return h.files.State() }

// Waiting is a step that takes longer than a few seconds right now: haproxy -c, a reload, the process's socket or the disk. It is the
// oldest one. Only an Instance with Background has it. Any goroutine may call it.
func (h *Instance) Waiting() (wait haproxy.Wait, long bool) { return h.waits.Longest() }
