package e2e

import (
	"os"
	"strings"
	"testing"
	"text/template"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// confdTemplate is the classic one.
var confdTemplate = template.Must(template.New("").Parse(`frontend webin
    bind {{.Bind}}
{{range $d, $hosts := .Domains}}    acl is_{{$d}} hdr(host) -i {{$d}}
    use_backend {{$d}}_cluster if is_{{$d}}
{{end}}{{range $d, $hosts := .Domains}}
backend {{$d}}_cluster
    balance roundrobin
    cookie SERVERID insert indirect nocache
{{range $h, $attr := $hosts}}    server {{$h}} {{$attr.ip}}:{{$attr.port}} cookie {{$h}}
{{end}}{{end}}`))

// byTemplate is how long a change takes that a template tool makes: it reads all keys, renders all, validates and reloads.
func (f *following) byTemplate(b *testing.B) time.Duration {
	s := f.move(b)
	start := f.change(b, s)
	if err := f.sees(s); err != nil {
		b.Fatal(err)
	}
	keys, err := world.etcd.client.Get(b.Context(), f.prefix+"/", clientv3.WithPrefix())
	if err != nil {
		b.Fatal(err)
	}
	var text strings.Builder
	if err := confdTemplate.Execute(&text, map[string]any{"Bind": f.web, "Domains": hostsBelow(f.prefix, keys.Kvs)}); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(f.managedFile, []byte(text.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	f.floor(b)
	f.served(b, s)
	return time.Since(start)
}
