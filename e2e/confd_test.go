package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A confd is a stand-in for confd: at each change below the prefix it renders the whole file, and, if that is another one, has haproxy
// check it, renames it into place and reloads HAProxy.
type confd struct {
	box *box
	// faulty leaves a host out, as a template with a fault does: "a.abc.com/server3".
	faulty string
	// further are lines at the end of the file that the registry has no key for.
	further string
	end     func()
}

// confdFile is the classic template, below what the box's file begins with.
var confdFile = template.Must(template.New("").Parse(`{{.Head}}frontend webin
    bind {{.Bind}}
    {{range $d, $hosts := .Domains}}
    acl is_{{$d}} hdr(host) -i {{$d}}
    {{end}}

    {{range $d, $hosts := .Domains}}
    use_backend {{$d}}_cluster if is_{{$d}}
    {{end}}
{{range $d, $hosts := .Domains}}
backend {{$d}}_cluster
    balance roundrobin
    cookie SERVERID insert indirect nocache
    {{range $h, $attr := $hosts}}
    server {{$h}} {{$attr.ip}}:{{$attr.port}} cookie {{$h}} check
    {{end}}
{{end}}{{.Further}}`))

// start follows the registry until stop is called, or the test ends.
func (c *confd) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil { // a watch ends where etcd has no leader for a moment
			changes := world.etcd.client.Watch(clientv3.WithRequireLeader(ctx), c.box.prefix+"/", clientv3.WithPrefix())
			c.render(ctx, t)
			for range changes {
				c.render(ctx, t)
			}
		}
	})
	c.end = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(c.end)
}

func (c *confd) stop() { c.end() }

// hostsBelow are the keys of hosts below a prefix, by domain and host, as a template tool has them.
func hostsBelow(prefix string, keys []*mvccpb.KeyValue) map[string]map[string]map[string]string {
	domains := map[string]map[string]map[string]string{}
	for _, kv := range keys {
		path := strings.Split(strings.TrimPrefix(string(kv.Key), prefix+"/"), "/")
		if len(path) != 3 {
			continue
		}
		if domains[path[0]] == nil {
			domains[path[0]] = map[string]map[string]string{}
		}
		if domains[path[0]][path[1]] == nil {
			domains[path[0]][path[1]] = map[string]string{}
		}
		domains[path[0]][path[1]][path[2]] = string(kv.Value)
	}
	return domains
}

func (c *confd) render(ctx context.Context, t *testing.T) {
	t.Helper()
	keys, err := world.etcd.client.Get(ctx, c.box.prefix+"/", clientv3.WithPrefix())
	if err != nil {
		return // it ends
	}
	domains := hostsBelow(c.box.prefix, keys.Kvs)
	domain, host, _ := strings.Cut(c.faulty, "/")
	delete(domains[domain], host)
	for _, hosts := range domains { // those that are half written
		for name, attr := range hosts {
			if attr["ip"] == "" || attr["port"] == "" {
				delete(hosts, name)
			}
		}
	}
	have, err := os.ReadFile(c.box.baseFile)
	if err != nil {
		t.Error(err)
		return
	}
	head, _, _ := strings.Cut(string(have), "frontend webin\n")
	var text strings.Builder
	if err := confdFile.Execute(&text, map[string]any{"Head": head, "Bind": c.box.web, "Domains": domains, "Further": c.further}); err != nil {
		t.Error(err)
		return
	}
	if text.String() != string(have) {
		c.install(t, text.String())
	}
}

// install is what confd does with check_cmd and reload_cmd.
func (c *confd) install(t *testing.T, text string) {
	staged := filepath.Join(filepath.Dir(c.box.baseFile), ".haproxy.cfg.confd")
	if err := os.WriteFile(staged, []byte(text), 0o644); err != nil {
		t.Error(err)
		return
	}
	if err := os.Rename(staged, c.box.baseFile); err != nil {
		t.Error(err)
		return
	}
	if err := c.box.master.Cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Error(err)
	}
}
