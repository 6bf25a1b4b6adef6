// Package reference writes docs/reference and the man pages from the program: its flags, examples, exit codes, JSON types and
// metrics. All facts on these pages come from the code.
package reference
