package haproxy

// A Digest identifies the exact bytes of a file. It is empty for a missing file.
type Digest string

// State is the start of a pass: the file and the process, read one right after the other.
type State struct {
	// File is the managed part of the managed file.
	File Config
	// Live is what the process runs; empty if Down is set.
	Live Config
	// Down says why the process could not be read. It names the socket, and what to do. It is nil if the process was read.
	Down error
	// Deaf is set if HAProxy runs without its stats socket. A reload brings the socket back. Down is set, too.
	Deaf bool
	// Digest is the digest of the managed file as it was read, BaseDigest that of the base file.
	Digest, BaseDigest Digest
	// Missing is set if the managed file does not exist or is empty.
	Missing bool
	// Worker identifies the process that answers. It changes with a restart or a reload. It is empty without a process.
	Worker string
	// OldWorkers is the number of old processes that still finish their sessions after reloads; counted only with Settings.Background.
	OldWorkers int
	// Capabilities are those of the process.
	Capabilities Capabilities
	// NoEdit says why a transaction cannot edit the file without loss; empty if it can.
	NoEdit string
	// NoWrite says why the managed file cannot be written at all; nil if no obstacle was found.
	NoWrite error
	// Foreign are ACLs and backends that have one of our names but not our form, and their places, by domain. hapsync leaves
	// such a domain alone.
	Foreign map[string]string
	// Exact are the frontends in which rules of ours match the Host header only without a port.
	Exact map[string]bool
	// AnyPort are the frontends in which rules of ours match the Host header with any port.
	AnyPort map[string]bool
	// StaleMap is set if the map file is missing, does not fit the managed file, or is another one than the managed file reads
	// (the managed file was moved).
	StaleMap bool
	// Given is what the servers of a backend get that the file does not have yet.
	Given Given
	// Own is Backend.Own of such a backend.
	Own []string
	// Unclaimed is set until hapsync has recorded which words of the file are there because of keys of the registry.
	Unclaimed bool
	// Needed are the lines of operators that need a server of a managed backend, in the order of the file.
	Needed map[ServerKey][]Need
	// Binds are the addresses on which HAProxy itself listens: no host can have one of them.
	Binds Binds
	// Behind is the operator's rule that gets requests for unknown domains, such as "default_backend catchall". It is empty if HAProxy
	// answers them with 503.
	Behind string
	// Wildcards are the wildcards of all domains in the managed file. The domain of a wildcard gets the requests for a name below it that
	// no other rule matches.
	Wildcards []string
	// Dynamic says which domains can be added and removed without a reload.
	Dynamic Dynamic
	// NotOurs are servers of managed backends that hapsync did not make. hapsync leaves them alone, in the file and in the process.
	// A host of the same name is not written.
	NotOurs map[ServerKey]Other
	// Agents are the servers of the process with an agent-check, which also sets their weight, maxconn and state. The value is the
	// weight that HAProxy loaded: the agent's percentages are relative to it, and no command changes it.
	Agents map[ServerKey]int
	// ChecksOff are the servers of the process with a check that is off, as after "disable health". A command turns it on.
	ChecksOff map[ServerKey]bool
	// NotLoaded says that HAProxy was started without the managed file. A reload does not change that. It is empty if HAProxy has the
	// file, or if hapsync cannot tell.
	NotLoaded string
	// Descriptors are those of the process.
	Descriptors Descriptors
	// Warnings say what an operator should fix, one line each.
	Warnings []string
}

// A Need is a line that names a server of a managed backend. HAProxy refuses a file that has the line but not the server.
type Need struct {
	// Line is the line with its place: "use-server server1 (hapsync.cfg:12)".
	Line string
	// Of is the managed server that the line belongs to. Without a name it is the managed backend that contains the line. The line is
	// removed with it. Of is zero if hapsync never removes the line.
	Of ServerKey
	// Tracks is set if a server of the line tracks the needed one: maintenance of the needed one puts both into maintenance.
	Tracks bool
}

// An Other is a server in a managed backend that hapsync did not make.
type Other struct {
	// Place is what it is, and where: "server web1 (hapsync.cfg:12), without the cookie web1".
	Place string
	// Written is set if the managed file has it. Its backend then has to stay.
	Written bool
}
