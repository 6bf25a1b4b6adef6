package haproxy

import (
	"strconv"
	"time"
)

// A ServerStatus is how a server of the running process is, in HAProxy's words.
type ServerStatus struct {
	Domain, Name string
	Addr         string
	Cookie       string
	// Status is such as "UP", "DOWN 1/2", "no check", "MAINT" or "DRAIN".
	Status string
	Weight int
	Backup bool
	// Sessions are those that are under way.
	Sessions int
	// Check is the outcome of the last check, such as "L4CON", Code its HTTP status, 0 where it has none, and Detail what
	// HAProxy says of it. All are empty where there are no checks.
	Check, Detail string
	Code          int
	// Since is how long the status has been this one, to the second.
	Since time.Duration
}

// LastCheck is the outcome of the last check in a few words; empty where there was none.
func (s ServerStatus) LastCheck() string {
	text := s.Check
	if s.Code != 0 {
		text += " " + strconv.Itoa(s.Code)
	}
	if s.Detail != "" {
		text += " " + strconv.QuoteToASCII(s.Detail)
	}
	return text
}

// A HealthCheck is a check that HAProxy makes of a server, as far as hapsync makes the same: a connection, or a request for Path
// with the Host that is answered with one of Status. Path is empty for a mere connection.
type HealthCheck struct {
	Path, Host string
	// Status are codes and ranges of them, such as "200-299,401"; empty for 200 to 399.
	Status string
	// Timeout bounds all of it.
	Timeout time.Duration
}

// A Level says how a Finding is to be taken.
type Level string

// The levels of findings.
const (
	LevelOK   Level = "ok"
	LevelWarn Level = "warn" // works, but not as well as it could
	LevelFail Level = "fail" // hapsync cannot do its work
)

// A Finding is what Check says of one thing.
type Finding struct {
	Level Level
	// What was looked at, Detail what was seen, Remedy what to do about it.
	What, Detail, Remedy string
}
