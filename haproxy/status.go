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
