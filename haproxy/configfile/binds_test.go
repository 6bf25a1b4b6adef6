package configfile

import (
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestBindLinesAreReadAsHAProxyTakesThem(t *testing.T) {
	t.Setenv("BINDS_PORT", "8081")
	for lines, want := range map[string]string{
		"bind :80":                            "0.0.0.0:80",
		"bind *:80 ssl crt /x.pem":            "0.0.0.0:80",
		"bind 0.0.0.0:80":                     "0.0.0.0:80",
		"bind [::]:80":                        "0.0.0.0:80 [::]:80",
		"bind :::80 v4v6":                     "0.0.0.0:80 [::]:80",
		"bind [::]:80 v6only":                 "[::]:80",
		"bind ipv6@:80 v6only":                "[::]:80",
		"bind ipv4@10.0.0.1:80":               "10.0.0.1:80",
		"bind ipv6@[fd00::1]:80":              "[fd00::1]:80",
		"bind fd00::1:80":                     "[fd00::1]:80",
		"bind [::ffff:10.0.0.1]:80":           "10.0.0.1:80",
		"bind [fe80::1%eth0]:80":              "[fe80::1]:80",
		"bind 10.0.0.1:80,10.0.0.2:81,:82":    "0.0.0.0:82 10.0.0.1:80 10.0.0.2:81",
		"bind 10.0.0.1:80-82":                 "10.0.0.1:80 10.0.0.1:81 10.0.0.1:82",
		"\tbind\t\"10.0.0.1:80\" # ours":      "10.0.0.1:80",
		`bind '10.0.0.1':8\0`:                 "10.0.0.1:80",
		`"bind" 10.0.0.1:80`:                  "10.0.0.1:80",
		"bind 10.0.0.1:${BINDS_PORT}":         "10.0.0.1:8081",
		"bind \"10.0.0.1:${SET_PORT}\"":       "10.0.0.1:8082",
		"bind \"${NOT_SET-10.0.0.1}:80\"":     "10.0.0.1:80",
		"bind \"${NOT_SET}:80\"":              "0.0.0.0:80", // as HAProxy takes it, too
		"bind 10.0.0.1:$NOT_SET":              "",
		"bind localhost:80":                   "127.0.0.1:80 [::1]:80",
		"bind /run/web.sock":                  "",
		"bind unix@/run/web:80":               "",
		"bind abns@web:80":                    "",
		"bind fd@3":                           "",
		"bind quic4@:443":                     "",
		"bind web.abc.com:80":                 "0.0.0.0:80 [::]:80", // which of them is not known
		"bind ipv4@web.abc.com:80":            "0.0.0.0:80 [::]:80",
		"bind 10.0.0.1":                       "",
		"bind 10.0.0.1:0":                     "",
		"bind 10.0.0.1:99999":                 "",
		"bind 10.0.0.1:1-99999":               "",
		"bind":                                "",
		"# bind :80":                          "",
		"bind-process 1\n    bind-anything 2": "",
	} {
		text := "global\n    setenv SET_PORT 8082\nfrontend webin\n    " + lines + "\nbackend b\n    bind :9999\n"
		b, err := readBase(readingOf(text).sources, "", os.Getenv)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for at, place := range b.Binds.Listeners {
			got = append(got, at.String())
			if !strings.HasPrefix(place, "frontend webin (") || !strings.HasSuffix(place, ":4)") {
				t.Errorf("%q: the place is %q", lines, place)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
	}
}

func TestEverySectionThatListensCounts(t *testing.T) {
	t.Parallel()
	f := readingOf(`global
    stats socket ipv4@127.0.0.1:1999 level admin
    stats socket /run/s.sock
    setenv HAPSYNC_MASTER_SOCKET 127.0.0.1:1998
listen stats
    bind 127.0.0.1:8404
peers all
    bind :1024
    server local
    server other 10.0.0.7:1025
peers old
    peer here 10.0.0.8:1026
    peer there there.abc.com:1027
.if feature(NEVER)
frontend off
    bind :1
.endif
`, "frontend webin\n    bind :80\n")
	f.sources[0].doc.sections[4].off = true
	b, err := readBase(f.sources, "", os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"0.0.0.0:1024", "0.0.0.0:1027", "0.0.0.0:80", "10.0.0.7:1025", "10.0.0.8:1026", "127.0.0.1:1998", "127.0.0.1:1999", "127.0.0.1:8404", "[::]:1027"}
	var got []string
	for at := range maps.Keys(b.Binds.Listeners) {
		got = append(got, at.String())
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if !localAddresses()[netip.MustParseAddr("127.0.0.1")] {
		t.Error("this machine has no loopback address")
	}
}
