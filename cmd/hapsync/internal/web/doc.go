// Package web is what people and programs see of an agent: the page at / and the API below /api/v1. Both only read.
//
// There is one model and two renderings: a state (state.go) is one reading of the agent, shared by all who look for as long as
// nothing changes, a second at most. What is made of it (overview.go, domains.go, attention.go, plan.go, history.go, agents.go) are plain
// structs; api.go writes them as JSON, page.go and pages/ as HTML. events.go sends to an open page the parts of it that changed.
//
// Nothing here asks etcd or HAProxy for each request: HAProxy's servers are read once a second at most (servers.go), the reports
// of the agents once in five, and neither while no one looks.
package web
