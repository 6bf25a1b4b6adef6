//go:build !linux

package main

import "syscall"

// ownGroup puts a child into a process group of its own: the demo ends the whole group, and only the demo gets the terminal's
// ^C.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
