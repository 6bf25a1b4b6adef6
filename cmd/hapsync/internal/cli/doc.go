// Package cli is hapsync's command line: flags (flags.go), the flags that commands share (shared.go), where a value comes from
// (resolve.go: flag, variable, config file, default), the config file, help, and usage errors. A new flag of one command goes
// into that command's file, a new flag of several commands into shared.go.
package cli
