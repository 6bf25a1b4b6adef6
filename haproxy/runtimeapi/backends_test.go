package runtimeapi

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

// oddities is a file of foreign backends with everything that is difficult to read.
const oddities = `frontend webin
    bind @ADDR@
    default_backend odd
listen tcp
    mode tcp
    balance leastconn
    bind unix@@DIR@/listen.sock
    server x 127.0.0.1:1
backend empty
    balance random(3)
backend odd
    balance roundrobin
    cookie KEEP insert
    description a,b "c" d
    option tcp-check
    server checked 127.0.0.1:1 cookie c check
    server plain 127.0.0.1:2 cookie plain weight 0 maxconn 5
    server spare [::1]:3 backup
    server spare-down 127.0.0.1:1 backup check
    server out 127.0.0.1:4 disabled
    server spare-out 127.0.0.1:4 disabled backup check weight 7
    server socket @DIR@/host.sock
    server abstract abns@hap check
    server named localhost:5
    server unnamed nohost.invalid:6 init-addr none
    server tracking 127.0.0.1:7 track odd/checked
    server agent 127.0.0.1:8 agent-check agent-port 1
    server shifted 127.0.0.1:+9
    server-template many 2 127.0.0.1:10
backend 2_cluster
    server s 127.0.0.1:1
`

func odd(name, addr string, change func(*haproxy.Server)) haproxy.Server {
	s := haproxy.Server{Name: name, Weight: 1, State: haproxy.Ready}
	if addr != "" {
		s.Addr = netip.MustParseAddrPort(addr)
	}
	if change != nil {
		change(&s)
	}
	return s
}

func TestEveryKindOfServerIsRead(t *testing.T) {
	t.Parallel()
	want := []haproxy.Server{
		odd("abstract", "", func(s *haproxy.Server) { s.Check = true }),
		odd("agent", "127.0.0.1:8", nil),
		odd("checked", "127.0.0.1:1", func(s *haproxy.Server) { s.Check, s.Cookie = true, "c" }),
		odd("many1", "127.0.0.1:10", nil),
		odd("many2", "127.0.0.1:10", nil),
		odd("named", "127.0.0.1:5", nil),
		odd("out", "127.0.0.1:4", func(s *haproxy.Server) { s.State = haproxy.Maint }),
		odd("plain", "127.0.0.1:2", func(s *haproxy.Server) { s.Cookie, s.Weight, s.MaxConn = "plain", 0, 5 }),
		odd("shifted", "127.0.0.1:9", nil),
		odd("socket", "", nil),
		odd("spare", "[::1]:3", func(s *haproxy.Server) { s.Backup = true }),
		odd("spare-down", "127.0.0.1:1", func(s *haproxy.Server) { s.Backup, s.Check = true, true }),
		odd("spare-out", "127.0.0.1:4", func(s *haproxy.Server) { s.Backup, s.Check, s.State, s.Weight = true, true, haproxy.Maint, 7 }),
		odd("tracking", "127.0.0.1:7", nil),
		odd("unnamed", "", func(s *haproxy.Server) { s.State = haproxy.Maint }),
	}
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p := haproxytest.StartHAProxy(t, bin, "", oddities)
		r := runtimeOf(p)
		haproxytest.Eventually(t, "the checks have failed", func() error {
			if stat := p.Must(t, "show stat odd 4 -1"); strings.Count(stat, ",L4CON,") < 2 {
				return fmt.Errorf("%q", stat)
			}
			return nil
		})
		wantServers(t, r, "odd", want...)
		all, err := r.backends(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, b := range all {
			have = append(have, fmt.Sprintf("%s mode=%s balance=%s cookie=%s servers=%d", b.Name, b.Mode, b.Balance, b.Cookie, len(b.Servers)))
			for _, s := range b.Servers {
				if down := strings.HasPrefix(s.Status, "DOWN"); s.Name == "checked" && !down || s.Name == "plain" && down {
					t.Errorf("%s is %q", s.Name, s.Status)
				}
			}
		}
		lines := []string{
			"2_cluster mode=http balance=" + defaultBalance(t, bin) + " cookie= servers=1",
			"empty mode=http balance=unknown cookie= servers=0",
			"odd mode=http balance=roundrobin cookie=KEEP servers=15",
			"tcp mode=tcp balance=leastconn cookie= servers=1",
		}
		if diff := cmp.Diff(lines, have); diff != "" {
			t.Error(diff)
		}
		named, err := r.backends(t.Context(), "tcp", "3_cluster", "4_cluster", "5_cluster", "webin", "2_cluster", "tcp", "missing")
		if err != nil || len(named) != 2 || named[0].Name != "2_cluster" || len(named[0].Servers) != 1 || named[1].Name != "tcp" {
			t.Errorf("by name: %+v, %v", named, err)
		}
	})
}

