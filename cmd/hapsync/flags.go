package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// A spec describes a flag.
type spec struct {
	name     string
	aliases  []string
	env      []string // further variables, asked after HAPSYNC_<NAME>
	category string
	usage    string
	value    string // the default; of a list, separated by commas
	hidden   bool
	check    func(string) error
	tag      string // the YAML tag that the config file must have; empty means !!str
}

// A setting is a flag that has an environment variable and a key in the config file. urfave is not told of the
// variable: it would set the command's flag from it, over the same flag given before the command.
type setting struct {
	documented
	spec
	list bool
}

type documented interface {
	cli.DocGenerationFlag
	cli.CategorizableFlag
}

func (s *setting) String() string       { return cli.FlagStringer(s) }
func (s *setting) GetEnvVars() []string { return s.env }
func (s *setting) IsVisible() bool      { return !s.hidden }

// GetDefaultText leaves out that a switch is off.
func (s *setting) GetDefaultText() string {
	if s.tag == "!!bool" {
		return ""
	}
	return s.documented.GetDefaultText()
}

// variable is the environment variable of a flag.
func variable(name string) string {
	return "HAPSYNC_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

func newSetting(s spec, f documented) *setting {
	s.env = append([]string{variable(s.name)}, s.env...)
	return &setting{documented: f, spec: s, list: s.tag == "!!seq"}
}

// text is a flag with one value, of which s.check says whether it is good.
func text(s spec) cli.Flag {
	return newSetting(s, &cli.GenericFlag{
		Name: s.name, Aliases: s.aliases, Category: s.category, Usage: s.usage,
		Value: &checkedValue{value: s.value, check: s.check},
	})
}

// toggle is a flag that is on or off.
func toggle(s spec) cli.Flag {
	s.tag = "!!bool"
	return newSetting(s, &cli.BoolFlag{Name: s.name, Aliases: s.aliases, Category: s.category, Usage: s.usage})
}

// list is a flag that can be repeated, or given with commas.
func list(s spec) cli.Flag {
	s.tag = "!!seq"
	return newSetting(s, &cli.StringSliceFlag{
		Name: s.name, Aliases: s.aliases, Category: s.category, Usage: s.usage,
		Value: cli.NewStringSlice(words(s.value)...),
	})
}

// words are the values between the commas, without empty ones.
func words(values ...string) []string {
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

func oneOf(names ...string) func(string) error {
	return func(s string) error {
		if slices.Contains(names, s) {
			return nil
		}
		return fmt.Errorf("must be %s", strings.Join(names, " or "))
	}
}

func duration(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return fmt.Errorf("must be a time with its unit, such as 5s or 500ms")
	}
	return nil
}

func percent(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 100 {
		return fmt.Errorf("must be a share in percent, 1 to 100")
	}
	return nil
}

// configWord refuses what would end a word in HAProxy's configuration, or start another.
func configWord(s string) error {
	bad := strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"'#\\$", r) })
	if s == "" || bad >= 0 {
		return fmt.Errorf("must be one word without white space, quotes, #, $ and \\")
	}
	return nil
}
