package haproxy

import (
	"fmt"
	"maps"
	"slices"
)

// A Look is the result of a look at everything beside the passes: what has changed since HAProxy was read last.
type Look struct {
	Identity
	Surroundings Surroundings
	// OldWorkers is as in State.
	OldWorkers int
	// Changed are the domains that the process no longer runs as they were read last, sorted.
	Changed []string
	// More is set if Changed is not all: a pass over everything has to find the rest.
	More bool
}

// Surroundings are what a State of everything has besides backends and rules. They also change without a change of the files.
type Surroundings struct {
	warnings            []string
	noWrite             string
	binds               Binds
	descriptors         Descriptors
	staleMap, unclaimed bool
}

// Surroundings are those of a State of everything.
func (s State) Surroundings() Surroundings {
	noWrite := ""
	if s.NoWrite != nil {
		noWrite = fmt.Sprint(s.NoWrite)
	}
	return Surroundings{s.Warnings, noWrite, s.Binds, s.Descriptors, s.StaleMap, s.Unclaimed}
}

// Equal reports whether both are the same.
func (s Surroundings) Equal(other Surroundings) bool {
	return slices.Equal(s.warnings, other.warnings) && s.noWrite == other.noWrite && s.descriptors == other.descriptors &&
		maps.Equal(s.binds.Local, other.binds.Local) && maps.Equal(s.binds.Listeners, other.binds.Listeners) &&
		s.staleMap == other.staleMap && s.unclaimed == other.unclaimed
}
