// Package docker says what the containers of a Docker engine are in the registry, and keeps them registered.
//
// An Engine lists the containers that run, and tells when to list them again. Settings.Hosts turns such a list into the
// hosts that are to be registered, and into the problems of those that cannot be. That is a pure function: names, labels
// and addresses are checked there, by the rules of the registry, because anyone who builds an image or starts a container
// writes them.
//
// A Reconciler registers those hosts, each with a registrar of its own.
//
// Only engine.go knows the engine's API.
package docker
