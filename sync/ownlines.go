package sync

import (
	"errors"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry"
)

// linesOf are the further lines of the backend of a domain. An operator's own line of the same keyword wins, and is named.
func linesOf(d registry.Domain, prefix string, file haproxy.Backend) (lines string, problems []registry.Problem) {
	if d.Held && file.Name != "" {
		return file.Options.Lines, nil
	}
	var all []string
	if timeout := d.Options.TimeoutServer; timeout != "" {
		if slices.Contains(file.Own, haproxy.TimeoutServer) {
			problems = append(problems, registry.NewProblem(prefix+"/"+d.Name+"/timeout-server",
				errors.New("your own line \"timeout server\" in backend "+file.Name+" counts instead: delete that, or the key")))
		} else {
			all = append(all, haproxy.TimeoutServer+" "+timeout)
		}
	}
	if d.Options.Maintenance {
		all = append(all, "http-request deny deny_status 503")
	}
	if d.Options.RedirectHTTPS {
		all = append(all, "http-request redirect scheme https code 301 unless { ssl_fc }")
	}
	return strings.Join(all, "\n"), problems
}
