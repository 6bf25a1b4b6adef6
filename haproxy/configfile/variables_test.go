package configfile

import "testing"

// The values are what HAProxy 2.6 and 3.4 show with "show env" after these lines.
func TestVariablesAreThoseOfTheGlobalSection(t *testing.T) {
	t.Setenv("HAPSYNC_SET", "outside")
	t.Setenv("HAPSYNC_WORD", "outside")
	for lines, want := range map[string]struct{ set, word, unset string }{
		"":                             {"outside", "outside", ""},
		"setenv HAPSYNC_SET inside":    {"inside", "outside", ""},
		"presetenv HAPSYNC_SET inside": {"outside", "outside", ""},
		"presetenv HAPSYNC_NEW inside": {"outside", "outside", "inside"},
		"unsetenv HAPSYNC_SET HAPSYNC_NEW\npresetenv HAPSYNC_SET inside": {"inside", "outside", ""},
		"resetenv HAPSYNC_WORD": {"", "outside", ""},
		"setenv HAPSYNC_NEW a\nresetenv HAPSYNC_NEW\nsetenv HAPSYNC_SET b":           {"b", "", "a"},
		"setenv HAPSYNC_SET a\nsetenv HAPSYNC_NEW \"${HAPSYNC_SET}${HAPSYNC_WORD}\"": {"a", "outside", "aoutside"},
		`setenv HAPSYNC_NEW "\x61\x42c"`:                                             {"outside", "outside", "aBc"},
	} {
		env := (&Files{}).environment([]Document{parseDocument("global\n" + lines + "\nfrontend webin\n")})
		if got := (struct{ set, word, unset string }{env("HAPSYNC_SET"), env("HAPSYNC_WORD"), env("HAPSYNC_NEW")}); got != want {
			t.Errorf("%q: %+v, want %+v", lines, got, want)
		}
	}
}
