package haproxy

import (
	"strconv"
	"strings"
)

// Spares are backends without servers that the managed file declares for new domains. A running HAProxy before 3.4 cannot add a backend.
// But it can add servers to a spare one, and an entry of the map can lead to it.
type Spares struct {
	// Count is how many there are; 0 means none.
	Count int
	// Options are those of a domain without keys for them.
	Options BackendOptions
}

// SparePrefix is the start of the name of a spare backend. The end is a number, unlike in the name of a domain's backend.
const SparePrefix = "hapsync-spare-"

// SpareName is the name of a spare backend; the first is 1.
func SpareName(number int) string { return SparePrefix + strconv.Itoa(number) }

// SpareNumber is the number of a spare backend; ok is false if the name is not one of SpareName.
func SpareNumber(name string) (number int, ok bool) {
	digits, found := strings.CutPrefix(name, SparePrefix)
	number, err := strconv.Atoi(digits)
	return number, found && err == nil && number > 0 && SpareName(number) == name
}
