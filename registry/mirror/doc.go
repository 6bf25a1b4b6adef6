// Package mirror keeps the registry in memory. It is pure: changes and listings go in, an Update comes out. It decodes only the
// domains whose keys changed. Each Update has the whole snapshot: what registry.Decode would make of all keys at that revision,
// except that a host keeps its last address while only one half of a new address has come.
package mirror
