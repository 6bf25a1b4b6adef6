package e2e

import (
	"strconv"
	"strings"
	"testing"
)

// A badKey is a key, or a host with one, that cannot be used. Keys are below the box's prefix and a slash.
type badKey struct {
	name string
	// puts are keys and their values, in pairs.
	puts []string
	// key is the one to be named.
	key string
	// reason is a part of what is said about it.
	reason string
	// code is sync's exit code.
	code int
}

// badValue is a host whose other keys are good.
func badValue(name, attribute, value, reason string) badKey {
	const host = "bad.abc.com/server1/"
	puts := []string{host + attribute, value}
	for _, good := range [][]string{{"ip", "127.0.0.1"}, {"port", "81"}} {
		if good[0] != attribute {
			puts = append(puts, host+good[0], good[1])
		}
	}
	return badKey{"value/" + name, puts, host + attribute, reason, 6}
}

// badHost is a host whose keys are good, and its name is not.
func badHost(name, host, reason string) badKey {
	key := "bad.abc.com/" + host + "/"
	return badKey{"host/" + name, []string{key + "ip", "127.0.0.1", key + "port", "81"}, key + "ip", reason, 6}
}

// badDomain is a domain with a good host, and its name is not good.
func badDomain(name, domain, reason string) badKey {
	key := domain + "/server1/"
	return badKey{"domain/" + name, []string{key + "ip", "127.0.0.1", key + "port", "81"}, key + "ip", reason, 6}
}

var badKeys = []badKey{
	badValue("port that is a word", "port", "abc", `port "abc" is not a number of 1 to 65535`),
	badValue("port 0", "port", "0", `port "0" is not a number`),
	badValue("port 65536", "port", "65536", `port "65536" is not a number`),
	badValue("port 99999", "port", "99999", `port "99999" is not a number`),
	badValue("empty port", "port", "", `port "" is not a number`),
	badValue("port with a line end", "port", "81\n", `port "81\n" has white space at its end`),
	badValue("ip that would inject a rule", "ip", "10.0.0.1:80 check\n  http-request deny", `ip "10.0.0.1:80 check\n  http-request deny" is not an IPv4`),
	badValue("ip out of range", "ip", "300.1.1.1", `ip "300.1.1.1" is not an IPv4`),
	badValue("ip that is a name", "ip", "host.abc.com", `ip "host.abc.com" is not an IPv4`),
	badValue("ip with leading zeros", "ip", "010.0.0.1", `ip "010.0.0.1" is not an IPv4`),
	badValue("ip with a zone", "ip", "::1%eth0", `ip "::1%eth0" has a zone`),
	badValue("ip with a port", "ip", "10.0.0.1:80", `ip "10.0.0.1:80" has a port`),
	badValue("empty ip", "ip", "", `ip "" is not an IPv4`),
	badValue("ip that is not UTF-8", "ip", "10.0.0.1\xff\xfe", `ip "10.0.0.1\xff\xfe" is not an IPv4`),
	badValue("ip of 1 MB", "ip", strings.Repeat("1", 1_000_000), `ip "111111`),
	badValue("weight", "weight", "257", `weight "257" is not a number of 0 to 256`),
	badValue("maxconn", "maxconn", "-1", `maxconn "-1" is not a number`),
	badValue("backup", "backup", "yes", `backup "yes" is not one of true, false`),
	badValue("state", "state", "off;shutdown", `state "off;shutdown" is not one of ready`),
	{"value/balance", []string{"a.abc.com/balance", "fair\nserver x"}, "a.abc.com/balance", `balance "fair\nserver x" is not one of`, 6},
	{"value/check", []string{"a.abc.com/check", "/ HTTP/1.0\n"}, "a.abc.com/check", "check", 6},

	{"value/aliases", []string{"a.abc.com/aliases", "www.abc.com\nlisten x"}, "a.abc.com/aliases", `name "www.abc.com\nlisten" has "\n"`, 6},
	{"value/aliases with an operator's words", []string{"a.abc.com/aliases", "{ always_true }"}, "a.abc.com/aliases", `name "{" has "{"`, 6},

	badHost("space", "server 1", "only letters, digits"),
	badHost("hash", "server#1", "only letters, digits"),
	badHost("quote", `server"1`, "only letters, digits"),
	badHost("semicolon", "server;1", "only letters, digits"),
	badHost("line end", "server1\nserver2", "only letters, digits"),
	badHost("encoded slash", "server%2f1", "only letters, digits"),
	badHost("lookalike slash", "server∕1", "only letters, digits"),
	badHost("not UTF-8", "server\xff", "only letters, digits"),
	badHost("65 characters", strings.Repeat("s", 65), "65 bytes: 64 are the most"),
	badHost("empty", "", "host is empty"),

	badDomain("line end", "bad.abc.com\nlisten x", `only letters, digits`),
	badDomain("space", "bad abc.com", "only letters, digits"),
	badDomain("two dots", "bad..abc.com", "empty part"),
	badDomain("dots alone", "..", "empty part"),
	badDomain("254 characters", strings.Repeat("a123456789.", 23)+"b", "254 bytes: 253 are the most"),
	badDomain("star", "*", `domain "*" is a wildcard, which only the key aliases`),
	badDomain("star before a domain", "*.abc.com", `is a wildcard`),
	badDomain("not UTF-8", "bad\xff.abc.com", "only letters, digits"),
	badDomain("empty", "", "domain is empty"),
	badDomain("second spelling", "A.abc.com", `domain "A.abc.com" is the same as "a.abc.com"`),

	{"domain alone", []string{"bad.abc.com", "x"}, "bad.abc.com", "without anything below it", 0},
	{"prefix and a slash", []string{"", "x"}, "", "the key is the prefix itself", 0},
}

