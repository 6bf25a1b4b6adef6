package haproxy

import (
	stdsync "sync"

	parser "github.com/haproxytech/config-parser/v5"
	"github.com/haproxytech/config-parser/v5/options"
)

// parsing is held while config-parser reads a text: it keeps the name of the defaults section in a variable that all its
// parsers share, and Amend reads files while State does.
var parsing stdsync.Mutex

// parse has config-parser read a text. It panics on some malformed lines.
func parse(text string) (parser.Parser, error) {
	parsing.Lock()
	defer parsing.Unlock()
	return parser.New(options.String(text))
}
