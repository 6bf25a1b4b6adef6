// Package mirror keeps the registry in memory and is pure: changes and listings go in, an Update comes out. It decodes only the
// domains whose keys changed: each Update has the whole snapshot, which is what registry.Decode would make of all keys at that
// revision, but for hosts that are about to change their address and have only half of it so far.
package mirror