// shown is how a key is written for a person.
func shown(key string) string {
	if quoted := strconv.QuoteToASCII(key); quoted != `"`+key+`"` || strings.Contains(key, " ") {
		return quoted
	}
	return key
}

func (b *box) putAll(t *testing.T, k badKey) {
	t.Helper()
	for i := 0; i < len(k.puts); i += 2 {
		b.put(t, k.puts[i], k.puts[i+1])
	}
}

// TestBadKeyIsNamedAndTouchesNothing has HAProxy in line but for the bad key. Unless everything is tested, it is every third of
// these keys: registry/testdata/decode.txtar has what is said of each kind.
func TestBadKeyIsNamedAndTouchesNothing(t *testing.T) {
	t.Parallel()
	b := startBox(t, firstHAProxy(t))
	b.register(t, "a.abc.com/server1", "127.0.0.1:1")
	b.must(t, "sync")
	w := startWatch(t, b)
	for i, k := range badKeys {
		if i%often(1, 3) != 0 {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			b.putAll(t, k)
			key := shown(b.prefix + "/" + k.key)
			says(t, b.exits(t, k.code, "sync").stdout, "problem ", key+": ", k.reason)
			if i%often(1, 9) == 0 {
				says(t, b.must(t, "plan").stdout, "problem ", key+": ", k.reason)
				says(t, b.must(t, "list").stdout, "problem ", key+": ", k.reason)
			}
			w.untouched(t, "sync, plan and list")
			for n := 0; n < len(k.puts); n += 2 {
				deleteKey(t, b.prefix+"/"+k.puts[n])
			}
		})
	}
}

func TestKeysThatMeanNothingAreOneLine(t *testing.T) {
	t.Parallel()
	b := startBox(t, firstHAProxy(t))
	b.register(t, "a.abc.com/server1", "127.0.0.1:1")
	b.must(t, "sync")
	w := startWatch(t, b)
	for _, key := range []string{"a.abc.com/server1/colour", "a.abc.com/server1/ip/x", "a.abc.com/colour", "a.abc.com/server1/tags/env"} {
		b.put(t, key, "red")
	}
	for _, command := range []string{"sync", "plan", "list"} {
		out := b.must(t, command).stdout
		says(t, out, "ignored ", "4 keys mean nothing to hapsync, such as colour, ip/x, tags/env\n")
		if strings.Contains(out, "problem ") {
			t.Errorf("%s: there are problems:\n%s", command, out)
		}
	}
	w.untouched(t, "sync, plan and list")
}

func TestKeyThatIsThePrefixIsNamedAndTouchesNothing(t *testing.T) {
	t.Parallel()
	b := startBox(t, firstHAProxy(t))
	b.register(t, "a.abc.com/server1", "127.0.0.1:1")
	b.must(t, "sync")
	w := startWatch(t, b)
	putKey(t, b.prefix, "x")
	for _, command := range []string{"sync", "plan", "list"} {
		says(t, b.must(t, command).stdout, "problem ", b.prefix+": ", "the key is the prefix itself")
	}
	w.untouched(t, "sync, plan and list")
}

func TestHalfWrittenHostIsPendingUntilItIsWhole(t *testing.T) {
	t.Parallel()
	b := startBox(t, firstHAProxy(t))
	a := startHost(t, "a.abc.com")
	ip, port := splitAddr(t, a.addr)
	b.register(t, "a.abc.com/server1", "127.0.0.1:1")
	b.must(t, "sync")
	w := startWatch(t, b)
	for _, half := range []struct{ has, value, missing, other string }{
		{"ip", ip, "port", port}, {"port", port, "ip", ip},
	} {
		w.begin(t)
		host := "half." + half.has + ".abc.com/server1"
		b.put(t, host+"/"+half.has, half.value)
		says(t, b.must(t, "sync").stdout, "pending ", host+": "+half.missing+" is missing")
		says(t, b.must(t, "plan").stdout, "pending ", host+": "+half.missing+" is missing")
		says(t, b.must(t, "list").stdout, "half."+half.has+".abc.com", "server1", "pending", "no "+half.missing+" yet")
		w.untouched(t, "sync, plan and list with the "+half.has+" alone")
		b.put(t, host+"/"+half.missing, half.other)
		b.must(t, "sync")
		b.serves(t, "half."+half.has+".abc.com", "", a)
	}
}

