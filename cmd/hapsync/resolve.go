package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// before settles every flag of the command: what the command line does not set comes from the environment, then
// from the config file, else it stays at its default.
func (p program) before(c *cli.Context) error {
	file, err := p.configFile(c)
	if err != nil {
		return usageError{command: commandName(c), err: err}
	}
	for _, f := range c.Command.Flags {
		s, ok := f.(*setting)
		if !ok {
			continue // --help
		}
		if err := p.settle(c, s, file); err != nil {
			return usageError{command: commandName(c), err: err}
		}
	}
	file.warn(p.logger(c))
	return nil
}

// configFile reads the file that --config-file names; without one it is empty.
func (p program) configFile(c *cli.Context) (configFile, error) {
	for _, f := range c.Command.Flags {
		if s, ok := f.(*setting); ok && s.name == "config-file" {
			if err := p.settle(c, s, configFile{}); err != nil {
				return configFile{}, err
			}
		}
	}
	path := c.String("config-file")
	if path == "" {
		return configFile{}, nil
	}
	return readConfigFile(path, c.App.Commands)
}

func (p program) settle(c *cli.Context, s *setting, file configFile) error {
	values, origin := p.lookup(c, s, file)
	for _, value := range values {
		if err := c.Set(s.name, value); err != nil {
			return fmt.Errorf("%s: %q: %w", origin, value, err)
		}
	}
	return nil
}

// lookup finds the values of a flag that the command itself was not given, and where they come from.
func (p program) lookup(c *cli.Context, s *setting, file configFile) (values []string, origin string) {
	for i, level := range c.Lineage() {
		switch {
		case !level.IsSet(s.name):
		case i == 0:
			return nil, ""
		case s.list:
			return level.StringSlice(s.name), "--" + s.name
		default:
			return []string{level.String(s.name)}, "--" + s.name
		}
	}
	for _, name := range s.env {
		if value := p.getenv(name); value != "" {
			return []string{value}, name
		}
	}
	entry := file.entries[s.name]
	return entry.values, fmt.Sprintf("%s:%d: %s", file.path, entry.line, s.name)
}
