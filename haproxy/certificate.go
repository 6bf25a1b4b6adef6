package haproxy

import (
	"fmt"
	"time"
)

// A Certificate describes a file in a directory from which HAProxy loads certificates, without the private key.
type Certificate struct {
	// File is its name in the directory, quoted if it is not printable.
	File string `json:"file" doc:"name of the file in the directory"`
	// Names are the plain ones among the names that it is valid for. NotAfter is when it expires. Both are zero for an unreadable file.
	Names    []string  `json:"names" doc:"the names that the certificate is for"`
	NotAfter time.Time `json:"not_after" doc:"when it expires; year 1 if the file could not be read"`
	// State compares it with what HAProxy's process has loaded.
	State CertificateState `json:"state" doc:"'loaded', 'changed' or 'new' if HAProxy has another one or none, 'bad', 'waiting' if it was written a moment ago, or 'unknown'"`
	// Problem says why hapsync does not put it into HAProxy; empty if nothing prevents that.
	Problem string `json:"problem,omitempty" doc:"why it is not put into HAProxy"`
	// Warning says what else an operator should fix.
	Warning string `json:"warning,omitempty" doc:"what should be fixed"`
}

// A CertificateState compares a certificate file with what HAProxy's process has loaded.
type CertificateState string

// The states. With CertificateUnknown the file is good, and HAProxy was not asked. With CertificateWaiting the file was written a moment
// ago, and may be incomplete.
const (
	CertificateUnknown CertificateState = "unknown"
	CertificateLoaded  CertificateState = "loaded"
	CertificateChanged CertificateState = "changed"
	CertificateNew     CertificateState = "new"
	CertificateBad     CertificateState = "bad"
	CertificateWaiting CertificateState = "waiting"
)

// ExpiresSoon is how long before the end hapsync warns. Automatic renewal usually happens a month before the end.
const ExpiresSoon = 14 * 24 * time.Hour

// expiry warns that a certificate expires soon, or expired after its file was read; else it is empty. If it had expired before that,
// Problem says so.
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

// Warnings are the warnings about certificates, one line each.
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
