package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkRouting compares the requests a second of the last domain with those of the first, both ways to route. HAProxy answers by
// itself, so that nothing but HAProxy is measured; rounds alternate, and each figure is the median of its rounds.
func BenchmarkRouting(b *testing.B) {
	h := newestHAProxy(b)
	var table strings.Builder
	fmt.Fprintf(&table, "\nHAProxy %s\n%8s %-9s %11s %11s %11s\n", h, "domains", "--routing", "first", "last", "last/first")
	for _, n := range []int{10, 100, 300, 1000, 3000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				benchmarkRouting(b, h, n, &table)
			}
		})
	}
	figures(b, "routing", table.String())
}

func benchmarkRouting(b *testing.B, h haproxy, n int, table *strings.Builder) {
	x := startBox(b, h)
	fill(b, x, n-2)
	names := []string{"a.first", "z.last"} // rules are sorted by domain
	for _, name := range names {
		x.put(b, name+"/check", "off")
		x.register(b, name+"/server1", "127.0.0.1:9")
	}
	x.must(b, "sync")
	text := read(b, x.managedFile)
	for _, name := range names {
		head := "backend " + name + "_cluster\n"
		text = strings.Replace(text, head, head+"    http-request return status 200 content-type text/plain string ok\n", 1)
	}
	x.write(b, x.managedFile, text)
	for _, routing := range []string{"acl", "map"} {
		x.must(b, "sync", "--routing", routing)
		if routing == "acl" {
			x.floor(b) // which loads the lines
		}
		rates := map[string][]float64{}
		for range 31 {
			for _, name := range names {
				rates[name] = append(rates[name], rate(b, x.web, name, 250*time.Millisecond))
			}
		}
		first, last := medianOf(rates["a.first"]), medianOf(rates["z.last"])
		fmt.Fprintf(table, "%8d %-9s %9.0f/s %9.0f/s %11.2f\n", n, routing, first, last, last/first)
		b.ReportMetric(last/first, routing+"-last/first")
	}
	x.master.end(b)
}

func medianOf(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// rate is how many requests a second for a host are answered, over eight connections.
func rate(t testing.TB, addr, host string, d time.Duration) float64 {
	t.Helper()
	const clients = 8
	counts, failed := make(chan int, clients), make(chan error, clients)
	start := time.Now()
	for range clients {
		go func() {
			n, err := askUntil(addr, host, start.Add(d))
			counts <- n
			failed <- err
		}()
	}
	total := 0
	for range clients {
		total += <-counts
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	return float64(total) / time.Since(start).Seconds()
}

// askUntil makes one request after the other on one connection.
func askUntil(addr, host string, end time.Time) (n int, err error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	request := []byte("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	answers := bufio.NewReader(conn)
	for ; time.Now().Before(end); n++ {
		if _, err := conn.Write(request); err != nil {
			return n, err
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			return n, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return n, err
		}
		if resp.StatusCode != http.StatusOK {
			return n, fmt.Errorf("%s: status %d", host, resp.StatusCode)
		}
	}
	return n, nil
}
