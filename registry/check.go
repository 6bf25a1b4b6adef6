package registry

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Check is a parsed value of the key check of a domain.
type Check struct {
	// Path of an HTTP check; empty for a TCP check, or none.
	Path string
	// Status are the codes of a good answer, such as "200-299,401"; empty for HAProxy's 200 to 399. Host is the Host header;
	// empty for the name of the domain.
	Status, Host string
	// Inter is the time between two checks, such as "2s". After Rise good checks a server is up, after Fall bad ones it is
	// down. Empty means what HAProxy's configuration says.
	Inter, Rise, Fall string
}

const (
	maxCheck     = 256 // bytes of a path
	maxCheckHost = maxDomain + len(":65535")
	maxCodes     = 8
	maxChecked   = maxCheck + len(" status=") + maxCodes*len("200-299,") + len(" host=") + maxCheckHost + len(" inter=3600s rise=100 fall=100")
)

// checkWords is the order in which the words after a check are kept.
var checkWords = []string{"status", "host", "inter", "rise", "fall"}

// CheckOf parses a good value of the key check.
func CheckOf(value string) (c Check) {
	words := strings.Split(value, " ")
	if strings.HasPrefix(words[0], "/") {
		c.Path = words[0]
	}
	for _, word := range words[1:] {
		name, argument, _ := strings.Cut(word, "=")
		if at := slices.Index(checkWords, name); at >= 0 {
			*[]*string{&c.Status, &c.Host, &c.Inter, &c.Rise, &c.Fall}[at] = argument
		}
	}
	return c
}

// parseCheck takes "off", "tcp" or a path. After "tcp" or a path come some of status=200-399, host=a.abc.com (both after a path
// only), inter=2s, rise=2 and fall=3, each once. It returns them in that order.
func parseCheck(value string) (string, error) {
	if len(value) > maxChecked {
		return "", fmt.Errorf("check %s is longer than %d bytes", Quote(value), maxChecked)
	}
	words := strings.Split(value, " ")
	path := strings.HasPrefix(words[0], "/")
	switch {
	case words[0] == "off" && len(words) > 1:
		return "", fmt.Errorf(`check %s has words behind "off": write it alone`, Quote(value))
	case words[0] == "off", words[0] == "tcp":
	case !path:
		return "", fmt.Errorf(`check %s is not "tcp", "off" or a path that starts with "/"`, Quote(value))
	default:
		if err := checkPath(words[0]); err != nil {
			return "", err
		}
	}
	found, why := inOrderOf(checkWords, words[1:], badCheckWord)
	if why == "" && !path {
		if at := slices.IndexFunc(found, func(word string) bool { return word[0] == 's' || word[0] == 'h' }); at >= 0 {
			why = "has " + Quote(found[at]) + ", which is for a path alone"
		}
	}
	if why != "" {
		return "", fmt.Errorf("check %s %s", Quote(value), why)
	}
	return strings.Clone(strings.Join(append([]string{words[0]}, found...), " ")), nil
}

// checkPath allows the characters that RFC 3986 allows in a path and a query, except those with a meaning in HAProxy's
// configuration.
func checkPath(path string) error {
	if len(path) > maxCheck {
		return fmt.Errorf("check %s is longer than %d bytes", Quote(path), maxCheck)
	}
	for i := range len(path) {
		if !checkByte(path[i]) {
			return fmt.Errorf("check %s has %s, which a path here cannot have: percent-encode it", Quote(path), firstRune(path[i:]))
		}
		if path[i] == '%' && !escaped(path[i+1:]) {
			return fmt.Errorf(`check %s has a "%%" without two hexadecimal digits: write it as %%25`, Quote(path))
		}
	}
	return nil
}

func badCheckWord(name, word, argument string) string {
	switch name {
	case "status":
		if !goodCodes(argument) {
			return "has status " + Quote(argument) + ", which are no codes such as 200, 200-399 or 200-299,401"
		}
	case "host":
		host, port, found := strings.Cut(argument, ":")
		if _, err := parseNumber("port", port, 1, 65535); found && err != nil || CheckDomain(host) != nil {
			return "has host " + Quote(argument) + ", which is no name such as a.abc.com, or with a port behind it"
		}
	case "inter":
		if d, ok := parseTime(argument); !ok || d > time.Hour {
			return "has inter " + Quote(argument) + ", which is no time such as 2s or 1m, 1s to 1h"
		}
	case "rise", "fall":
		if _, err := parseNumber(name, argument, 1, 100); err != nil {
			return "has " + name + " " + Quote(argument) + ", which is not a number of 1 to 100"
		}
	default:
		return "has " + Quote(word) + ", which is none of status=200-399, host=a.abc.com, inter=2s, rise=2, fall=3, " +
			"with one space between them (a space in a path is %20)"
	}
	return ""
}

// goodCodes reports whether a value is a list of HTTP status codes and ranges, with commas between them.
func goodCodes(value string) bool {
	list := strings.Split(value, ",")
	return len(list) <= maxCodes && !slices.ContainsFunc(list, func(codes string) bool {
		from, to, isRange := strings.Cut(codes, "-")
		return !httpCode.MatchString(from) || isRange && (!httpCode.MatchString(to) || to < from)
	})
}

var httpCode = regexp.MustCompile(`\A[1-5][0-9]{2}\z`)

func checkByte(c byte) bool {
	return letterOrDigit(c) || strings.IndexByte("/?%-._~!&()*+,=:@", c) >= 0
}

func escaped(s string) bool {
	return len(s) >= 2 && hexDigit(s[0]) && hexDigit(s[1])
}

func hexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
