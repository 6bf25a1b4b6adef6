package registry

import "time"

// A Key is a key of a domain as it is in etcd.
type Key struct {
	// Key and Value are printable, cut off where they are long.
	Key   string `json:"key"`
	Value string `json:"value"`
	// Host is the part of the key after the domain, where there is one with something below.
	Host string `json:"host,omitempty"`
	// Revision is that of the last put.
	Revision Revision `json:"revision"`
	// Lease is in hexadecimal, as etcdctl has it; empty for a key without one. Left is how long it goes on unless it is kept
	// alive.
	Lease       string        `json:"lease,omitempty"`
	Left        time.Duration `json:"-"`
	LeftSeconds float64       `json:"left_seconds,omitempty"`
}
