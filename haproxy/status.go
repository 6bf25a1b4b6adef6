package haproxy

import (
	"strconv"
	"time"
)

// A ServerStatus is the state of a server of the running process, in HAProxy's words.
type ServerStatus struct {
	Domain, Name string
	Addr         string
	Cookie       string
	// Status is for example "UP", "DOWN 1/2", "no check", "MAINT" or "DRAIN".
	Status string
	Weight int
	Backup bool
	// Sessions is the number of current sessions.
	Sessions int
	// Check is the result of the last check, such as "L4CON", and Detail is HAProxy's text about it. Code is its HTTP status, 0 if it has
	// none. All are empty without checks.
	Check, Detail string
	Code          int
	// Since is how long the server has had this status, to the second.
	Since time.Duration
}

// LastCheck is the result of the last check as text; empty if there was none.
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

// A HealthCheck is a check of HAProxy that hapsync can make itself: a connection, or a request for Path with a Host header, to which the
// server must answer with one of Status. Path is empty if HAProxy only connects.
type HealthCheck struct {
	Path, Host string
	// Status is a list of codes and ranges, such as "200-299,401"; empty means 200 to 399.
	Status string
	// Timeout is for the whole check.
	Timeout time.Duration
}

// A Level is how serious a Finding is.
type Level string

// The levels of findings.
const (
	LevelOK   Level = "ok"
	LevelWarn Level = "warn" // it works, but not as well as it could
	LevelFail Level = "fail" // hapsync cannot do its work
)

// A Finding is one result of Check.
type Finding struct {
	Level Level
	// What was checked, Detail what was found, Remedy what to do about it.
	What, Detail, Remedy string
}
