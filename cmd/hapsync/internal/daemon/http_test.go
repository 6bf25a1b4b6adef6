package daemon

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A deadlined answer knows whether its connection was told to end.
type deadlined struct {
	http.ResponseWriter
	cut bool
}

func (d *deadlined) SetWriteDeadline(time.Time) error {
	d.cut = true
	return nil
}

func TestTheSlowestOfTooManyReadersIsCut(t *testing.T) {
	t.Parallel()
	var r readers
	var all []*deadlined
	come := func() func() {
		d := &deadlined{ResponseWriter: httptest.NewRecorder()}
		all = append(all, d)
		return r.add(http.NewResponseController(d))
	}
	for range maxReaders {
		come()
	}
	gone := come()
	gone()
	come()
	come()
	for i, d := range all {
		if want := i < 2; d.cut != want {
			t.Errorf("reader %d: cut %t", i, d.cut)
		}
	}
}
