// Package reference writes docs/reference and the man pages from the program: from its flags, examples, exit codes,
// JSON types and metrics. A page has nothing that is not in the code.
package reference
