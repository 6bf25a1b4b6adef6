package configfile

import (
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"unsafe"
	"weak"

	"github.com/google/go-cmp/cmp"

	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

var errKept = errors.New("it is kept")

func TestWhatIsDetachedSaysTheSameAndKeepsNoText(t *testing.T) {
	t.Parallel()
	text := siteTop + siteHead + "    acl is_a.com hdr(host) -i a.com\n    acl is_a.com hdr(host) -i www.a.com # hapsync\n    acl is_c.com hdr(host) -i c.com\n" +
		"    use_backend a.com_cluster if is_a.com\n    use_backend c.com_cluster if is_c.com\n" +
		siteBackend("a.com") + "    server s2 10.0.0.2:80 cookie s2 check weight 7 maxconn 3 inter 5s\n    server other 10.0.0.3:80\n" +
		siteBackend("c.com") + "    option httpchk\n" + spareOne
	files := openSite(t, haproxytest.FirstHAProxy(t), text, 1)
	f := readSite(t, files)
	kept := weak.Make(unsafe.StringData(f.Text))
	d := f.Managed.Detached()
	addrs := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
	for what, both := range map[string][2]any{
		"the configuration": {f.Managed.Config, d.Config}, "spare backends": {f.Managed.Spares, d.Spares}, "routes": {f.Managed.Routes, d.Routes}, "frontends with a map": {f.Managed.ByMap, d.ByMap},
		"further names": {f.Managed.Named, d.Named}, "other servers": {f.Managed.NotOurs, d.NotOurs}, "other spare backends": {f.Managed.otherSpares, d.otherSpares},
	} {
		if diff := cmp.Diff(both[0], both[1], addrs); diff != "" {
			t.Errorf("%s (-read +detached):\n%s", what, diff)
		}
	}
	if len(d.Config.Backends) != 2 || len(d.Config.Rules) != 2 || len(d.NotOurs) != 1 || len(d.Named) != 1 {
		t.Errorf("not all of it was read: %+v", d)
	}
	haproxytest.Eventually(t, "the text is gone", func() error {
		files, f = nil, Reading{}
		runtime.GC()
		if kept.Value() != nil {
			return errKept
		}
		return nil
	})
	runtime.KeepAlive(d)
}
