package haproxy

import (
	"strconv"
	"strings"
)

// Spares are the backends without servers that the managed file declares for domains to come: HAProxy takes no backend while it runs
// before 3.4, but such a one gets servers, and an entry of the map leads to it.
type Spares struct {
	// Count is how many there are; 0 means none.
	Count int
	// Options are those of a domain that has no keys for them.
	Options BackendOptions
}

// SparePrefix begins the name of a spare backend. Its end is a number, which no name of a domain's backend ends with.
const SparePrefix = "hapsync-spare-"

// SpareName is the name of a spare backend; the first is 1.
func SpareName(number int) string { return SparePrefix + strconv.Itoa(number) }

// SpareNumber is the number of a spare backend; ok is false for a name of another shape.
func SpareNumber(name string) (number int, ok bool) {
	digits, found := strings.CutPrefix(name, SparePrefix)
	number, err := strconv.Atoi(digits)
	return number, found && err == nil && number > 0 && SpareName(number) == name
}
