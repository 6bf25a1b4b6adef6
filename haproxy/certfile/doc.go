// Package certfile reads the certificates that HAProxy loads from a directory ("bind ... ssl crt DIR"), and checks them before HAProxy gets
// them. It reports and skips a file that is incomplete, or whose key belongs to another certificate. A key leaves this package only as the
// result of Load, for HAProxy's socket. Errors contain no part of a file.
package certfile
