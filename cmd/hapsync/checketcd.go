package main

import (
	"slices"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/registry/etcd"
)

// checkMembers says what is wrong with the members of the etcd that answers.
func checkMembers(members []etcd.Member) (found []haproxy.Finding) {
	warn := func(what, detail, remedy string) {
		found = append(found, haproxy.Finding{Level: haproxy.LevelWarn, What: what, Detail: detail, Remedy: remedy})
	}
	var alarms []string
	for _, m := range members {
		alarms = append(alarms, m.Alarms...)
		switch {
		case m.Err != nil:
			warn("endpoint", m.Endpoint+" does not answer: "+m.Err.Error(), "the others are enough as long as one of them answers")
		case m.Learner:
			warn("endpoint", m.Endpoint+" is a learner, which answers no request", "it is passed over until `etcdctl member promote`")
		case m.NoLeader:
			warn("endpoint", m.Endpoint+" has no leader", "it has lost the other members")
		}
	}
	slices.Sort(alarms)
	for _, alarm := range slices.Compact(alarms) {
		switch alarm {
		case "NOSPACE":
			warn("alarm", "etcd takes no writes, because it is over its quota (NOSPACE)", "compact it, defragment it, then `etcdctl alarm disarm`")
		default:
			warn("alarm", "etcd has the alarm "+alarm, "`etcdctl alarm list`")
		}
	}
	return found
}
