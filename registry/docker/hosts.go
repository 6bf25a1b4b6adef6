package docker

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/registry"
)

// Settings say how containers become hosts.
type Settings struct {
	// Machine is the first part of a host's name, if the container names none.
	Machine string
	// IP is where HAProxy reaches the published ports of this machine.
	IP netip.Addr
	// Internal uses the containers' addresses in their networks, not the published ports.
	Internal bool
	// RegistratorNames also accepts SERVICE_NAME and SERVICE_<port>_NAME.
	RegistratorNames bool
	// OneKey registers hosts in one key, not as ip and port.
	OneKey bool
	// Domains are those that containers may serve.
	Domains registry.Patterns
	// Addresses says which addresses hosts may have.
	Addresses registry.Addresses
}

// maxServices is how many domains one container may name.
const maxServices = 32

// Label is a label that every relevant container has; empty if there is no such label.
func (s Settings) Label() string {
	if s.RegistratorNames {
		return ""
	}
	return LabelDomain
}

// A Host is a container as a host in the registry, under one name.
type Host struct {
	ID, Container string // the container's ID and its name
	Domain        string // in lower case
	registry.Host        // ready, or maint if the container is paused or not healthy
	// Check is "tcp", an HTTP path, or empty.
	Check string
}

// A Key is the place of a host in the registry.
type Key struct{ Domain, Host string }

// Key is the place of the host.
func (h Host) Key() Key { return Key{h.Domain, h.Name} }

// Hosts returns the hosts of the containers, sorted, each key once; and the problems, sorted. If several containers want one
// key, it goes to the one whose ID is in held, or else to the first one.
func (s Settings) Hosts(running []Container, held map[Key]string) ([]Host, []Problem) {
	var hosts []Host
	var problems []Problem
	for _, c := range running {
		some, wrong := s.hostsOf(c)
		hosts = append(hosts, some...)
		for _, p := range wrong {
			p.Container = c.Name
			problems = append(problems, p)
		}
	}
	slices.SortStableFunc(hosts, func(a, b Host) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Name, b.Name),
			compareHeld(a, b, held), cmp.Compare(a.Container, b.Container))
	})
	var once []Host
	for _, h := range hosts {
		last := len(once) - 1
		switch {
		case last < 0 || once[last].Key() != h.Key():
			once = append(once, h)
		case once[last].ID != h.ID || once[last].Addr != h.Addr:
			problems = append(problems, Problem{Container: h.Container, Label: LabelHost, Reason: fmt.Sprintf(
				"%s/%s is container %s already: give each container a name of its own with the label", h.Domain, h.Name, once[last].Container)})
		}
	}
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Container, b.Container), cmp.Compare(a.Label, b.Label), cmp.Compare(a.Reason, b.Reason))
	})
	return once, slices.Compact(problems)
}

// compareHeld puts first the host that holds the key already.
func compareHeld(a, b Host, held map[Key]string) int {
	holder, there := held[a.Key()]
	switch {
	case !there || a.ID == b.ID:
		return 0
	case holder == a.ID:
		return -1
	case holder == b.ID:
		return 1
	}
	return 0
}

// hostsOf returns the hosts of one container: none while Docker's HEALTHCHECK is starting.
func (s Settings) hostsOf(c Container) ([]Host, []Problem) {
	if c.Unread != nil {
		return nil, []Problem{{Reason: c.Unread.Error()}}
	}
	hosts, problems := s.decode(c)
	if c.Health == Starting {
		return nil, problems
	}
	for i := range hosts {
		if c.Paused || c.Health == Unhealthy {
			hosts[i].State = registry.Maint
		}
	}
	return hosts, problems
}

// Compare orders by domain, then by host.
func (k Key) Compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Domain, other.Domain), cmp.Compare(k.Host, other.Host))
}

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
