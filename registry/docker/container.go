package docker

import (
	"net/netip"
	"time"
)

// A Container is running or paused. Its labels, variables and names are not to be trusted.
type Container struct {
	ID, Name string
	Labels   map[string]string
	// Env are its variables, as NAME=VALUE.
	Env []string
	// Started is by the engine's clock.
	Started time.Time
	// StopSignal is the number of the signal that docker stop sends.
	StopSignal string
	Health     Health
	Paused     bool
	// HostNetwork is set if it uses the network of the machine: its ports are the machine's.
	HostNetwork bool
	// Exposed are the TCP ports that its image or its start declares, sorted.
	Exposed []uint16
	// Published ports are sorted by the container's port, then by address.
	Published []Published
	// Networks are those in which it has an address, sorted by name.
	Networks []Network
	// Unread is why only ID and Name are known; nil if all is known.
	Unread error
}

// A Health is the result of Docker's HEALTHCHECK.
type Health string

// Results of a HEALTHCHECK; Unchecked if there is none.
const (
	Unchecked Health = ""
	Starting  Health = "starting"
	Healthy   Health = "healthy"
	Unhealthy Health = "unhealthy"
)

// Published is a TCP port of a container and its address on the machine, possibly the unspecified address.
type Published struct {
	Port uint16
	At   netip.AddrPort
}

// A Network gives a container an address.
type Network struct {
	Name string
	IP   netip.Addr
}
