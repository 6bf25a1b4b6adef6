package configfile

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// checkTimeout is the timeout of hapsync's own health checks. HAProxy's checks decide about slower servers.
const checkTimeout = 2 * time.Second

// plainWords are the words of a server that do not change how it is checked, with the number of their arguments.
var plainWords = map[string]int{
	"check": 0, "no-check": 0, "backup": 0, "no-backup": 0, "non-stick": 0,
	"cookie": 1, "weight": 1, "maxconn": 1, "minconn": 1, "maxqueue": 1, "slowstart": 1, "id": 1, "guid": 1,
	"inter": 1, "fastinter": 1, "downinter": 1, "rise": 1, "fall": 1,
	"on-marked-down": 1, "on-marked-up": 1, "pool-low-conn": 1, "pool-max-conn": 1, "pool-purge-delay": 1, "max-reuse": 1,
}

// PlainServer reports whether the words of a server or of a default-server line do not change how it is checked.
func PlainServer(words string) bool {
	w := strings.Fields(words)
	for len(w) > 0 {
		arguments, plain := plainWords[w[0]]
		if !plain || len(w) <= arguments {
			return false
		}
		w = w[1+arguments:]
	}
	return true
}

// HealthCheck is the check of a backend's servers. If the file does not have the backend yet, it is that of a new backend. ok is false if a
// line of the backend or of its defaults, or a default-server word, may make it another check than hapsync writes.
func (f Reading) HealthCheck(backend string) (check haproxy.HealthCheck, ok bool) {
	if !PlainServer(f.DefaultServer(backend)) {
		return check, false
	}
	b, written := haproxy.FindBackend(f.Managed.Config.Backends, backend)
	domain, _ := haproxy.DomainOf(backend)
	check = haproxy.HealthCheck{Path: b.Options.Check, Host: cmp.Or(b.Options.CheckHost, domain), Timeout: checkTimeout}
	lines := f.inherited(f.at, f.Managed.fresh()).lines
	own := len(lines)
	if written {
		s := f.Managed.backends[backend]
		lines, own = f.effective(f.at, s), len(f.inherited(f.at, s).lines)
	}
	for i, l := range lines {
		w := expandWords(l.raw, os.Getenv)
		switch {
		case len(w) == 0:
		case i >= own && check.Path != "" && roleOf(l, true) == roleCheck:
		case i >= own && roleOf(l, false) == roleMarked && len(w) == 4 && w[2] == "status":
			check.Status = w[3]
		case changesCheck(l.raw, w):
			return check, false
		case len(w) >= 3 && w[0] == "timeout" && (w[1] == "check" || w[1] == "connect"):
			limit, known := duration(w[2])
			if !known {
				return check, false
			}
			check.Timeout = min(check.Timeout, limit)
		}
	}
	return check, true
}

// changesCheck reports whether a line of a backend or of its defaults may change the check. The words of server lines are handled elsewhere.
func changesCheck(raw string, w []string) bool {
	switch w[0] {
	case "server", "server-template", "default-server", "timeout":
		return false
	case "source", "dispatch":
		return true
	}
	words := w[:1]
	if slices.Contains([]string{"option", "no", "default"}, w[0]) {
		words = w[:min(len(w), 3)]
		if strings.Contains(raw, "$") {
			return true
		}
	}
	return strings.HasPrefix(strings.TrimLeft(raw, " \t\""), "$") || slices.ContainsFunc(words, func(word string) bool {
		return word != "log-health-checks" && (strings.Contains(word, "check") || strings.Contains(word, "chk"))
	})
}

// duration parses a time of HAProxy's: a number with a unit, or of milliseconds.
func duration(s string) (time.Duration, bool) {
	digits := strings.TrimRight(s, "usmhd")
	unit, known := map[string]time.Duration{
		"": time.Millisecond, "us": time.Microsecond, "ms": time.Millisecond, "s": time.Second,
		"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
	}[s[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 31)
	return time.Duration(n) * unit, known && err == nil && n > 0
}
