package registry

import "testing"

// 213504 days are more nanoseconds than fit into a time.Duration, which takes them for 25 minutes.
func TestATimeThatIsTooLongForTheUnitsIsRefused(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"213504d", "5124096h", "307445735m", "366d", "31536001s", "99999999999999999999s"} {
		for option, text := range map[string]string{"timeout-server": value, "cookie": "SID maxlife=" + value, "check": "tcp inter=" + value} {
			if err := CheckOption(option, text); err == nil {
				t.Errorf("%s %q is accepted", option, text)
			}
		}
	}
	if err := CheckOption("cookie", "SID maxlife=365d"); err != nil {
		t.Error(err)
	}
}
