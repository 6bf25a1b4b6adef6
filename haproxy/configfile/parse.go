package configfile

import (
	stdsync "sync"

	parser "github.com/haproxytech/config-parser/v5"
	"github.com/haproxytech/config-parser/v5/options"
)

// libraries is held while client-native or config-parser are at work: they keep things in variables that all their
// parsers share, and the file is read by one goroutine while another one writes it.
var libraries stdsync.Mutex

// parse has config-parser read a text. It panics on some malformed lines.
func parse(text string) (parser.Parser, error) {
	libraries.Lock()
	defer libraries.Unlock()
	return parser.New(options.String(text))
}
