package main

import (
	"errors"
	"testing"

	"github.com/hapsync/hapsync/registry/etcd"
)

func TestCheckNamesLearnersAndAlarms(t *testing.T) {
	b := oneHost()
	b.members = []etcd.Member{
		{Endpoint: "http://a:2379", Alarms: []string{"NOSPACE"}}, {Endpoint: "http://b:2379", Learner: true, Alarms: []string{"NOSPACE"}},
		{Endpoint: "http://c:2379", Err: errors.New("connection refused")}, {Endpoint: "http://d:2379", NoLeader: true, Alarms: []string{"CORRUPT"}},
	}
	got := b.run(t, "check")
	wantContains(t, "the members", got.stdout,
		"warn endpoint: http://b:2379 is a learner, which answers no request (it is passed over until `etcdctl member promote`)",
		"warn endpoint: http://c:2379 does not answer: connection refused",
		"warn endpoint: http://d:2379 has no leader",
		"warn alarm: etcd takes no writes, because it is over its quota (NOSPACE) (compact it, defragment it, then `etcdctl alarm disarm`)",
		"warn alarm: etcd has the alarm CORRUPT")
}
