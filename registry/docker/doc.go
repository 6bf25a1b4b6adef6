// Package docker registers the containers of a Docker engine as hosts.
//
// An Engine lists the running containers, and says when to list them again. Settings.Hosts turns the list into the hosts to
// register, and into problems. It is a pure function that checks names, labels and addresses by the rules of the registry,
// because anyone who builds an image or starts a container can write them.
//
// A Reconciler registers these hosts, each with a registrar of its own.
//
// Only engine.go knows the engine's API.
package docker
