package runtimeapi

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
)

// safeName refuses what must not be the name of a backend or a server in a command.
func safeName(name string) error {
	if name == "" || len(name) > 300 {
		return errors.New("a name has 1 to 300 characters")
	}
	for _, c := range []byte(name) {
		if !haproxy.IsNameByte(c) {
			return fmt.Errorf("%q must not be in a name", c)
		}
	}
	return nil
}

// safeWords refuses bytes that end a command, start another one or announce a payload.
func safeWords(words string) error {
	for _, c := range []byte(words) {
		if c < ' ' || c > '~' || strings.IndexByte(`;#"'\<`, c) >= 0 {
			return fmt.Errorf("%q must not be in a command", c)
		}
	}
	return nil
}

// safeServer refuses a server that no command can express.
func safeServer(s haproxy.Server) error {
	if err := safeName(s.Name); err != nil {
		return err
	}
	if err := safeWords(s.Cookie); err != nil {
		return fmt.Errorf("cookie: %w", err)
	}
	if err := safeWords(s.Params); err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	switch {
	case strings.Contains(s.Cookie, " "):
		return fmt.Errorf("cookie: %q must not be in a command", ' ')
	case !s.Addr.IsValid() || s.Addr.Port() == 0 || s.Addr.Addr().Zone() != "":
		return fmt.Errorf("%s is not the address of a server", s.Addr)
	case s.Weight < 0 || s.Weight > 256:
		return fmt.Errorf("weight %d is not within 0 and 256", s.Weight)
	case s.MaxConn < 0:
		return fmt.Errorf("maxconn %d is negative", s.MaxConn)
	case s.State != haproxy.Ready && s.State != haproxy.Drain && s.State != haproxy.Maint:
		return fmt.Errorf("%q is not a state", s.State)
	}
	return nil
}

// safeChange checks all parts of a change that become part of a command.
func safeChange(c haproxy.Change, params func(backend string) string) error {
	var backend string
	var server haproxy.Server
	switch ch := c.(type) {
	case haproxy.AddServer:
		backend, server = ch.Backend, ch.Server
		if err := safeWords(params(backend)); err != nil {
			return fmt.Errorf("default-server parameters: %w", err)
		}
	case haproxy.SetServer:
		backend, server = ch.Backend, ch.Want
		server.Params = "" // the commands for a change do not contain them
		if ch.Have.Name != ch.Want.Name {
			return errors.New("a server cannot change its name")
		}
	case haproxy.RemoveServer:
		if err := safeName(ch.Backend); err != nil {
			return err
		}
		return safeName(ch.Server.Name)
	default:
		return errors.New("a running process cannot make this change")
	}
	if err := safeName(backend); err != nil {
		return err
	}
	return safeServer(server)
}
