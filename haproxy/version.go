package haproxy

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// A Version is HAProxy's release branch, such as 3.2.
type Version struct{ Major, Minor int }

// ParseVersion parses the version that "show info" or "haproxy -v" prints, such as "3.0.11-1+deb13u2".
func ParseVersion(s string) (Version, error) {
	major, rest, ok := strings.Cut(s, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		rest = rest[:end]
	}
	ma, errMajor := strconv.Atoi(major)
	mi, errMinor := strconv.Atoi(rest)
	if !ok || errMajor != nil || errMinor != nil {
		return Version{}, fmt.Errorf("%q is not a HAProxy version", s)
	}
	return Version{ma, mi}, nil
}

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

func (v Version) atLeast(major, minor int) bool {
	return cmp.Or(cmp.Compare(v.Major, major), cmp.Compare(v.Minor, minor)) >= 0
}

// Capabilities say what a version of HAProxy can do while it runs. Only CapabilitiesOf compares versions.
type Capabilities struct {
	Version Version
	// CookieLive: "add server" takes a cookie (3.0).
	CookieLive bool
	// WaitRemovable: the command "wait ... srv-removable" exists (3.0).
	WaitRemovable bool
	// InitState: "add server" takes init-state (3.1).
	InitState bool
	// Backends: "add backend", "publish backend" and "del backend" exist (3.4).
	Backends bool
	// ReloadReports: the master answers "reload" at its end, with the result (2.7).
	ReloadReports bool
}

// CapabilitiesOf was tested with 2.6, 3.0, 3.2 and 3.4.
func CapabilitiesOf(v Version) Capabilities {
	return Capabilities{
		Version:       v,
		CookieLive:    v.atLeast(3, 0),
		WaitRemovable: v.atLeast(3, 0),
		InitState:     v.atLeast(3, 1),
		Backends:      v.atLeast(3, 4),
		ReloadReports: v.atLeast(2, 7),
	}
}

// Live reports whether the Runtime API can make the change; if not, why gives the reason.
func (c Capabilities) Live(change Change) (ok bool, why string) {
	switch ch := change.(type) {
	case AddServer:
		if ch.Server.Cookie != "" && !c.CookieLive {
			return false, fmt.Sprintf("HAProxy %s takes no cookie on a server that is added live (3.0 does)", c.Version)
		}
		return true, ""
	case SetServer:
		return liveSet(ch)
	case RemoveServer:
		return true, ""
	case AddBackend, RemoveBackend:
		return false, "the backends of a running process cannot change"
	case SetBackend:
		if have := ch.Have; have.Names != ch.Want.Names {
			if have.Names = ch.Want.Names; have == ch.Want {
				return false, "the rules of a running process cannot change"
			}
		}
		return false, "the options of a backend cannot change in a running process"
	case AddRule, SetRule, RemoveRule:
		return false, "the rules of a running process cannot change"
	}
	return false, "an unknown change"
}

// liveSet reports whether a server can change in place: only address, port, weight, maxconn and state can.
func liveSet(ch SetServer) (bool, string) {
	have := ch.Have
	have.Addr, have.Weight, have.MaxConn, have.State = ch.Want.Addr, ch.Want.Weight, ch.Want.MaxConn, ch.Want.State
	switch {
	case have == ch.Want:
		return true, ""
	case have.Cookie != ch.Want.Cookie:
		return false, "the cookie of a server cannot change in a running process"
	case have.Check != ch.Want.Check:
		return false, "checks cannot be added to or taken from a server in a running process"
	case have.Backup != ch.Want.Backup:
		return false, "backup cannot change in a running process"
	}
	return false, "further parameters of a server cannot change in a running process"
}

// Dynamic reports whether servers can be added to and removed from a running backend with this balance algorithm
// (roundrobin, leastconn, first and random; seen on 2.6, 3.0, 3.2 and 3.4).
func (o BackendOptions) Dynamic() bool {
	switch algorithm, _, _ := strings.Cut(o.Balance, "("); algorithm {
	case "roundrobin", "leastconn", "first", "random":
		return true
	}
	return false
}
