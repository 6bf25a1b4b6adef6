package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkKeys compares what a sync of 10,000 domains from nothing costs: with one key of each domain ("check"), with six ("aliases",
// "balance", "cookie", "timeout-server" and "redirect-https", too), and with TLS to the servers. "floor" is haproxy -c and a reload of the
// same file, "plan cpu" the CPU time of a plan when all is in line, and each "x" is against the first row.
func BenchmarkKeys(b *testing.B) {
	h := newestHAProxy(b)
	const domains = 10000
	some := func(j int) map[string]string {
		return map[string]string{"aliases": fmt.Sprintf("www.d%d.example.org", j), "balance": "leastconn", "cookie": "SITE httponly",
			"timeout-server": "30s", "redirect-https": "true", "check": "off"}
	}
	withTLS := func(j int) map[string]string {
		keys := some(j)
		keys["tls"] = "noverify"
		return keys
	}
	var table strings.Builder
	fmt.Fprintf(&table, "\nHAProxy %s, %d domains\n%-24s %9s %6s %9s %6s %11s %9s %6s\n", h, domains, "keys", "sync", "x", "floor", "x", "over floor", "plan cpu", "x")
	var first [3]float64
	for i, c := range []struct {
		name string
		keys func(int) map[string]string
	}{{"check off", checkOff}, {"six keys", some}, {"six keys, and tls", withTLS}} {
		b.Run(c.name, func(b *testing.B) {
			x := startBox(b, h)
			fillWith(b, x, domains, c.keys)
			sync := x.measure(b, "sync")
			_, floor := x.floor(b)
			plan := x.measure(b, "plan")
			took := [3]float64{sync.wall.Seconds(), floor.wall.Seconds(), plan.cpu.Seconds()}
			if i == 0 {
				first = took
			}
			fmt.Fprintf(&table, "%-24s %9s %6.2f %9s %6.2f %11s %9s %6.2f\n", c.name, ms(sync.wall), took[0]/first[0], ms(floor.wall), took[1]/first[1],
				ratio(sync.wall, floor.wall), ms(plan.cpu), took[2]/first[2])
			x.master.end(b)
		})
	}
	figures(b, "keys", table.String())
}
