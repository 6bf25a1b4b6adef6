package haproxy

import (
	"fmt"
	"time"
)

// A Certificate is a file of a directory that HAProxy loads certificates from. It has no key.
type Certificate struct {
	// File is its name in the directory, quoted where it does not print.
	File string `json:"file" doc:"name of the file in the directory"`
	// Names are those that it is valid for, as far as they are plain; NotAfter is when it expires. Both are empty where nothing could be read from the file.
	Names    []string  `json:"names" doc:"the names that the certificate is for"`
	NotAfter time.Time `json:"not_after" doc:"when it expires; year 1 if the file could not be read"`
	// State says what HAProxy's process has of it.
	State CertificateState `json:"state" doc:"'loaded', 'changed' or 'new' if HAProxy has another one or none, 'bad', 'waiting' if it was written a moment ago, or 'unknown'"`
	// Problem says why it is not put into HAProxy; empty where nothing stands against it.
	Problem string `json:"problem,omitempty" doc:"why it is not put into HAProxy"`
	// Warning is what an operator should know beside that.
	Warning string `json:"warning,omitempty" doc:"what should be fixed"`
}

// A CertificateState says what HAProxy's process has of a certificate.
type CertificateState string

// The states. CertificateUnknown is that of a good file of which HAProxy was not asked, CertificateWaiting that of one that was written
// a moment ago: its writer may not be done.
const (
	CertificateUnknown CertificateState = "unknown"
	CertificateLoaded  CertificateState = "loaded"
	CertificateChanged CertificateState = "changed"
	CertificateNew     CertificateState = "new"
	CertificateBad     CertificateState = "bad"
	CertificateWaiting CertificateState = "waiting"
)

// ExpiresSoon is how long before its end a certificate is warned of: those that renew themselves are renewed a month before.
const ExpiresSoon = 14 * 24 * time.Hour

// expiry is a line that says that a certificate expires soon, or has expired since its file was read; empty where neither holds.
// A file that had expired by then has that as its Problem.
func (c Certificate) expiry(now time.Time) string {
	left := c.NotAfter.Sub(now)
	switch {
	case c.NotAfter.IsZero() || c.State == CertificateBad || left > ExpiresSoon:
		return ""
	case left <= 0:
		return fmt.Sprintf("certificate %s expired on %s: renew it", c.File, c.NotAfter.Format(time.DateOnly))
	case left < 48*time.Hour:
		return fmt.Sprintf("certificate %s expires in %d hours, on %s: renew it", c.File, int(left.Hours()), c.NotAfter.Format(time.DateOnly))
	}
	return fmt.Sprintf("certificate %s expires in %d days, on %s: renew it", c.File, int(left.Hours()/24), c.NotAfter.Format(time.DateOnly))
}

// Warnings are the lines about certificates that an operator should read.
func Warnings(certificates []Certificate, now time.Time) (lines []string) {
	for _, c := range certificates {
		if expiry := c.expiry(now); expiry != "" {
			lines = append(lines, expiry)
		}
		for _, why := range []string{c.Problem, c.Warning} {
			if why != "" {
				lines = append(lines, "certificate "+c.File+": "+why)
			}
		}
	}
	return lines
}
