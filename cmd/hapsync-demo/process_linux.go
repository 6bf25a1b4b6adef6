package main

import "syscall"

// ownGroup puts a child into a process group of its own, which the demo ends as a whole; the terminal's ^C reaches only
// the demo. Linux ends the child even where the demo is killed and cannot.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
