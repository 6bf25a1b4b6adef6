// Package configfile reads HAProxy's configuration files, and writes the managed one. It knows nothing of the process.
//
// A file is read as text (document.go): every byte belongs to one line, every line to one section. What is hapsync's is
// told by its shape alone (managed.go): an ACL is_D on hdr(host) -i D (or hdr(host),host_only), a rule use_backend D_cluster if is_D, and a backend
// D_cluster. There are no marker comments and no list kept elsewhere, so that a configuration of that shape is taken over as
// it is, and what has our names without our shape is foreign. The operator's base file is read for its sockets and defaults
// (base.go).
//
// Files.Write (write.go) is the door to the managed file, and chooses one of two ways. Commit edits it in a client-native
// transaction (transaction.go), but only a file that client-native prints as it stands once it has parsed it: it is a
// normaliser, not an editor, and drops what it does not know. Rewrite splices hapsync's own lines into the text
// (splice.go) and leaves every other byte. Both give the same bytes if both can be used. The result is read back by our
// own reader and by config-parser (verify.go), validated by haproxy -c beside the file it replaces (validate.go), and put
// in place by a rename (install.go), if the file is still the one that was read.
//
// Any goroutine may read; one at a time writes. client-native and config-parser share variables between all their
// parsers, so that one of them works at a time (parse.go).
package configfile
