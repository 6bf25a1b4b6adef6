package docker

import (
	"net/netip"
	"time"
)

// A Container runs, or is paused. Its labels, variables and names are not to be trusted.
type Container struct {
	ID, Name string
	Labels   map[string]string
	// Env are its variables, as NAME=VALUE.
	Env []string
	// Started is the engine's time.
	Started time.Time
	// StopSignal is the number of the signal that docker stop sends.
	StopSignal string
	Health     Health
	Paused     bool
	// HostNetwork is set where it has no network of its own: its ports are those of the machine.
	HostNetwork bool
	// Exposed are its TCP ports that the image or the start declares, sorted.
	Exposed []uint16
	// Published are sorted by the port of the container, then by address.
	Published []Published
	// Networks are those in which it has an address, sorted by name.
	Networks []Network
	// Unread is why nothing but ID and Name is known; nil where all is.
	Unread error
}

// A Health is the result of Docker's HEALTHCHECK.
type Health string

// The results, and that there is no HEALTHCHECK.
const (
	Unchecked Health = ""
	Starting  Health = "starting"
	Healthy   Health = "healthy"
	Unhealthy Health = "unhealthy"
)

// Published is a TCP port of a container and where the machine has it. The address may be the unspecified one.
type Published struct {
	Port uint16
	At   netip.AddrPort
}

// A Network gives a container an address.
type Network struct {
	Name string
	IP   netip.Addr
}