func TestHostThatTurnsBadKeepsItsLastGoodValue(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startABC(t, h)
		_, port := splitAddr(t, b.a1.addr)
		w := startWatch(t, b.box)
		b.put(t, "a.abc.com/server1/port", "abc")
		b.put(t, "a.abc.com/server1/weight", "7")
		says(t, b.exits(t, 6, "sync").stdout, "problem ", "a.abc.com/server1/port: ", `"abc"`)
		w.untouched(t, "sync")

		moved, c := startHost(t, "a.abc.com server2, moved"), startHost(t, "c.abc.com")
		b.register(t, "a.abc.com/server2", moved.addr)
		b.register(t, "c.abc.com/server1", c.addr)
		b.exits(t, 6, "sync")
		b.serves(t, "a.abc.com", "server1", b.a1)
		b.serves(t, "a.abc.com", "server2", moved)
		b.serves(t, "c.abc.com", "", c)
		b.managed(t, "a.abc.com server1="+b.a1.addr+" server2="+moved.addr, "b.abc.com server1="+b.b1.addr, "c.abc.com server1="+c.addr)

		deleteKey(t, b.prefix+"/a.abc.com/server1/weight")
		b.put(t, "a.abc.com/server1/port", port)
		b.must(t, "sync")
		b.inLine(t)
		_, port = splitAddr(t, c.addr)
		b.put(t, "a.abc.com/server1/port", port)
		b.must(t, "sync")
		b.serves(t, "a.abc.com", "server1", c)

		b.put(t, "a.abc.com/server1/ip", "300.1.1.1")
		b.exits(t, 6, "sync")
		b.unregister(t, "a.abc.com/server1")
		b.must(t, "sync")
		b.managed(t, "a.abc.com server2="+moved.addr, "b.abc.com server1="+b.b1.addr, "c.abc.com server1="+c.addr)
	})
}

// TestDomainWhoseNameIsTakenIsLeftAlone has backends of an operator's under hapsync's names, in either file.
func TestDomainWhoseNameIsTakenIsLeftAlone(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := newBox(t, h)
		theirs, a := startHost(t, "an operator's"), startHost(t, "a.abc.com")
		b.init(t)
		const head = "\nbackend x.abc.com_cluster\n    balance leastconn\n    server own "
		operator(t, b.baseFile, "\n# the statistics page\n", head+theirs.addr+"\n\n# the statistics page\n")
		bind := "    bind " + b.web + "\n"
		operator(t, b.managedFile, bind, bind+"    use_backend x.abc.com_cluster if { path_beg /x }\n    use_backend y.abc.com_cluster if { hdr(host) y.abc.com }\n"+
			strings.ReplaceAll(head, "x.abc.com", "y.abc.com")+theirs.addr+"\n")
		b.start(t)
		for _, domain := range []string{"x.abc.com", "y.abc.com", "a.abc.com"} {
			b.register(t, domain+"/server1", a.addr)
		}

		for _, args := range [][]string{{"plan"}, {"sync"}} {
			o := b.hapsync(t, args...)
			says(t, o.stdout, "problem ", "x.abc.com: ", "left alone", "backend x.abc.com_cluster", b.baseFile)
			says(t, o.stdout, "problem ", "y.abc.com: ", "left alone", "backend y.abc.com_cluster", b.managedFile)
		}

		b.serves(t, "a.abc.com", "", a)
		b.serves(t, "y.abc.com", "", theirs)
		b.unknown(t, "x.abc.com")
		w := startWatch(t, b)
		b.exits(t, 6, "sync")
		w.untouched(t, "the next sync")
	})
}

// TestBadKeysHoldBackNothingElse has all of them at once, while something is to be done.
func TestBadKeysHoldBackNothingElse(t *testing.T) {
	eachHAProxy(t, func(t *testing.T, h haproxy) {
		b := startBox(t, h)
		a, moved, up := startHost(t, "a.abc.com"), startHost(t, "a.abc.com, moved"), startHost(t, "up.abc.com")
		b.register(t, "a.abc.com/server1", a.addr)
		b.must(t, "sync")
		b.register(t, "a.abc.com/server1", moved.addr)
		b.register(t, "UP.abc.com/server1", up.addr)
		b.put(t, "bad.abc.com/server2/ip", "127.0.0.1")
		for _, k := range badKeys {
			b.putAll(t, k)
		}

		o := b.exits(t, 6, "sync")

		for _, k := range badKeys {
			if !strings.Contains(k.name, "value/") { // the values are of one host, and the last one counts
				says(t, o.stdout, "problem ", shown(b.prefix+"/"+k.key)+": ", k.reason)
			}
		}
		says(t, o.stdout, "pending ", "bad.abc.com/server2: port is missing")
		b.serves(t, "a.abc.com", "", moved)
		b.serves(t, "up.abc.com", "", up)
		b.managed(t, "a.abc.com server1="+moved.addr, "up.abc.com server1="+up.addr)
		w := startWatch(t, b)
		b.exits(t, 6, "sync")
		w.untouched(t, "the next sync")
	})
}
