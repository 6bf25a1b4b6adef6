package main

import "syscall"

// ownGroup puts a child into a process group of its own: the demo ends the whole group, and only the demo gets the terminal's
// ^C. Linux ends the child if the demo is killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
