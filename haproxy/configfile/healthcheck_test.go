package configfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// TestACheckIsUnderstoodOrLeftToHAProxy puts lines into the defaults and into the backend.
func TestACheckIsUnderstoodOrLeftToHAProxy(t *testing.T) {
	t.Parallel()
	const httpCheck = "    option httpchk\n    http-check send meth GET uri /health ver HTTP/1.1 hdr Host a.abc.com\n"
	tcp, http := haproxy.HealthCheck{Host: "a.abc.com"}, haproxy.HealthCheck{Host: "a.abc.com", Path: "/health"}
	for _, tt := range []struct {
		defaults, backend string
		want              haproxy.HealthCheck
		timeout           time.Duration // 0: not understood
	}{
		{"", "", tcp, 2 * time.Second},
		{"timeout connect 5s", "", tcp, 2 * time.Second},
		{"timeout connect 1500", "    timeout check 500ms\n", tcp, 500 * time.Millisecond},
		{"timeout connect 1m", "    timeout check 1000000us\n", tcp, time.Second},
		{"timeout check soon", "", tcp, 0},
		{"", httpCheck, http, 2 * time.Second},
		{"", httpCheck + "    http-check expect status 200\n", http, 0},
		{"", httpCheck + "    http-check expect status 200,401 # hapsync\n", haproxy.HealthCheck{Host: "a.abc.com", Path: "/health", Status: "200,401"}, 2 * time.Second},
		{"", strings.Replace(httpCheck, "Host a.abc.com", "Host b:80 # hapsync", 1), haproxy.HealthCheck{Host: "b:80", Path: "/health"}, 2 * time.Second},
		{"", strings.Replace(httpCheck, "Host a.abc.com", "Host b:80", 1), http, 0},
		{"", "    default-server inter 5s rise 1 fall 9 # hapsync\n", tcp, 2 * time.Second},
		{"", "    default-server ssl verify none sni str(a.abc.com) check-sni a.abc.com # hapsync\n", tcp, 0},
		{"", "    option httpchk\n", tcp, 0},
		{"", "    option httpchk GET /other\n", tcp, 0},
		{"option httpchk", "", tcp, 0},
		{"option httpchk", httpCheck, http, 0},
		{"http-check expect status 200", httpCheck, http, 0},
		{"option tcp-check", "", tcp, 0},
		{"", "    tcp-check connect port 80\n", tcp, 0},
		{"", "    no option httpchk\n", tcp, 0},
		{"", "    \"option\" 'tcp-check'\n", tcp, 0},
		{"option \"${KIND}\"", "", tcp, 0},
		{"option mysql-check user x", "", tcp, 0},
		{"option ssl-hello-chk", "", tcp, 0},
		{"", "    external-check command /bin/true\n", tcp, 0},
		{"", "    source 10.0.0.1\n", tcp, 0},
		{"option log-health-checks", "    option redispatch\n    http-request set-header X check\n", tcp, 2 * time.Second},
		{"default-server inter 1s fastinter 200ms downinter 200ms rise 2 fall 3 maxconn 100 on-marked-down shutdown-sessions", "", tcp, 2 * time.Second},
		{"default-server check-ssl", "", tcp, 0},
		{"default-server inter 1s port 8080", "", tcp, 0},
		{"default-server addr 10.0.0.1", "", tcp, 0},
		{"", "    default-server check-send-proxy\n", tcp, 0},
		{"", "    default-server send-proxy-v2\n", tcp, 0},
		{"", "    default-server agent-check agent-port 1\n", tcp, 0},
		{"default-server ssl verify none", "", tcp, 0},
		{"default-server namespace x", "", tcp, 0},
		{"default-server source 10.0.0.1", "", tcp, 0},
		{"default-server init-state down", "", tcp, 0},
		{"default-server inter", "", tcp, 0},
	} {
		dir := t.TempDir()
		base, managed := filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "hapsync.cfg")
		texts := map[string]string{base: "defaults\n    mode http\n    " + tt.defaults + "\n", managed: "frontend webin\n    bind :80\n    acl is_a.abc.com hdr(host) -i a.abc.com\n    use_backend a.abc.com_cluster if is_a.abc.com\n\n" +
			"backend a.abc.com_cluster\n    balance roundrobin\n    cookie SERVERID insert indirect nocache\n" + tt.backend +
			"    server s1 10.0.0.1:80 cookie s1 check\n"}
		for file, text := range texts {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		files, err := OpenFiles(haproxy.Settings{BaseFile: base, ManagedFile: managed, Frontends: []string{"webin"}, Binary: haproxytest.FirstHAProxy(t)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		f, err := files.Read()
		if err != nil {
			t.Fatal(err)
		}
		check, ok := f.HealthCheck("a.abc.com_cluster")
		if ok != (tt.timeout > 0) {
			t.Errorf("%q, %q: understood is %t", tt.defaults, tt.backend, ok)
			continue
		}
		if tt.want.Timeout = tt.timeout; ok && check != tt.want {
			t.Errorf("%q, %q: %+v, want %+v", tt.defaults, tt.backend, check, tt.want)
		}
	}
}
