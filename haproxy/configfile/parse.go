package configfile

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/haproxytech/client-native/v5/config-parser/common"
	"github.com/haproxytech/client-native/v5/config-parser/params"
	parser "github.com/haproxytech/config-parser/v5"
	"github.com/haproxytech/config-parser/v5/options"
)

// A library is used by one goroutine at a time, because all its parsers share variables. Each use has a timeout.
type library struct {
	name    string
	limit   time.Duration
	gate    chan struct{} // of size one: full while the library is used
	overdue atomic.Bool   // a call was given up, and has not returned yet
}

func newLibrary(name string, limit time.Duration) *library {
	return &library{name: name, limit: limit, gate: make(chan struct{}, 1)}
}

// On an idle machine the longest call takes a second.
var (
	clientNative = newLibrary("client-native", 30*time.Second)
	configParser = newLibrary("config-parser", 30*time.Second)
)

// errLibrary is wrapped if a library panics or does not return.
var errLibrary = errors.New("a fault of the library's: please report it with the file")

// use lets a library do some work. It returns an error if the library panics, as both do on some malformed lines. It also returns an error
// if the work takes too long. There is then no other call until that one returns.
func use[T any](l *library, work func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	late := answer{err: fmt.Errorf("%s has been reading HAProxy's configuration for %s without an end (%w)", l.name, l.limit, errLibrary)}
	if l.overdue.Load() {
		return late.value, late.err
	}
	timeout := time.NewTimer(l.limit)
	defer timeout.Stop()
	select {
	case l.gate <- struct{}{}:
	case <-timeout.C:
		return late.value, late.err
	}
	done := make(chan answer, 1)
	go func() {
		defer func() {
			l.overdue.Store(false)
			<-l.gate
		}()
		defer func() {
			if r := recover(); r != nil {
				done <- answer{err: fmt.Errorf("%s panicked: %v (%w)", l.name, r, errLibrary)}
			}
		}()
		value, err := work()
		done <- answer{value, err}
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-timeout.C:
	}
	l.overdue.Store(true)
	select {
	case a := <-done: // just now
		l.overdue.Store(false)
		return a.value, a.err
	default:
		return late.value, late.err
	}
}

// parse reads a text with config-parser.
func parse(text string) (parser.Parser, error) {
	return use(configParser, func() (parser.Parser, error) { return parser.New(options.String(text)) })
}

// endlessLine is the first line of a text that makes client-native loop forever; 0 if there is none.
func endlessLine(text string) int {
	n := 0
	for l := range strings.Lines(text) {
		n++
		before := map[string]int{"server": 3, "server-template": 4, "default-server": 1}[firstWord(l)]
		if before == 0 {
			continue
		}
		words, _ := common.StringSplitWithCommentIgnoreEmpty(strings.TrimSpace(l))
		if len(words) > before && endless(words[before:]) {
			return n
		}
	}
	return 0
}

// endless reports whether client-native (seen on 5.1.27) would loop forever on the options of a server. It does so on a known option
// without its value, and on one with unexpected parentheses. HAProxy accepts some of these.
func endless(options []string) bool {
	const withID = "set-proxy-v2-tlv-fmt"
	for i := 0; i < len(options); i++ {
		name, rest, parentheses := strings.Cut(options[i], "(")
		if name == withID {
			if i++; i == len(options) || strings.Contains(rest, "(") || !strings.HasSuffix(rest, ")") {
				return true
			}
			continue
		}
		known := params.ParseServerOptions([]string{name, "x"})
		switch {
		case len(known) == 0:
		case parentheses:
			return true
		case known[0].String() != name: // with a value
			if i++; i == len(options) {
				return true
			}
		}
	}
	return false
}
