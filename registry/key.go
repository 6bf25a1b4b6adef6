package registry

import "time"

// A Key is a key of a domain as it is in etcd.
type Key struct {
	// Key and Value are printable, cut off where they are long.
	Key   string `json:"key" doc:"the key"`
	Value string `json:"value" doc:"its value, cut off if it is long"`
	// Host is the part of the key after the domain, where there is one with something below, or with an address.
	Host string `json:"host,omitempty" doc:"the host that it belongs to"`
	// Revision is that of the last put.
	Revision Revision `json:"revision" doc:"revision of its last put"`
	// Lease is in hexadecimal, as etcdctl has it; empty for a key without one. Left is how long it goes on unless it is kept
	// alive.
	Lease       string        `json:"lease,omitempty" doc:"its lease, in hexadecimal as etcdctl has it"`
	Left        time.Duration `json:"-"`
	LeftSeconds float64       `json:"left_seconds,omitempty" doc:"for how long the lease goes on unless it is kept alive"`
}
