package cli

import (
	"fmt"
	"io"
	"log/slog"
	"slices"

	urfave "github.com/urfave/cli/v2"
)

// An Environment is where settings come from, apart from the command line.
type Environment struct {
	Getenv     func(string) string
	Environ    func() []string // the environment, to find mistyped names; may be nil
	Stderr     io.Writer
	Record     func(command string, help Page) // gets the help of each command; may be nil
	ConfigFile string                          // the default of --config-file; empty for none
}

// resolve sets every flag of the command that the command line does not set: from the environment, then from the config file.
// Otherwise it keeps its default.
func (e Environment) resolve(c *urfave.Context) error {
	file, err := e.configFile(c)
	if err != nil {
		return Usage(c, err)
	}
	for _, f := range c.Command.Flags {
		s, ok := f.(*Setting)
		if !ok {
			continue // --help
		}
		if err := e.set(c, s, file); err != nil {
			return Usage(c, err)
		}
	}
	file.warn(e.Logger(c))
	e.warnOfVariables(c)
	return nil
}

// configFile reads the file of --config-file, else the default file if it exists. Then it sets --config-file to that file.
func (e Environment) configFile(c *urfave.Context) (ConfigFile, error) {
	for _, f := range c.Command.Flags {
		if s, ok := f.(*Setting); ok && s.Name == "config-file" {
			if err := e.set(c, s, ConfigFile{}); err != nil {
				return ConfigFile{}, err
			}
		}
	}
	if path := c.String("config-file"); path != "" {
		return ReadConfigFile(path, c.App.Commands)
	}
	if e.ConfigFile == "" || !needsSettings(c.Command) {
		return ConfigFile{}, nil
	}
	file, err := readDefaultFile(e.ConfigFile, c.App.Commands)
	if err != nil || file.path == "" {
		return ConfigFile{}, err
	}
	return file, c.Set("config-file", file.path)
}

// needsSettings reports whether a command uses the registry or HAProxy. Others (version, completion) do not read the default
// file, so they work even if it is bad.
func needsSettings(cmd *urfave.Command) bool {
	return slices.ContainsFunc(cmd.Flags, func(f urfave.Flag) bool {
		s, ok := f.(*Setting)
		return ok && !s.Hidden && (s.Category == Registry || s.Category == HAProxy)
	})
}

func (e Environment) set(c *urfave.Context, s *Setting, file ConfigFile) error {
	values, origin := e.lookup(c, s, file)
	for _, value := range values {
		err := c.Set(s.Name, value)
		if err != nil && s.Tag == "!!bool" {
			err = errBool
		}
		if err != nil {
			return fmt.Errorf("%s: %q: %w", origin, value, err)
		}
	}
	return nil
}

// lookup finds the values of a flag that is not set after the command, and where they come from.
func (e Environment) lookup(c *urfave.Context, s *Setting, file ConfigFile) (values []string, origin string) {
	for i, level := range c.Lineage() {
		switch {
		case !level.IsSet(s.Name):
		case i == 0:
			return nil, ""
		case s.IsList():
			return level.StringSlice(s.Name), "--" + s.Name
		default:
			return []string{level.String(s.Name)}, "--" + s.Name
		}
	}
	for _, name := range s.Env {
		if value := e.Getenv(name); value != "" {
			return []string{value}, name
		}
	}
	entry := file.entries[s.Name]
	return entry.values, fmt.Sprintf("%s:%d: %s", file.path, entry.line, s.Name)
}

// Logger logs to standard error as the settings say.
func (e Environment) Logger(c *urfave.Context) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if c.String("log-format") == "json" {
		return slog.New(slog.NewJSONHandler(e.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(e.Stderr, options))
}
