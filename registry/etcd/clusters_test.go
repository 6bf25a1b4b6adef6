package etcd

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hapsync/hapsync/registry"
)

const differ = "the endpoints belong to different clusters: give those of one only"

func TestEndpointsOfTwoClustersAreSaidToBe(t *testing.T) {
	t.Parallel()
	one, two, prefix := started(t, etcds.plain), started(t, etcds.other), etcds.prefix()
	put(t, writer(t, one), prefix, "/a.com/s1/ip 10.0.0.1\n/a.com/s1/port 80\n/b.com/s1/ip 10.0.0.1\n/b.com/s1/port 80\n")
	put(t, writer(t, two), prefix, "/b.com/s1/ip 10.0.0.2\n/b.com/s1/port 80\n")
	client := dial(t, Config{Endpoints: []string{one, two}, Prefix: prefix})
	members := client.Members(t.Context())
	if Clusters(members) != 2 || Clusters(members[:1]) != 1 {
		t.Errorf("the members are %+v", members)
	}
	until(t, "a snapshot is refused", func() bool { // at first, one may be connected
		_, err := client.Snapshot(t.Context())
		return err != nil && strings.Contains(err.Error(), differ)
	})
	for range 10 {
		for what, err := range map[string]error{
			"snapshot": second(client.Snapshot(t.Context())),
			"in one":   second(client.SetHost(t.Context(), "a.com", "s1", "weight", "7")),
			"in both":  second(client.SetHost(t.Context(), "b.com", "s1", "weight", "7")),
			"in none":  second(client.SetHost(t.Context(), "c.com", "s1", "weight", "7")),
		} {
			if err == nil || !strings.Contains(err.Error(), differ) || errors.Is(err, ErrNoHost) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	alone := dial(t, Config{Endpoints: []string{one, closedPort(t)}, Prefix: prefix})
	if _, err := alone.SetHost(t.Context(), "c.com", "s1", "weight", "7"); !errors.Is(err, ErrNoHost) {
		t.Errorf("with one cluster: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestARegistrationInTwoClustersSaysSoAndLeavesOnlyIfItWasThere(t *testing.T) {
	t.Parallel()
	client := dial(t, Config{Endpoints: []string{started(t, etcds.plain), started(t, etcds.other)}, Prefix: etcds.prefix()})
	until(t, "both are connected", func() bool { return second(client.Snapshot(t.Context())) != nil })
	said := new(buffer)
	conf := server1()
	conf.Logger = slog.New(slog.NewTextHandler(said, nil))
	r, err := client.NewRegistration(conf)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	until(t, "it says why, or is there by chance", func() bool {
		return strings.Contains(said.String(), differ) || strings.Contains(said.String(), "registered")
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v, want the error of the context", err)
	}
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = r.Leave(short, 0)
	if err != nil && !errors.Is(err, registry.ErrUnavailable) {
		t.Error(err)
	}
	text := said.String()
	if strings.Contains(text, "lease not found") || err != nil && strings.Contains(text, "out of the registry") ||
		strings.Contains(text, "out of the registry") && !strings.Contains(text, "registered") {
		t.Errorf("%v\n%s", err, text)
	}
}
