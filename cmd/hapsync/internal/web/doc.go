// Package web is what people and programs see of an agent: the page at / and the API below /api/v1. Both only read.
//
// There is one model with two renderings. A state (state.go) is one reading of the agent. All requests share it until something
// changes, for a second at most. overview.go, domains.go, attention.go, plan.go, history.go and agents.go turn it into plain
// structs. api.go writes these as JSON, page.go and pages/ as HTML. events.go sends an open page the parts that changed.
//
// No request causes a query of etcd or HAProxy of its own: HAProxy's servers are read at most once a second (servers.go), the
// agents' reports once in five seconds, and neither without requests.
package web
