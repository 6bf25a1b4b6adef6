package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkPage asks an agent of 10,000 domains of two hosts for its pages, first when no one has looked for a while, then once a
// second, as an open page does. "first byte" is from the request to the first byte of the answer.
func BenchmarkPage(b *testing.B) {
	const domains, asked, most = 10_000, 5, 200_000
	var table strings.Builder
	for b.Loop() {
		f := startFollowing(b, latestHAProxy(b), domains)
		fmt.Fprintf(&table, "%-28s %12s %12s %12s %10s\n", "page", "first look", "median", "worst", "bytes")
		for _, path := range []string{"/", "/domains", "/domains?q=d99", "/domains/" + f.domain(0), "/history", "/api/v1/status"} {
			first, size := firstByte(b, f.agent, path)
			var all []time.Duration
			for range asked {
				<-time.After(time.Second) // what was read then counts no more
				took, n := firstByte(b, f.agent, path)
				all, size = append(all, took), max(size, n)
			}
			slices.Sort(all)
			fmt.Fprintf(&table, "%-28s %12s %12s %12s %10d\n", path, first.Round(100*time.Microsecond), all[asked/2].Round(100*time.Microsecond), all[asked-1].Round(100*time.Microsecond), size)
			if size > most && !strings.HasPrefix(path, "/api") {
				b.Errorf("%s has %d bytes", path, size)
			}
		}
	}
	figures(b, "page", table.String())
}

// firstByte gets a page whole.
func firstByte(b *testing.B, a *agent, path string) (took time.Duration, size int) {
	b.Helper()
	began := time.Now()
	trace := &httptrace.ClientTrace{GotFirstResponseByte: func() { took = time.Since(began) }}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(b.Context(), trace), http.MethodGet, "http://"+a.listen+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		b.Fatalf("%s: %d, %v", path, response.StatusCode, err)
	}
	return took, len(body)
}
