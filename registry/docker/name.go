package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/hapsync/hapsync/registry"
)

// HostName is the name of a host without a label: <machine>_<container>, because a container's name is unique on one machine
// only. The first "_" ends the machine's name, so two pairs never have the same name. A pair with other characters, or too
// long, gets a hash at its end.
func HostName(machine, container string) string {
	name := valid(machine, "-.") + "_" + valid(container, "_-.")
	if name == machine+"_"+container && registry.CheckHost(name) == nil {
		return name
	}
	sum := sha256.Sum256([]byte(machine + "\x00" + container))
	end := "-" + hex.EncodeToString(sum[:4])
	return name[:min(len(name), registry.MaxHost-len(end))] + end
}

// valid replaces all characters except letters, digits and others by "-".
func valid(name, others string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune(others, r):
			return r
		}
		return '-'
	}, name)
}
