package registrar

import "syscall"

// ownGroup puts a child into a process group of its own. Linux ends the child if hapsync is killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
