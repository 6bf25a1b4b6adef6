package registry

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CookieOff is the value of the key cookie for no cookie.
const CookieOff = "off"

var (
	cookieName = regexp.MustCompile(`\A[A-Za-z0-9_.-]{1,64}\z`)
	wholeTime  = regexp.MustCompile(`\A[1-9][0-9]{0,8}[smhd]\z`)
)

// parseCookie takes "off", or the name of a cookie and some of httponly, secure, samesite=lax|strict|none, maxidle=30m and
// maxlife=8h, each once. It returns them in that order.
func parseCookie(value string) (string, error) {
	bad := func(why string) (string, error) { return "", fmt.Errorf("cookie %s %s", Quote(value), why) }
	words := strings.Split(value, " ")
	name := words[0]
	switch {
	case value == CookieOff:
		return CookieOff, nil
	case strings.EqualFold(name, CookieOff):
		return bad(`is neither "off" nor the name of a cookie with words behind it`)
	case !cookieName.MatchString(name):
		return bad(`does not start with "off" or a name of 1 to 64 letters, digits, "_", "." and "-"`)
	}
	found, why := inOrderOf([]string{"httponly", "secure", "samesite", "maxidle", "maxlife"}, words[1:], badCookieWord)
	if why == "" && slices.Contains(found, "samesite=none") && !slices.Contains(found, "secure") {
		why = "has samesite=none without secure, which browsers refuse"
	}
	if why != "" {
		return bad(why)
	}
	return strings.Clone(strings.Join(append([]string{name}, found...), " ")), nil
}

// inOrderOf sorts words such as name=argument into the order of names. It returns why they are bad if bad says so of one of
// them, or if a name comes twice. bad must refuse a word whose name is not in names.
func inOrderOf(names, words []string, bad func(name, word, argument string) string) (found []string, why string) {
	found = make([]string, len(names))
	for _, word := range words {
		name, argument, _ := strings.Cut(word, "=")
		if why := bad(name, word, argument); why != "" {
			return nil, why
		}
		at := slices.Index(names, name)
		if found[at] != "" {
			return nil, "has " + name + " twice"
		}
		found[at] = word
	}
	return slices.DeleteFunc(found, func(word string) bool { return word == "" }), ""
}

func badCookieWord(option, word, argument string) string {
	switch option {
	case "httponly", "secure":
		if word != option {
			return "has " + Quote(word) + ": write " + option + " alone"
		}
	case "samesite":
		if argument != "lax" && argument != "strict" && argument != "none" {
			return "has samesite " + Quote(argument) + ", which is none of lax, strict, none"
		}
	case "maxidle", "maxlife":
		if d, ok := parseTime(argument); !ok || d < time.Second {
			return "has " + option + " " + Quote(argument) + ", which is no time such as 30m or 8h, 365d at most"
		}
	default:
		return "has " + Quote(word) + ", which is none of httponly, secure, samesite=lax, samesite=strict, samesite=none, " +
			"maxidle=30m, maxlife=8h, with one space between them"
	}
	return ""
}

// maxTime is the longest time that a value may have.
const maxTime = 365 * 24 * time.Hour

// parseTime reads a whole number with its unit: s, m, h or d. It is not ok for more than maxTime.
func parseTime(value string) (time.Duration, bool) {
	if !wholeTime.MatchString(value) {
		return 0, false
	}
	last := len(value) - 1
	n, err := strconv.Atoi(value[:last])
	unit := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[value[last]]
	if err != nil || n > int(maxTime/unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// CookieTime parses maxidle or maxlife of a good cookie.
func CookieTime(value string) time.Duration {
	d, _ := parseTime(value)
	return d
}
