package configfile

import (
	"slices"
	"strings"
	"testing"
)

func TestHealthIsCarriedOnlyForServersThatTheFilesHaveChecked(t *testing.T) {
	t.Parallel()
	servers := `backend plain
    server checked 10.0.0.1:80 cookie x check
    server off 10.0.0.2:80 cookie check
backend default
    default-server check inter 1s
    server checked 10.0.0.3:80
    server off 10.0.0.4:80 no-check
    server tls 10.0.0.5:443 ssl verify none
backend tls
    default-server check ssl verify none
    server tls 10.0.0.6:443
    server plain 10.0.0.7:80 no-ssl
`
	for defaults, want := range map[string]string{
		"inter 1s": "default/checked default/tls plain/checked tls/plain tls/tls",
		"check":    "default/checked default/tls plain/checked plain/off tls/plain tls/tls",
	} {
		var have []string
		for s, at := range readingOf("defaults\n    default-server " + defaults + "\n" + servers).Checked() {
			if !at.Addr.IsValid() || at.TLS != (s.Name == "tls") {
				t.Errorf("%v is reached as %v", s, at)
			}
			have = append(have, s.String())
		}
		slices.Sort(have)
		if got := strings.Join(have, " "); got != want {
			t.Errorf("with default-server %s: have %s, want %s", defaults, got, want)
		}
	}
}

// readingOf is a Reading of texts, in HAProxy's order.
func readingOf(texts ...string) Reading {
	var f Reading
	for _, text := range texts {
		f.sources = append(f.sources, source{doc: parseDocument(text)})
	}
	f.defaults = readDefaults(f.sources)
	return f
}
