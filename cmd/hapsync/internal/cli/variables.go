package cli

import (
	"maps"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v2"
)

// warnOfVariables logs variables that hapsync does not read and whose names are similar to one that it reads. Others may be the
// operator's own, such as HAPSYNC_VERSION of a script.
func (e Environment) warnOfVariables(c *urfave.Context) {
	if e.Environ == nil || !needsSettings(c.Command) {
		return
	}
	read := variables(c.App.Commands)
	for _, entry := range slices.Sorted(slices.Values(e.Environ())) {
		name, _, _ := strings.Cut(entry, "=")
		word, ours := strings.CutPrefix(name, variablePrefix)
		if read[name] || !ours {
			continue
		}
		if nearest := nearestVariable(read, word); nearest != "" {
			e.Logger(c).Warn("hapsync does not read this variable", "variable", name, "remedy", "did you mean "+nearest+"?")
		}
	}
}

// variables are the names that hapsync reads.
func variables(commands []*urfave.Command) map[string]bool {
	read := map[string]bool{Variable("password"): true}
	for _, cmd := range commands {
		for _, f := range cmd.Flags {
			if s, ok := f.(*Setting); ok {
				read[s.Env[0]] = true
			}
		}
	}
	return read
}

// nearestVariable is the variable that was meant by a word behind HAPSYNC_; empty if none is similar. A short word has more neighbours:
// one letter may be wrong, and two of a longer one.
func nearestVariable(read map[string]bool, word string) (nearest string) {
	least := 2
	if len(word) >= 8 {
		least = 3
	}
	for _, name := range slices.Sorted(maps.Keys(read)) {
		if d := distance(word, strings.TrimPrefix(name, variablePrefix)); d < least {
			nearest, least = name, d
		}
	}
	return nearest
}
