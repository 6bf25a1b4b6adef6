package haproxy

// A Digest names the exact bytes of the managed file; the empty one is that of a missing file.
type Digest string

// State is what a pass starts from: the file and the process, read one right after the other.
type State struct {
	// File is the managed part of the managed file.
	File Config
	// Live is what the process runs. Without a process (Down) it is empty.
	Live Config
	// Down says why the process could not be read, in words that name the socket and the way out; nil when it was.
	Down error
	// Deaf is set where HAProxy runs, but has lost its stats socket, which a reload gives back; Down is set then, too.
	Deaf bool
	// Digest is that of the managed file as it was read, which Commit and Rewrite take back, BaseDigest of the base file.
	Digest, BaseDigest Digest
	// Missing is set where there is no managed file, or an empty one.
	Missing bool
	// Worker names the process that answers: another one after a restart or a reload. Empty without one.
	Worker string
	// OldWorkers is the number of processes that a reload has left to finish what they have; counted for Background only.
	OldWorkers int
	// Capabilities are those of the process.
	Capabilities Capabilities
	// NoEdit says why a transaction cannot edit the file without loss; empty where it can.
	NoEdit string
	// NoWrite says why the managed file cannot be written at all, as far as that shows; nil where nothing is known
	// against it.
	NoWrite error
	// Foreign names the ACLs and backends that bear a name of ours without our shape, and where they stand,
	// by domain: such a domain is left alone.
	Foreign map[string]string
	// Exact are the frontends with rules of ours that take the Host without a port alone.
	Exact map[string]bool
	// AnyPort are those with rules that take the Host with any port.
	AnyPort map[string]bool
	// StaleMap is set where the map file is not there, does not say what the managed file asks of it, or is not the one that the managed
	// file reads, as after a move of the managed file.
	StaleMap bool
	// Given is what the servers of a backend get that the file does not have yet.
	Given Given
	// Own is what it has of Backend.Own.
	Own []string
	// Unclaimed is set as long as nothing is kept of which words of the file are there because keys say so.
	Unclaimed bool
	// Needed are the lines of operators that need a server of a managed backend, in their order.
	Needed map[ServerKey][]Need
	// Binds are the addresses where HAProxy itself listens: no host can be there.
	Binds Binds
	// Behind is what requests for an unknown domain go on to behind our rules, such as "default_backend catchall"; empty where
	// HAProxy answers them with 503.
	Behind string
	// Wildcards are those of all domains in the managed file: requests for a name below one go on to it where no other rule takes them.
	Wildcards []string
	// Dynamic says which domains can come and go without a reload.
	Dynamic Dynamic
	// NotOurs are the servers of managed backends that hapsync did not make: they are left alone, in the file and in the
	// process, and a host of the same name is not written.
	NotOurs map[ServerKey]Other
	// Agents are the servers of the process with an agent-check, which has its own say on weight, maxconn and state, each with the weight
	// that its percentages are of: the one that HAProxy has loaded. No command changes that.
	Agents map[ServerKey]int
	// NotLoaded says that HAProxy was started without the managed file, which no reload changes; empty where it has it, or
	// where that cannot be told.
	NotLoaded string
	// Descriptors are those of the process.
	Descriptors Descriptors
	// Warnings are one line each: what an operator should fix.
	Warnings []string
}

// A Need is a line that names a server of a managed backend: HAProxy refuses the file if it has the line, but not the server.
type Need struct {
	// Line is what the line says, with its place: "use-server server1 (hapsync.cfg:12)".
	Line string
	// Of is the managed server whose line it is, or, without a name, the managed backend where it stands: the line goes with it. It is
	// zero if hapsync never removes the line.
	Of ServerKey
	// Tracks is set where the line has a server track it: maintenance of the one is maintenance of the other.
	Tracks bool
}

// An Other is a server in a backend of ours that hapsync did not make.
type Other struct {
	// Place is what it is and where: "server web1 (hapsync.cfg:12), without the cookie web1".
	Place string
	// Written is set where the managed file has it, so that its backend has to stay.
	Written bool
}
