package haproxy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestBriefTellsWhereAndOfWhatKindAndQuotesNothing(t *testing.T) {
	const output = "parsing [/etc/haproxy/haproxy.cfg:12] : errorfile : error opening file '/s3cret'.\n" +
		"parsing [/etc/haproxy/haproxy.cfg:14] : 's3cret' is odd\n" +
		"userlist 's3cret': no such group 's3cret' specified in user 's3cret'"
	const want = "/etc/haproxy/haproxy.cfg:12: error opening file; /etc/haproxy/haproxy.cfg:14: error; no such group; hapsync's log has HAProxy's words"
	for name, err := range map[string]error{
		"haproxy -c":         &InvalidConfigError{Output: output},
		"a reload":           &ReloadError{Output: output},
		"a reload command":   &CommandError{Command: "reload", Err: errors.New("exit status 1"), Output: output},
		"joined and wrapped": fmt.Errorf("pass: %w", errors.Join(errors.New("other"), &ReloadError{Output: output})),
		"two kinds":          errors.Join(&ReloadError{Output: output}, &InvalidConfigError{Output: "s3cret"}),
		"two of them":        errors.Join(&ReloadError{Output: output}, &ReloadError{Output: output}),
	} {
		got := Brief(err)
		if !strings.Contains(got, want) || strings.Contains(got, "s3cret") {
			t.Errorf("%s: %s", name, got)
		}
		if !strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error itself says %s", name, err)
		}
	}
	if got := Brief(errors.New("other")); got != "other" || Brief(nil) != "" {
		t.Errorf("of another error it is %q", got)
	}
}
