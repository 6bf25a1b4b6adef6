// Package driver is one HAProxy, its files and its process, for package sync.
//
// It joins configfile and runtimeapi. The process cannot show its rules. So the text that a worker has loaded is copied beside the managed
// file, below a line that names the worker (loaded.go). Both are merged into one Config (merge.go). If HAProxy refuses a reload, the old
// worker stays, and the file is restored (reload.go).
//
// Reading and changing the process (state.go, run.go) belongs to one goroutine, writing the file and reloading (file.go, reload.go) to
// another. Both may run at the same time. Check has the findings of hapsync check (doctor.go).
package driver
