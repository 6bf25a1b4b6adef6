package runtimeapi

import (
	"maps"
	"slices"
)

// Known are all backends of the cache, by name, for another goroutine: they are never written to. It is nil without a cache.
func (m *Cache) Known() map[string]*Backend {
	if m == nil {
		return nil
	}
	return maps.Clone(m.backends)
}

// Like reports whether both are the same, apart from what changes by itself: sessions, and whether servers are up.
func (b Backend) Like(other Backend) bool {
	return b.Name == other.Name && b.Mode == other.Mode && b.Balance == other.Balance && b.Cookie == other.Cookie &&
		b.Unpublished == other.Unpublished && slices.EqualFunc(b.Servers, other.Servers, Server.like)
}

func (s Server) like(other Server) bool {
	s.Status, s.Sessions, s.Undecided, s.Down = other.Status, other.Sessions, other.Undecided, other.Down
	return s == other
}
