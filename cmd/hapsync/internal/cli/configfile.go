package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	urfave "github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
)

// A ConfigFile holds the settings of a config file. The zero value sets nothing.
type ConfigFile struct {
	path    string
	mode    os.FileMode
	entries map[string]fileEntry // by flag name
}

type fileEntry struct {
	line   int
	values []string
}

// ReadConfigFile reads a YAML file whose keys are the names of flags of any command. It is strict: an unknown key, a duplicate
// key and a value of another type are errors that name the line.
func ReadConfigFile(path string, commands []*urfave.Command) (ConfigFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return ConfigFile{}, fmt.Errorf("--config-file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ConfigFile{}, fmt.Errorf("--config-file: %w", err)
	}
	entries, err := decodeConfig(f, Settings(commands))
	if err != nil {
		return ConfigFile{}, fmt.Errorf("%s:%w", path, err)
	}
	return ConfigFile{path: path, mode: info.Mode(), entries: entries}, nil
}

// DefaultConfigFile is the file that is read without --config-file.
const DefaultConfigFile = "/etc/hapsync/hapsync.yaml"

// readDefaultFile reads a file that the user has not named. If it does not exist, the result is empty. It is an error if the
// file cannot be read, because the default settings may be for another registry; or if any user of the machine can write it,
// because it names programs that hapsync runs.
func readDefaultFile(path string, commands []*urfave.Command) (ConfigFile, error) {
	const remedy = "or name another file with --config-file (/dev/null for none)"
	file, err := ReadConfigFile(path, commands)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ConfigFile{}, nil
	case errors.Is(err, fs.ErrPermission):
		return ConfigFile{}, fmt.Errorf("%w: %s has the settings of this machine: run hapsync as a user who may read it (sudo), %s",
			err, path, remedy)
	case err != nil:
		return ConfigFile{}, err
	case file.mode.Perm()&0o002 != 0:
		return ConfigFile{}, fmt.Errorf("%s is not read: every user of this machine can write it (mode %#o), "+
			"and it names programs that hapsync runs: chmod o-w %[1]s, %[3]s", path, file.mode.Perm(), remedy)
	}
	return file, nil
}

// Settings are the flags of all commands, by name. Flags with the same name have the same type.
func Settings(commands []*urfave.Command) map[string]*Setting {
	known := map[string]*Setting{}
	for _, cmd := range commands {
		for _, f := range cmd.Flags {
			if s, ok := f.(*Setting); ok && s.Name != "config-file" {
				known[s.Name] = s
			}
		}
	}
	return known
}

// decodeConfig returns errors that begin with the line.
func decodeConfig(r io.Reader, known map[string]*Setting) (map[string]fileEntry, error) {
	var doc yaml.Node
	dec := yaml.NewDecoder(r)
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf(" %w", err)
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%d: want one `flag: value` a line", root.Line)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New(" want one YAML document")
	}
	entries := map[string]fileEntry{}
	for pair := range slices.Chunk(root.Content, 2) {
		key, value := pair[0], pair[1]
		s, ok := known[key.Value]
		if !ok {
			return nil, fmt.Errorf("%d: unknown key %q%s", key.Line, key.Value, didYouMean(nearestKey(known, key.Value)))
		}
		if first, twice := entries[s.Name]; twice {
			return nil, fmt.Errorf("%d: %s: set twice, first in line %d", key.Line, s.Name, first.line)
		}
		values, err := s.decode(value)
		if err != nil {
			return nil, fmt.Errorf("%d: %s: %w", key.Line, s.Name, err)
		}
		entries[s.Name] = fileEntry{line: key.Line, values: values}
	}
	return entries, nil
}

func nearestKey(known map[string]*Setting, name string) string {
	var flags []urfave.Flag
	for _, s := range known {
		flags = append(flags, s)
	}
	slices.SortFunc(flags, func(a, b urfave.Flag) int { return strings.Compare(a.Names()[0], b.Names()[0]) })
	return strings.TrimLeft(urfave.SuggestFlag(flags, name, true), "-")
}

// decode returns the values of a node. It checks its type and its values.
func (s *Setting) decode(node *yaml.Node) ([]string, error) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	nodes := []*yaml.Node{node}
	if s.IsList() && node.Kind == yaml.SequenceNode {
		nodes = node.Content
	}
	var values []string
	for _, n := range nodes {
		if want := s.scalarTag(); n.Kind != yaml.ScalarNode || n.Tag != want && !s.takesNumber(n) {
			return nil, s.wrongType(n, want)
		}
		if s.Check != nil {
			if err := s.Check(n.Value); err != nil {
				return nil, fmt.Errorf("%q: %w", n.Value, err)
			}
		}
		values = append(values, n.Value)
	}
	return values, nil
}

// takesNumber reports whether a text setting, such as a port, may be written as a number in the file.
func (s *Setting) takesNumber(n *yaml.Node) bool {
	return n.Tag == "!!int" && s.scalarTag() == "!!str" && s.Check != nil && s.Check(n.Value) == nil
}

// wrongType is the error for a value of another type. It recommends quotes only if the text in them is good.
func (s *Setting) wrongType(n *yaml.Node, want string) error {
	if n.Kind == yaml.ScalarNode && want == "!!str" && s.Check != nil {
		if err := s.Check(n.Value); err != nil {
			return fmt.Errorf("%q: %w", n.Value, err)
		}
	}
	return fmt.Errorf("want %s", yamlName(want))
}

// YAML is the setting as a line of the config file. Commas separate several values, as in the environment.
func (s *Setting) YAML(value string) string {
	scalar := func(value string) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: s.scalarTag(), Value: value}
	}
	node := scalar(value)
	if s.IsList() {
		node = &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, word := range Words(value) {
			node.Content = append(node.Content, scalar(word))
		}
	}
	name := &yaml.Node{Kind: yaml.ScalarNode, Value: s.Name}
	line, err := yaml.Marshal(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{name, node}})
	if err != nil {
		panic(err) // cannot happen with these nodes
	}
	return strings.TrimSuffix(string(line), "\n")
}

func (s *Setting) scalarTag() string {
	if s.Tag == "" || s.IsList() {
		return "!!str"
	}
	return s.Tag
}

// yamlName is a YAML type in words for people.
func yamlName(tag string) string {
	switch tag {
	case "!!bool":
		return "true or false"
	case "!!int":
		return "a number"
	}
	return "text (put it in quotes)"
}

// warn logs that others can read the file's password.
func (f ConfigFile) warn(log *slog.Logger) {
	user := f.entries["user"].values
	if len(user) == 1 && strings.Contains(user[0], ":") && f.mode.Perm()&0o004 != 0 {
		log.Warn("the config file holds a password and everyone can read it", "file", f.path, "remedy", "chmod o-r "+f.path)
	}
}
