package haproxy

// A Level says how a Finding is to be taken.
type Level string

// The levels of findings.
const (
	LevelOK   Level = "ok"
	LevelWarn Level = "warn" // works, but not as well as it could
	LevelFail Level = "fail" // hapsync cannot do its work
)

// A Finding is what Check says of one thing.
type Finding struct {
	Level Level
	// What was looked at, Detail what was seen, Remedy what to do about it.
	What, Detail, Remedy string
}
