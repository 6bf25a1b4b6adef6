package registry_test

import (
	"fmt"
	"testing"

	"github.com/hapsync/hapsync/registry"
)

func BenchmarkDecode(b *testing.B) {
	for _, domains := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("%d domains of 2 hosts", domains), func(b *testing.B) {
			var kvs []registry.KeyValue // in etcd's order
			for d := range domains {
				for h := range 2 {
					host := fmt.Sprintf("/services/web/www%05d.example.com/server%d/", d, h)
					kvs = append(kvs, registry.KeyValue{Key: host + "ip", Value: fmt.Sprintf("10.0.%d.%d", d%256, h)}, registry.KeyValue{Key: host + "port", Value: "10000"})
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if have, problems, _ := registry.Decode("/services/web", kvs, registry.Addresses{}); len(have) != domains || len(problems) != 0 {
					b.Fatal(len(have), problems)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*domains), "ns/domain")
		})
	}
}
