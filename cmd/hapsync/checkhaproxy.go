package main

import (
	"context"
	"fmt"

	"github.com/hapsync/hapsync/haproxy"
)

// checkHAProxy says what can be said from the file and the process.
func (p program) checkHAProxy(ctx context.Context, settings haproxy.Settings) []finding {
	instance, err := p.open(settings)
	if err != nil {
		return []finding{{"fail", "HAProxy", err.Error(), "", err}}
	}
	st, err := instance.State(ctx)
	if err != nil {
		return []finding{{"fail", "HAProxy", err.Error(), "", err}}
	}
	findings := []finding{checkFile(settings.ManagedFile, st), checkProcess(st)}
	for _, warning := range st.Warnings {
		findings = append(findings, finding{level: "warn", what: "configuration", detail: warning})
	}
	return findings
}

func checkFile(path string, st haproxy.State) finding {
	f := finding{level: "ok", what: "managed file " + path, detail: count(len(st.File.Backends), "managed backend")}
	switch {
	case st.Missing:
		f.level, f.detail, f.remedy = "warn", "there is none", "hapsync init creates it, or the next hapsync sync"
	case st.NoEdit != "":
		f.level, f.detail, f.remedy = "warn", st.NoEdit, "hapsync rewrites its own lines only, which is safe"
	}
	return f
}

func checkProcess(st haproxy.State) finding {
	f := finding{level: "ok", what: "process", detail: fmt.Sprintf("HAProxy %s answers", st.Capabilities.Version)}
	switch {
	case st.Down != nil:
		return finding{"fail", "process", st.Down.Error(), "", fmt.Errorf("%w: %w", errNotRunning, st.Down)}
	case !st.Capabilities.CookieLive:
		f.detail += "; a new server needs a reload (from 3.0 on it does not)"
	}
	return f
}
