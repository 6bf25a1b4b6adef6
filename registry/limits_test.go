package registry

import (
	"fmt"
	"strings"
	"testing"
)

func TestALongKeyIsCutAndStaysBadAndApart(t *testing.T) {
	t.Parallel()
	long := "/p/a.com/s1/ip" + strings.Repeat("/x", 1000)
	one, two := CutKey("/p", long+"1"), CutKey("/p", long+"2")
	if one == two || len(one) > 600 || !strings.HasPrefix(one, "/p/a.com/s1/ip/x/x") {
		t.Errorf("have %q and %q", one, two)
	}
	prefix := "/" + strings.Repeat("p", 400)
	good := prefix + "/" + strings.Repeat("a.", 126) + "a/" + strings.Repeat("h", 64) + "/maxconn"
	if CutKey(prefix, good) != good {
		t.Error("the longest good key is cut")
	}
	if d, _, _ := Decode(prefix, []KeyValue{{Key: good, Value: "1"}}, Addresses{}); len(d) != 1 {
		t.Error("it is not the longest good key: it is bad")
	}
}

func TestOfADomainAHundredProblemsAreKept(t *testing.T) {
	t.Parallel()
	var kvs []KeyValue
	for i := range 300 {
		kvs = append(kvs, KeyValue{Key: fmt.Sprintf("/p/a.com/s%d/ip", i), Value: "bad"}, KeyValue{Key: fmt.Sprintf("/p/bad name %d/s/ip", i), Value: "10.0.0.1"})
	}
	domains, problems, _ := Decode("/p", kvs, Addresses{})
	if len(problems) != 202 || len(domains) != 1 || len(domains[0].HeldHosts) != 300 {
		t.Fatalf("%d problems, %d domains", len(problems), len(domains))
	}
	var more []string
	for _, p := range problems {
		if strings.HasPrefix(p.Reason, "there are") {
			more = append(more, p.Key+": "+p.Reason)
		}
	}
	if got := strings.Join(more, "\n"); got != "/p/: there are 200 more domains with a bad name, which are not shown\n/p/a.com: there are 200 more problems of the domain, which are not shown" {
		t.Error(got)
	}
}

func TestKeysThatMeanNothingAreCountedAndNamedByExample(t *testing.T) {
	t.Parallel()
	kvs := []KeyValue{{Key: "/p/a.com/s/ip", Value: "10.0.0.1"}, {Key: "/p/a.com/s/port", Value: "80"}}
	for i := range 120 {
		for _, name := range []string{"last_seen", "version", "tags/env"} {
			kvs = append(kvs, KeyValue{Key: fmt.Sprintf("/p/d%d.com/s/%s", i, name), Value: "x"})
		}
	}
	_, problems, ignored := Decode("/p", kvs, Addresses{})
	if len(problems) != 0 || ignored.Keys != 360 || strings.Join(ignored.Names, " ") != "last_seen tags/env version" {
		t.Errorf("problems %v, ignored %+v", problems, ignored)
	}
}
