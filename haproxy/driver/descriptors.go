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

// minMaxConn is the lowest maxconn that HAProxy chooses to make room for other descriptors, if no maxconn is set.
const minMaxConn = 100

// reloadReserve is how many more descriptors a reload needs than a start: 2, and one for each existing worker (measured on 3.0 to 3.4). By
// default HAProxy keeps 50 old workers (mworker-max-reloads).
const reloadReserve = 2 + 1 + 50

// descriptors computes the need of a worker and the configuration that it has loaded. cliMaxConn is the -n of its command line, or 0.
// HAProxy's own count (Maxsock) does not include servers that were added live. They count at the next start or reload.
func descriptors(b configfile.Base, w runtimeapi.Worker, loaded haproxy.Config, cliMaxConn int) haproxy.Descriptors {
	maxConn := cmp.Or(cliMaxConn, b.MaxConn)
	limit := descriptorLimit(w.Pid, b.Descriptors)
	if limit == 0 && maxConn == 0 {
		limit = w.MaxSock // HAProxy has chosen its maxconn to reach the limit
	}
	if limit > 0 && b.MaxDescriptors > 0 {
		limit = min(limit, b.MaxDescriptors)
	}
	conns := cmp.Or(maxConn, min(w.MaxConn, minMaxConn))
	return haproxy.Descriptors{Limit: limit, Other: w.MaxSock - loaded.Descriptors() - 2*w.MaxConn + 2*conns + reloadReserve}
}

// descriptorLimit is how many descriptors HAProxy may have; 0 if that cannot be read, as from another container. It is the hard limit of the
// master, or of the worker without a master, since a new worker inherits it. A HAProxy with the right to raise it has the kernel's limit.
// With ulimit-n, it takes that number, but not fewer than it was started with.
func descriptorLimit(pid, ulimit int) int {
	if !isHAProxy(pid) {
		return 0
	}
	if ulimit > 0 {
		soft, _ := strconv.Atoi(procField(pid, "limits", "Max open files", 0))
		return max(ulimit, soft)
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

// procField is a word of a line in a /proc file of a process. line is the start of the line. It is empty if there is none.
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
