// Package cli is hapsync's command line, whatever the command: flags that are settings (flags.go), those that commands
// share (shared.go), where a value comes from (resolve.go: flag, variable, config file, default), the config file, the
// help of a command, and errors of usage. A new flag that one command has is declared in that command's file; one that
// several have is declared in shared.go.
package cli
