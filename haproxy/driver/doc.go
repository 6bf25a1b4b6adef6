// Package driver is one HAProxy, its files and its process, as package sync works on it.
//
// It joins configfile and runtimeapi. The process cannot tell its rules: what it has loaded is kept beside the managed file,
// as a copy that names the worker (loaded.go), and the two are merged into one Config (merge.go). A reload that HAProxy
// refuses leaves the old worker, and the file as it was (reload.go).
//
// What reads and changes the process (state.go, run.go) belongs to one goroutine, what writes the file and reloads (file.go,
// reload.go) to another; the two may run at the same time. Check is what hapsync check says (doctor.go).
package driver
