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

// A Spec describes a flag. In Usage, the word in backquotes is the placeholder of the value.
type Spec struct {
	Name     string
	Aliases  []string
	Env      []string // more variables, read after HAPSYNC_<NAME>
	Category string
	Usage    string
	Value    string // the default; a list has commas
	Fallback string // the effect of no value, in words
	Required bool   // for help only: the command checks it
	Hidden   bool
	Check    func(string) error
	Choices  []string // the only values, instead of Check
	Tag      string   // YAML type in the config file; empty means !!str
}

// A Setting is a flag that also has an environment variable and a key in the config file. urfave does not know the variable:
// otherwise the variable would win over the same flag before the command.
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

// GetDefaultText is empty for a switch.
func (s *Setting) GetDefaultText() string {
	switch {
	case s.Tag == "!!bool":
		return ""
	case s.Fallback != "":
		return s.Fallback
	}
	return s.documented.GetDefaultText()
}

const variablePrefix = "HAPSYNC_"

// Variable is the environment variable of a flag.
func Variable(name string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

func newSetting(s Spec, f documented) *Setting {
	s.Env = append([]string{Variable(s.Name)}, s.Env...)
	return &Setting{documented: f, Spec: s}
}

// Text is a flag with one value, which s.Check checks.
func Text(s Spec) urfave.Flag {
	if s.Choices != nil {
		s.Check = oneOf(s.Choices)
	}
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

// List is a flag that can be repeated, or have commas.
func List(s Spec) urfave.Flag {
	s.Tag = "!!seq"
	return newSetting(s, &urfave.StringSliceFlag{
		Name: s.Name, Aliases: s.Aliases, Category: s.Category, Usage: s.Usage,
		Value: urfave.NewStringSlice(Words(s.Value)...),
	})
}

// Words splits values at commas, without empty words.
func Words(values ...string) []string {
	all := strings.FieldsFunc(strings.Join(values, ","), func(r rune) bool { return r == ',' })
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// A checkedValue is a flag.Value with a check.
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

// oneOf is a check that allows only these words.
func oneOf(names []string) func(string) error {
	return func(s string) error {
		if slices.Contains(names, s) {
			return nil
		}
		return fmt.Errorf("must be %s", strings.Join(names, " or "))
	}
}

// Duration is a check that allows a time above 0.
func Duration(s string) error {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return errors.New("must be a time with its unit, such as 5s or 500ms")
	case d <= 0:
		return errors.New("must be more than 0, such as 5s or 500ms")
	}
	return nil
}

// errBool says what a switch can be.
var errBool = errors.New("must be true or false")

// Percent is a check that allows 1 to 100.
func Percent(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 100 {
		return fmt.Errorf("must be a share in percent, 1 to 100")
	}
	return nil
}

// Positive is a check that allows a number of 1 or more.
func Positive(s string) error {
	if n, err := strconv.Atoi(s); err != nil || n < 1 {
		return errors.New("must be a number, 1 or more")
	}
	return nil
}

// UpTo is a check that allows a number from 0 to most.
func UpTo(most int) func(string) error {
	return func(s string) error {
		if n, err := strconv.Atoi(s); err != nil || n < 0 || n > most {
			return fmt.Errorf("must be a number from 0 to %d", most)
		}
		return nil
	}
}

// ConfigWord is a check that allows one word of HAProxy's configuration.
func ConfigWord(s string) error {
	bad := strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"'#\\$", r) })
	if s == "" || bad >= 0 {
		return fmt.Errorf("must be one word without white space, quotes, #, $ and \\")
	}
	return nil
}