// defaultBalance is the algorithm that HAProxy shows for a backend without a balance line: random from 3.3 on.
func defaultBalance(t *testing.T, bin string) string {
	t.Helper()
	if v := haproxytest.VersionOf(t, bin); v.Major > 3 || v.Major == 3 && v.Minor >= 3 {
		return "unknown"
	}
	return "roundrobin"
}

func TestABackendIsFoundBehindAFrontendOfItsName(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		if v := haproxytest.VersionOf(t, bin); v.Major > 3 || v.Major == 3 && v.Minor >= 3 {
			return // this version refuses such a configuration
		}
		p := haproxytest.StartHAProxy(t, bin, "", "frontend same\n    bind @ADDR@\nbackend same\n    server s 127.0.0.1:1\n")
		have, err := runtimeOf(p).backends(t.Context(), "same")
		if err != nil || len(have) != 1 || len(have[0].Servers) != 1 {
			t.Errorf("%+v, %v", have, err)
		}
	})
}

func TestASessionIsCounted(t *testing.T) {
	t.Parallel()
	h := startHeldHost(t)
	p := haproxytest.StartHAProxy(t, haproxytest.FirstHAProxy(t), "", fmt.Sprintf(haproxytest.TwoDomains, h.Addr, h.Addr))
	answer := h.request(t, p)
	have, err := runtimeOf(p).backends(t.Context(), haproxytest.BackendA)
	if err != nil || len(have) != 1 || have[0].Servers[0].Sessions != 1 {
		t.Errorf("%+v, %v", have, err)
	}
	close(h.release)
	<-answer
}

