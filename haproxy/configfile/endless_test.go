package configfile

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/haproxytech/client-native/v5/config-parser/params"
)

// halfWritten are lines that make client-native 5.1.27 loop forever.
var halfWritten = []string{
	"server web1 10.0.0.1:80 inter", "server web1 10.0.0.1:80 check weight", "server web1 10.0.0.1:80 check maxconn # later",
	"server web1 10.0.0.1:80 init-addr", "server web1 10.0.0.1:80 proto(x) h2", "server web1 10.0.0.1:80 check(1)",
	"server web1 10.0.0.1:80 set-proxy-v2-tlv-fmt(1 %[x]", "server web1 10.0.0.1:80 set-proxy-v2-tlv-fmt %[x]",
	"default-server inter", "default-server\tweight", "server-template web 3 10.0.0.1:80 cookie", "  server web1 10.0.0.1:80 sni weight weight",
}

var wholeLines = []string{
	"server web1 10.0.0.1:80 check inter 2s weight 3", "server web1 10.0.0.1:80 sni req.hdr(host)", "server web1 10.0.0.1:80 unknown",
	"server web1 10.0.0.1:80 set-proxy-v2-tlv-fmt(0x20) %[x] check", "default-server inter 2s", "server web1", "server web1 weight",
	"default-server", "# server web1 10.0.0.1:80 inter", "use-server web1 if weight", "server web1 10.0.0.1:80 inter 'weight'",
}

func TestLinesThatALibraryReadsWithoutEndDoNotReachIt(t *testing.T) {
	t.Parallel()
	for _, l := range halfWritten {
		if n := endlessLine("backend b\n    " + l + "\n"); n != 2 {
			t.Errorf("%q: line %d", l, n)
		}
		if n, ok := reproduces("backend b\n    " + l + "\n"); ok || n != 2 {
			t.Errorf("%q is reproduced: %d", l, n)
		}
	}
	for _, l := range wholeLines {
		text := "backend b\n    " + l + "\n"
		if n := endlessLine(text); n != 0 {
			t.Errorf("%q: line %d", l, n)
		}
		reproduces(text) // ends
	}
}

func TestALibraryThatHangsOrPanicsIsGivenUpOn(t *testing.T) {
	t.Parallel()
	l := newLibrary("it", 50*time.Millisecond)
	end := make(chan struct{})
	for range 2 {
		if _, err := use(l, func() (int, error) { <-end; return 1, nil }); !errors.Is(err, errLibrary) || !strings.Contains(err.Error(), "without an end") {
			t.Errorf("got %v", err)
		}
	}
	close(end)
	deadline := time.After(30 * time.Second)
	for l.overdue.Load() {
		select {
		case <-deadline:
			t.Fatal("it has returned, and is given up on still")
		case <-time.After(time.Millisecond):
		}
	}
	l.limit = time.Minute
	if _, err := use(l, func() (int, error) { panic("no") }); !errors.Is(err, errLibrary) || !strings.Contains(err.Error(), "it panicked: no") {
		t.Errorf("got %v", err)
	}
	if n, err := use(l, func() (int, error) { return 7, nil }); n != 7 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

// FuzzServerOptions checks that client-native ends on all options that endless accepts.
func FuzzServerOptions(f *testing.F) {
	for _, l := range append(halfWritten, wholeLines...) {
		f.Add(l)
	}
	f.Fuzz(func(t *testing.T, text string) {
		options := strings.Fields(text)
		if endless(options) {
			return
		}
		ended := make(chan struct{})
		go func() { params.ParseServerOptions(options); close(ended) }()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatalf("%q is read without end", options)
		}
	})
}
