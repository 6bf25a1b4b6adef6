package driver

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/configfile"
	"github.com/hapsync/hapsync/haproxy/runtimeapi"
)

// fewestConns is the maxconn down to which HAProxy goes where none is set, to make room for other descriptors.
const fewestConns = 100

// reloadReserve is what a reload needs more than a start: 2, and one for each worker that is there then (measured on 3.0 to 3.4). By
// default HAProxy keeps 50 old ones (mworker-max-reloads).
const reloadReserve = 2 + 1 + 50

// descriptors are those of a worker that has loaded a configuration, and whose master was started with so many connections on its
// command line; 0 where none are named there. Servers that were added live are not in its own count (Maxsock): they get their part of it when
// HAProxy starts again, or reloads.
func descriptors(b configfile.Base, w runtimeapi.Worker, loaded haproxy.Config, told int) haproxy.Descriptors {
	maxConn := cmp.Or(told, b.MaxConn)
	limit := mayHave(w.Pid, b.Descriptors)
	if limit == 0 && maxConn == 0 {
		limit = w.MaxSock // it has chosen its maxconn so that this is reached
	}
	if limit > 0 && b.MaxDescriptors > 0 {
		limit = min(limit, b.MaxDescriptors)
	}
	conns := cmp.Or(maxConn, min(w.MaxConn, fewestConns))
	return haproxy.Descriptors{Limit: limit, Other: w.MaxSock - loaded.Descriptors() - 2*w.MaxConn + 2*conns + reloadReserve}
}

// mayHave is how many descriptors HAProxy may have: the hard limit of the master, which a new worker gets, or of the worker where
// there is no master; 0 where that cannot be read, as in another container. A HAProxy that may raise it has the kernel's. If it is told
// how many to take (ulimit-n), it takes no more than these, and no fewer than it is started with.
func mayHave(pid, told int) int {
	if !isHAProxy(pid) {
		return 0
	}
	if told > 0 {
		soft, _ := strconv.Atoi(procField(pid, "limits", "Max open files", 0))
		return max(told, soft)
	}
	if master, err := strconv.Atoi(procField(pid, "status", "PPid:", 0)); err == nil && isHAProxy(master) {
		pid = master
	}
	const sysResource = 1 << 24
	caps, err := strconv.ParseUint(procField(pid, "status", "CapEff:", 0), 16, 64)
	if err == nil && caps&sysResource != 0 {
		if text, err := os.ReadFile("/proc/sys/fs/nr_open"); err == nil {
			n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
			return n
		}
	}
	n, _ := strconv.Atoi(procField(pid, "limits", "Max open files", 1))
	return n
}

func isHAProxy(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	program, _, _ := strings.Cut(string(text), "\x00")
	return err == nil && strings.Contains(filepath.Base(program), "haproxy")
}

// procField is a word of the line of a file about a process that begins so; empty where there is none.
func procField(pid int, file, line string, word int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	for l := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(l, line)
		if words := strings.Fields(rest); ok && word < len(words) {
			return words[word]
		}
	}
	return ""
}
