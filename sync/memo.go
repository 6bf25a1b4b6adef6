package sync

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"

	"github.com/hapsync/hapsync/registry"
)

// A Keeper keeps what an agent has to know when it starts anew.
type Keeper interface {
	// Keep replaces what is kept, Kept returns it; nil where nothing is.
	Keep(memo []byte) error
	Kept() ([]byte, error)
}

// A memo is the part of an agent's past that outlives it: which registry it followed, for the safeguard against another
// one, and what operators set on the socket.
type memo struct {
	Version   int
	Prefix    string
	ClusterID uint64
	Revision  registry.Revision
	Overrides []keptOverride
}

type keptOverride struct {
	Backend, Server string
	override
}

const memoVersion = 1

func (p past) memo() memo {
	m := memo{Version: memoVersion, Prefix: p.confirmed.Prefix, ClusterID: p.confirmed.ClusterID, Revision: p.confirmed.Revision}
	for name, set := range p.overrides {
		m.Overrides = append(m.Overrides, keptOverride{name.backend, name.server, set})
	}
	slices.SortFunc(m.Overrides, func(a, b keptOverride) int {
		return cmp.Or(cmp.Compare(a.Backend, b.Backend), cmp.Compare(a.Server, b.Server))
	})
	return m
}

// recall takes over what an earlier agent kept. What cannot be read is as good as nothing.
func (a *Agent) recall() {
	text, err := a.cfg.Keeper.Kept()
	var m memo
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		a.cfg.Logger.Warn("what an earlier agent kept in mind cannot be read", "error", err)
	}
	if err != nil || m.Version != memoVersion {
		return
	}
	a.kept = text
	a.past.confirmed = registry.Snapshot{Prefix: m.Prefix, ClusterID: m.ClusterID, Revision: m.Revision}
	for _, o := range m.Overrides {
		a.past.overrides[serverName{o.Backend, o.Server}] = o.override
	}
}

// keep sees to it that the next agent knows.
func (a *Agent) keep() {
	text, err := json.Marshal(a.past.memo())
	if err == nil && bytes.Equal(text, a.kept) {
		return
	}
	if err == nil {
		err = a.cfg.Keeper.Keep(text)
	}
	if err != nil {
		a.cfg.Logger.Debug("nothing is kept in mind for the next agent", "error", err) // a full disk has been told
		return
	}
	a.kept = text
}
