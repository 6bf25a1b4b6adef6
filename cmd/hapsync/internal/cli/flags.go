package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	urfave "github.com/urfave/cli/v2"
)

// A Spec describes a flag. The placeholder between backquotes in Usage is the kind of value.
type Spec struct {
	Name     string
	Aliases  []string
	Env      []string // further variables, asked after HAPSYNC_<NAME>
	Category string
	Usage    string
	Value    string // the default; of a list, separated by commas
	Fallback string // what counts where there is no value, in words
	Required bool   // some value must be given; the command itself says so
	Hidden   bool
	Check    func(string) error
	Tag      string // the YAML tag that the config file must have; empty means !!str
}

// A Setting is a flag that has an environment variable and a key in the config file. urfave is not told of the
// variable: it would set the command's flag from it, over the same flag given before the command.
type Setting struct {
	documented
	Spec
}

// IsList reports whether the setting can have several values.
func (s *Setting) IsList() bool { return s.Tag == "!!seq" }

type documented interface {
	urfave.DocGenerationFlag
	urfave.CategorizableFlag
}

func (s *Setting) String() string { return urfave.FlagStringer(s) }

// GetEnvVars implements urfave's DocGenerationFlag.
func (s *Setting) GetEnvVars() []string { return s.Env }

// IsVisible implements urfave's VisibleFlag.
func (s *Setting) IsVisible() bool { return !s.Hidden }

// GetDefaultText leaves out that a switch is off.
func (s *Setting) GetDefaultText() string {
	switch {
	case s.Tag == "!!bool":
		return ""
	case s.Fallback != "":
		return s.Fallback
	}
	return s.documented.GetDefaultText()
}

// Variable is the environment variable of a flag.
func Variable(name string) string {
	return "HAPSYNC_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

func newSetting(s Spec, f documented) *Setting {
	s.Env = append([]string{Variable(s.Name)}, s.Env...)
	return &Setting{documented: f, Spec: s}
}

// Text is a flag with one value, of which s.Check says whether it is good.
func Text(s Spec) urfave.Flag {
	return newSetting(s, &urfave.GenericFlag{
		Name: s.Name, Aliases: s.Aliases, Category: s.Category, Usage: s.Usage,
		Value: &checkedValue{value: s.Value, check: s.Check},
	})
}

// Toggle is a flag that is on or off.
func Toggle(s Spec) urfave.Flag {
	s.Tag = "!!bool"
	return newSetting(s, &urfave.BoolFlag{Name: s.Name, Aliases: s.Aliases, Category: s.Category, Usage: s.Usage})
}

// List is a flag that can be repeated, or given with commas.
func List(s Spec) urfave.Flag {
	s.Tag = "!!seq"
	return newSetting(s, &urfave.StringSliceFlag{
		Name: s.Name, Aliases: s.Aliases, Category: s.Category, Usage: s.Usage,
		Value: urfave.NewStringSlice(Words(s.Value)...),
	})
}

// Words are the values between the commas, without empty ones.
func Words(values ...string) []string {
	all := strings.FieldsFunc(strings.Join(values, ","), func(r rune) bool { return r == ',' })
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// A checkedValue is a flag.Value that refuses what its check refuses.
type checkedValue struct {
	value string
	check func(string) error
}

func (v *checkedValue) String() string { return v.value }

func (v *checkedValue) Set(s string) error {
	if v.check != nil {
		if err := v.check(s); err != nil {
			return err
		}
	}
	v.value = s
	return nil
}

// OneOf is a check that takes these words only.
func OneOf(names ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(names, s) {
			return nil
		}
		return fmt.Errorf("must be %s", strings.Join(names, " or "))
	}
}

// Duration is a check that takes a time of more than nothing.
func Duration(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return fmt.Errorf("must be a time with its unit, such as 5s or 500ms")
	}
	return nil
}

// Percent is a check that takes 1 to 100.
func Percent(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 100 {
		return fmt.Errorf("must be a share in percent, 1 to 100")
	}
	return nil
}

// Positive takes a number of at least 1.
func Positive(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 {
		return errors.New("must be a number, 1 or more")
	}
	return nil
}

// UpTo takes a number from 0 to the most.
func UpTo(most int) func(string) error {
	return func(s string) error {
		if n, err := strconv.Atoi(s); err != nil || n < 0 || n > most {
			return fmt.Errorf("must be a number from 0 to %d", most)
		}
		return nil
	}
}

// ConfigWord refuses what would end a word in HAProxy's configuration, or start another.
func ConfigWord(s string) error {
	bad := strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"'#\\$", r) })
	if s == "" || bad >= 0 {
		return fmt.Errorf("must be one word without white space, quotes, #, $ and \\")
	}
	return nil
}
