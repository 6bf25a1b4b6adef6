package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/hapsync/hapsync/registry"
)

// HostName is the name that a container has as a host where its labels give none: <machine>_<container>. Container names
// are unique on a machine only. The first "_" ends the machine's name, so no two pairs have one name in common; what
// cannot stand as it is, or is too long, gets a hash of the pair at its end.
func HostName(machine, container string) string {
	name := valid(machine, "-.") + "_" + valid(container, "_-.")
	if name == machine+"_"+container && registry.CheckHost(name) == nil {
		return name
	}
	sum := sha256.Sum256([]byte(machine + "\x00" + container))
	end := "-" + hex.EncodeToString(sum[:4])
	return name[:min(len(name), registry.MaxHost-len(end))] + end
}

// valid replaces what is neither a letter, a digit nor one of the others.
func valid(name, others string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune(others, r):
			return r
		}
		return '-'
	}, name)
}
