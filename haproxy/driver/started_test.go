package driver

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

func TestTheAddressOfTheMastersSocketIsHAProxysOwn(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p := haproxytest.NewProc(t)
		p.MasterSocket = haproxytest.FreeAddr(t)
		p.Write(t, p.BaseFile, "")
		p.Write(t, p.ManagedFile, fmt.Sprintf(haproxytest.TwoDomains, "127.0.0.1:1", "127.0.0.1:1"))
		p.Start(t, bin)
		h, err := Open(haproxy.Settings{BaseFile: p.BaseFile, ManagedFile: p.ManagedFile, Binary: bin})
		if err != nil {
			t.Fatal(err)
		}
		st, err := h.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, addr := range []string{p.MasterSocket, p.Addr} {
			if st.Binds.At(netip.MustParseAddrPort(addr)) == "" {
				t.Errorf("%s is not among %v", addr, st.Binds.Listeners)
			}
		}
	})
}

// TestTheProgramThatRunsIsNotAskedForItsVersion leaves no time to ask it.
func TestTheProgramThatRunsIsNotAskedForItsVersion(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, "127.0.0.1:1", "127.0.0.1:1"))
		h, err := Open(haproxy.Settings{BaseFile: p.BaseFile, ManagedFile: p.ManagedFile, Binary: bin, CheckTimeout: time.Nanosecond})
		if err != nil {
			t.Fatal(err)
		}
		st, err := h.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if v, err := h.files.Program(t.Context()); err != nil || v != st.Capabilities.Version {
			t.Errorf("%v, %v: HAProxy %v runs", v, err, st.Capabilities.Version)
		}
	})
}

// TestTheMastersSocketIsThatOfTheCommandLine names it in no file, setting or environment: HAProxy 3.2 and 3.4 show it nowhere else.
func TestTheMastersSocketIsThatOfTheCommandLine(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, "127.0.0.1:1", "127.0.0.1:1"))
		h, err := Open(haproxy.Settings{BaseFile: p.BaseFile, ManagedFile: p.ManagedFile, Binary: bin})
		if err != nil {
			t.Fatal(err)
		}
		before, err := h.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		after, err := h.State(t.Context())
		if err != nil || after.Worker == before.Worker {
			t.Errorf("worker %s, before the reload %s: %v", after.Worker, before.Worker, err)
		}
	})
}
