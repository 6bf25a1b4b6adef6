package runtimeapi

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

func TestABackendIsFoundByItsNameOfItsOwnWorkerAlone(t *testing.T) {
	t.Parallel()
	h := haproxytest.StartHost(t, "h")
	p := haproxytest.StartHAProxy(t, haproxytest.FirstHAProxy(t), healthBase(), fmt.Sprintf(healthFile, h.Addr, h.Addr))
	r := runtimeOf(p)
	r.Names = new(Names)
	w, err := r.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := w
	other.Pid++
	r.Names.Set(w, map[string]string{"c.com_cluster": "b"})
	_, backends, err := r.Look(t.Context(), "b", "c.com_cluster")
	if err != nil || len(backends) != 1 || backends[0].Name != "c.com_cluster" || len(backends[0].Servers) != 2 {
		t.Errorf("%+v, %v", backends, err)
	}
	servers, err := r.Servers(t.Context(), "c.com")
	if err != nil || len(servers) != 2 || servers[0].Domain != "c.com" {
		t.Errorf("%+v, %v", servers, err)
	}
	r.Names.Set(other, map[string]string{"b": "gone"})
	_, backends, err = r.Look(t.Context(), "b")
	if err != nil || len(backends) != 1 || backends[0].Name != "b" || len(backends[0].Servers) != 2 {
		t.Errorf("by the names of another worker: %+v, %v", backends, err)
	}
	r.Names.Set(other, map[string]string{"c.com_cluster": "b"})
	if _, all, err := r.Look(t.Context()); err != nil || len(all) == 0 || all[0].Name != "b" {
		t.Errorf("by the names of another worker: %+v, %v", all, err)
	}
	if servers, err = r.Servers(t.Context(), "c.com"); err != nil || len(servers) > 0 {
		t.Errorf("by the names of another worker: %+v, %v", servers, err)
	}
}

func TestCommandsHaveTheNamesThatTheProcessHas(t *testing.T) {
	t.Parallel()
	var n Names
	w := Worker{Pid: 1, Started: time.Unix(1700000000, 0)}
	n.Set(w, map[string]string{"c.com_cluster": "hapsync-spare-1", "show": "hapsync-spare-2"})
	for own, wire := range map[string]string{
		"show info;show servers state c.com_cluster;show stat c.com_cluster 6 -1": "show info;show servers state hapsync-spare-1;show stat hapsync-spare-1 6 -1",
		"show servers state":                "show servers state",
		"show stat -1 6 -1":                 "show stat -1 6 -1",
		"show servers state xc.com_cluster": "show servers state xc.com_cluster",
		"add server c.com_cluster/c.com_cluster 10.0.0.1:80 check cookie c.com_cluster weight 1":                      "add server hapsync-spare-1/c.com_cluster 10.0.0.1:80 check cookie c.com_cluster weight 1",
		"enable health c.com_cluster/s;enable server c.com_cluster/s;set server c.com_cluster/s health down":          "enable health hapsync-spare-1/s;enable server hapsync-spare-1/s;set server hapsync-spare-1/s health down",
		"set maxconn server c.com_cluster/s 7;enable agent c.com_cluster/s;del server c.com_cluster/s":                "set maxconn server hapsync-spare-1/s 7;enable agent hapsync-spare-1/s;del server hapsync-spare-1/s",
		"add map /f.map c.com c.com_cluster;set map /f.map d.com c.com_cluster;add map @3 /f.map e.com e.com_cluster": "add map /f.map c.com hapsync-spare-1;set map /f.map d.com hapsync-spare-1;add map @3 /f.map e.com e.com_cluster",
		"del map /f.map c.com_cluster":                           "del map /f.map c.com_cluster",
		"set ssl cert /c.pem <<\nx;del server c.com_cluster/s\n": "set ssl cert /c.pem <<\nx;del server c.com_cluster/s\n",
	} {
		if got := n.load().toWire(own); got != wire {
			t.Errorf("%q is sent as %q, want %q", own, got, wire)
		}
	}
	if other := n.load().of(Worker{Pid: 2, Started: w.Started}); len(other.wire)+len(other.own) > 0 {
		t.Errorf("another worker has %v", other)
	}
	if got := n.load().of(w).fromWire("hapsync-spare-1"); got != "c.com_cluster" {
		t.Errorf("hapsync-spare-1 is read as %q", got)
	}
	for on, want := range map[string]string{"hapsync-spare-1": "c.com_cluster", "c.com_cluster": "c.com_cluster (not in the process)", "b": "b"} {
		if got := n.load().fromMap(on); got != want {
			t.Errorf("a map that says %s is read as %q, want %q", on, got, want)
		}
	}
}

func TestAServerIsNotMadeAgainInASpareBackendThatIsAnothersMeanwhile(t *testing.T) {
	t.Parallel()
	p := haproxytest.StartHAProxy(t, haproxytest.FirstHAProxy(t), "", fmt.Sprintf(haproxytest.TwoDomains, "127.0.0.1:1", "127.0.0.1:2"))
	r := runtimeOf(p)
	r.Names = new(Names)
	w, err := r.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.Names.Set(w, map[string]string{"c.com_cluster": haproxytest.BackendB})
	o := Commands{Capabilities: capabilities(t, r), Params: noParams, Again: func() error {
		r.Names.Set(w, map[string]string{"d.com_cluster": haproxytest.BackendB})
		return nil
	}}
	s := haproxy.Server{Name: "server1", Addr: netip.MustParseAddrPort("127.0.0.1:3"), Cookie: "server1", Weight: 1, State: haproxy.Ready}
	_, err = r.CarryOut(t.Context(), o, []haproxy.Change{haproxy.AddServer{Backend: "c.com_cluster", Server: s}}, View{}, 0)
	var refused *haproxy.RunError
	if !errors.As(err, &refused) {
		t.Errorf("%v, want a refusal", err)
	}
	_, backends, err := r.Look(t.Context(), "d.com_cluster")
	if err != nil || len(backends) != 1 || len(backends[0].Servers) != 1 || backends[0].Servers[0].Addr.Port() != 2 {
		t.Errorf("the server of the other domain became %+v, %v", backends, err)
	}
}
