// Package containers says what the containers of a Docker engine are in the registry.
//
// An Engine lists the containers that run, and tells when to list them again. Settings.Hosts turns such a list into the
// hosts that are to be registered, and into the problems of those that cannot be. That is a pure function: names, labels
// and addresses are checked there, by the rules of the registry, because whoever builds an image or starts a container
// writes them.
//
// Only engine.go knows the engine's API.
package containers
