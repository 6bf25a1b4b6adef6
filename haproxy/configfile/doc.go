// Package configfile reads HAProxy's configuration files, and writes the managed one. It does not know the process.
//
// A file is read as text (document.go): every byte belongs to one line, every line to one section. hapsync recognises its own lines by
// their form only (managed.go): an ACL is_D on hdr(host) -i D (or hdr(host),host_only), a rule use_backend D_cluster if is_D, and a
// backend D_cluster. There are no marker comments around them and no list of them. So an existing configuration of that form is taken
// over without changes. What has one of our names but another form is foreign. The operator's base file is read for its sockets and
// defaults (base.go).
//
// Files.Write (write.go) is the only way to write the managed file. It has two methods, which give the same bytes if both are possible.
// Commit edits the file in a client-native transaction (transaction.go). client-native normalises a file, and drops what it does not
// know. So Commit is used only if client-native prints the unchanged file byte for byte. Rewrite splices hapsync's lines into the text
// (splice.go), and keeps every other byte. The result is read back by our own reader and by config-parser (verify.go). haproxy -c checks
// it beside the file that it replaces (validate.go). A rename puts it in place (install.go), if the file has not changed meanwhile.
//
// Any goroutine may read; one at a time may write. All parsers of client-native share variables, and so do those of config-parser: only
// one of each library works at a time (parse.go).
package configfile
