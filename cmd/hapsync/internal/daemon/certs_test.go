package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

// A fakeLoader is HAProxy with one certificate. It counts the calls.
type fakeLoader struct {
	certificate haproxy.Certificate
	err         error
	asked       []time.Duration
	start       time.Time
}

func (l *fakeLoader) LoadCertificates(context.Context, string) (loaded, all []haproxy.Certificate, err error) {
	l.asked = append(l.asked, time.Since(l.start))
	return nil, []haproxy.Certificate{l.certificate}, l.err
}

func TestCertificatesAreTriedAgainAsOftenAsThereIsReason(t *testing.T) {
	good := haproxy.Certificate{File: "a.pem", State: haproxy.CertificateLoaded}
	for _, c := range []struct {
		name  string
		state func(*fakeLoader)
		every time.Duration
	}{
		{"in line", func(*fakeLoader) {}, certsResync},
		{"a file that was just written", func(l *fakeLoader) { l.certificate.State = haproxy.CertificateWaiting }, certsInterval},
		{"HAProxy refuses it", func(l *fakeLoader) {
			l.certificate.State, l.certificate.Problem = haproxy.CertificateChanged, "refused"
		}, certsRetry},
		{"HAProxy is away", func(l *fakeLoader) { l.err = errors.New("away") }, certsRetry},
		// Only another file fixes that.
		{"a bad file", func(l *fakeLoader) { l.certificate.State, l.certificate.Problem = haproxy.CertificateBad, "no key" }, certsResync},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &fakeLoader{certificate: good, start: time.Now()}
				c.state(l)
				ctx, cancel := context.WithTimeout(t.Context(), 3*certsResync)
				defer cancel()
				certs := Certs{Dir: t.TempDir(), Loader: l, Log: slog.New(slog.DiscardHandler)}
				certs.Run(ctx)
				if len(l.asked) < 3 || l.asked[0] != 0 {
					t.Fatalf("asked after %v", l.asked)
				}
				if gap := l.asked[2] - l.asked[1]; gap < c.every || gap > c.every+certsInterval {
					t.Errorf("asked after %v: not every %v", l.asked[:3], c.every)
				}
			})
		})
	}
}

func TestAWarningOfACertificateIsLoggedOnceAndWhenItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fakeLoader{certificate: haproxy.Certificate{File: "a.pem", State: haproxy.CertificateLoaded, NotAfter: time.Now().UTC().Add(10 * 24 * time.Hour)}}
		var log bytes.Buffer
		certs := Certs{Dir: t.TempDir(), Loader: l, Log: slog.New(slog.NewTextHandler(&log, nil))}
		first := time.Now()
		for range 3 {
			certs.look(t.Context())
			<-time.After(24 * time.Hour) // fewer days are left each time
		}
		for warning, since := range certs.Warnings() {
			if !since.Equal(first) {
				t.Errorf("%q is there since %s, not %s", warning, since, first)
			}
		}
		l.certificate.NotAfter = time.Now().UTC().Add(90 * 24 * time.Hour)
		certs.look(t.Context())
		var lines []string
		for line := range strings.Lines(log.String()) {
			_, after, _ := strings.Cut(line, " ") // the time
			lines = append(lines, after)
		}
		want := []string{
			"level=WARN msg=\"a certificate needs attention\" what=\"certificate a.pem expires in 10 days, on 2000-01-11: renew it\"\n",
			"level=INFO msg=\"no longer so\" what=\"certificate a.pem expires in 8 days, on 2000-01-11: renew it\"\n",
		}
		if !slices.Equal(lines, want) {
			t.Errorf("the log has %q\nnot %q", lines, want)
		}
	})
}