func TestColumnsAreFoundByNameAndQuotesAreTakenOff(t *testing.T) {
	t.Parallel()
	const reply = "1\n# srv_name be_name srv_port srv_addr future srv_check_state srv_check_result srv_uweight srv_admin_state srv_op_state srv_agent_state srv_iweight\n" +
		"s b 80 10.0.0.1 9 6 3 5 8 2 22 7\n\n" +
		"# pxname,type,last_chk,slim,scur,bck,status,cookie,mode,algo,svname,future\n" +
		"b,2,\"a \"\"b\"\",\nc\",7,2,1,DRAIN,k,http,,s,x\n" +
		"b,1,,,2,0,UP,SERVERID,http,\"leastconn\",BACKEND,x\n\n"
	l := newLiveReader(nil)
	if err := l.read(strings.NewReader(reply), 2); err != nil {
		t.Fatal(err)
	}
	want := []Backend{{Name: "b", Mode: "http", Balance: "leastconn", Cookie: "SERVERID", Sessions: 2, Servers: []Server{{
		Server:   haproxy.Server{Name: "s", Addr: netip.MustParseAddrPort("10.0.0.1:80"), Cookie: "k", Check: true, Weight: 5, MaxConn: 7, Backup: true, State: haproxy.Drain, Params: ""},
		Status:   "DRAIN",
		Sessions: 2,
		Agent:    true, LoadedWeight: 7,
	}}}}
	if diff := cmp.Diff(want, l.result(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// manyBackends is the reply to showAll of a process with a number of backends of two servers.
func manyBackends(count int) []byte {
	state := bytes.NewBufferString(NoHealth)
	stat := bytes.NewBufferString("# " + strings.Join(statColumns, ",") + ",\n")
	row := func(known ...string) {
		for i, column := range statColumns {
			if at := slices.Index(known, column); at >= 0 {
				stat.WriteString(known[at+1])
			} else if i%3 == 0 {
				stat.WriteByte('0')
			}
			stat.WriteByte(',')
		}
		stat.WriteByte('\n')
	}
	for i := range count {
		backend := fmt.Sprintf("d%d.example.com_cluster", i)
		for j := range 2 {
			name, addr := fmt.Sprintf("server%d", j), fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
			fmt.Fprintf(state, "%d %s %d %s %s 2 0 1 1 69 1 0 2 0 0 0 0 - 80 - 0 0 - - 0\n", i, backend, j, name, addr)
			row("pxname", backend, "svname", name, "type", "2", "status", "no check", "slim", "", "bck", "0", "cookie", name, "mode", "http")
		}
		row("pxname", backend, "svname", "BACKEND", "type", "1", "cookie", "SERVERID", "mode", "http", "algo", "roundrobin")
	}
	state.WriteByte('\n')
	stat.WriteByte('\n')
	return append(state.Bytes(), stat.Bytes()...)
}

// TestTheReaderKnowsWhichBackendsAreAbsent reads the replies to "show servers state" of three backends, of which HAProxy has one.
func TestTheReaderKnowsWhichBackendsAreAbsent(t *testing.T) {
	t.Parallel()
	r := newLiveReader([]string{"a", "b", "c"})
	r.states = []string{"a", "b", "c"}
	reply := "Can't find backend.\n\n" + NoHealth + "\nCan't find backend.\n\n"
	if err := r.read(strings.NewReader(reply), 3); err != nil || !maps.Equal(r.absent, map[string]bool{"a": true, "c": true}) {
		t.Errorf("absent %v, %v", r.absent, err)
	}
}

// statColumns are the columns of "show stat" of HAProxy 2.6.
var statColumns = strings.Split("pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,"+
	"status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,"+
	"rate_max,check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,"+
	"req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,"+
	"ctime,rtime,ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,check_fall,check_health,"+
	"agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,"+
	"connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,ttime_max,eint,idle_conn_cur,"+
	"safe_conn_cur,used_conn_cur,need_conn_est,uweight,agg_server_status,agg_server_check_status,agg_check_status,srid,"+
	"sess_other,h1sess,h2sess,h3sess,req_other,h1req,h2req,h3req,proto,-", ",")

func TestTenThousandBackendsAreRead(t *testing.T) {
	t.Parallel()
	l := newLiveReader(nil)
	if err := l.read(bytes.NewReader(manyBackends(10_000)), 2); err != nil {
		t.Fatal(err)
	}
	have := l.result()
	if len(have) != 10_000 || len(have[9_999].Servers) != 2 || have[9_999].Servers[1].Cookie != "server1" {
		t.Errorf("%d backends, the last is %+v", len(have), have[len(have)-1])
	}
}

func BenchmarkReadTenThousandBackends(b *testing.B) {
	reply := manyBackends(10_000)
	b.SetBytes(int64(len(reply)))
	b.ReportAllocs()
	for b.Loop() {
		l := newLiveReader(nil)
		if err := l.read(bytes.NewReader(reply), 2); err != nil {
			b.Fatal(err)
		}
		if have := l.result(); len(have) != 10_000 {
			b.Fatal(len(have))
		}
	}
}

func TestSessionsOfABackendWithoutServersAreReadAgainEachTime(t *testing.T) {
	t.Parallel()
	const file = "frontend webin\n    bind @ADDR@\n    default_backend empty\n\nbackend empty\n    http-request wait-for-body time 10s\n"
	p := haproxytest.StartHAProxy(t, haproxytest.FirstHAProxy(t), "", file)
	r := runtimeOf(p)
	r.Cache = &Cache{}
	sessions := func(want int) {
		t.Helper()
		haproxytest.Eventually(t, fmt.Sprintf("the backend has %d sessions", want), func() error {
			_, backends, err := r.Look(t.Context(), "empty")
			if err == nil && (len(backends) != 1 || backends[0].Sessions != want) {
				err = fmt.Errorf("read %+v", backends)
			}
			return err
		})
	}
	sessions(0)
	conn, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	sessions(1)
}

// TestABackendThatWasForgottenIsReadOverOneConnection relays each line to HAProxy and counts them.
func TestABackendThatWasForgottenIsReadOverOneConnection(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		p := haproxytest.StartHAProxy(t, bin, "", fmt.Sprintf(haproxytest.TwoDomains, "127.0.0.1:1", "127.0.0.1:2"))
		lines := make(chan string, 10)
		r := fakeSocket(t, func(conn net.Conn, line string) {
			lines <- line
			err := runtimeOf(p).converse(t.Context(), strings.TrimSpace(line), func(reply io.Reader) error {
				_, err := io.Copy(conn, reply)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		r.Cache = &Cache{}
		names := []string{haproxytest.BackendA, haproxytest.BackendB, "gone.abc.com_cluster"}
		looks := func(want int) []Backend {
			t.Helper()
			_, backends, err := r.Look(t.Context(), names...)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(lines); got != want {
				t.Errorf("read over %d connections, want %d", got, want)
			}
			for len(lines) > 0 {
				<-lines
			}
			return backends
		}
		read := looks(2)
		r.Cache.Forget(names...)
		if diff := cmp.Diff(read, looks(1), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("read at once (-in two parts +at once):\n%s", diff)
		}
	})
}

// TestManyBackendsAreReadAsFewAre has enough backends to read all of them at once.
func TestManyBackendsAreReadAsFewAre(t *testing.T) {
	t.Parallel()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		file, names := "frontend webin\n    bind @ADDR@\n", []string(nil)
		for i := range fullStat + 1 {
			name := fmt.Sprintf("d%04d_cluster", i)
			file += "backend " + name + "\n    cookie S insert\n    server server1 127.0.0.1:1 cookie server1 maxconn 7\n"
			names = append(names, name)
		}
		r := runtimeOf(haproxytest.StartHAProxy(t, bin, "", file+"backend other\n    server server1 127.0.0.1:2\n"))
		r.Cache = &Cache{}
		looks := func(names ...string) []Backend {
			t.Helper()
			_, backends, err := r.Look(t.Context(), names...)
			if err != nil {
				t.Fatal(err)
			}
			return backends
		}
		unknown := looks(names...)
		r.Cache.Forget(names...)
		forgotten := looks(names...)
		one := append(looks(names[0]), looks(names[1:10]...)...)
		addrs := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
		all := slices.DeleteFunc(looks(), func(b Backend) bool { return b.Name == "other" })
		for how, got := range map[string][]Backend{"unknown ones": unknown, "forgotten ones": forgotten, "few of them": append(one, all[len(one):]...)} {
			if diff := cmp.Diff(all, got, addrs); diff != "" || len(got) != len(names) {
				t.Errorf("%s, %d (-all +these):\n%s", how, len(got), diff)
			}
		}
	})
}

func TestWhatIsRecentEndsWithARunAndWithWhatIsForgotten(t *testing.T) {
	t.Parallel()
	p := haproxytest.StartHAProxy(t, haproxytest.FirstHAProxy(t), "", fmt.Sprintf(haproxytest.TwoDomains, "127.0.0.1:1", "127.0.0.1:2"))
	r := runtimeOf(p)
	r.Cache = &Cache{}
	const gone = "gone.abc.com_cluster"
	is := func(when string, want bool, names ...string) {
		t.Helper()
		if w, backends, ok := r.Cache.Recent(names); ok != want || ok && (len(backends) != 1 || backends[0].Name != haproxytest.BackendA || w.Pid == 0) {
			t.Errorf("%s: recent is %v of %+v, %t, want %t", when, backends, w, ok, want)
		}
	}
	look := func(names ...string) {
		t.Helper()
		if _, _, err := r.Look(t.Context(), names...); err != nil {
			t.Fatal(err)
		}
	}
	is("unread", false, haproxytest.BackendA)
	look(haproxytest.BackendA, gone)
	is("read, one of them as not there", true, haproxytest.BackendA, gone)
	is("another one is unread", false, haproxytest.BackendA, haproxytest.BackendB)
	r.Cache.Forget(gone)
	is("one is forgotten", false, haproxytest.BackendA, gone)
	look(gone)
	is("it is read again", true, haproxytest.BackendA, gone)
	r.Cache.Ran()
	is("the process was changed", false, haproxytest.BackendA, gone)
	look()
	is("all is read", true, haproxytest.BackendA, gone)
	r.Cache.Forget(haproxytest.BackendA)
	is("and one is forgotten", false, haproxytest.BackendA, gone)
}
