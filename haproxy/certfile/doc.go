// Package certfile reads the certificates that HAProxy loads from a directory ("bind ... ssl crt DIR"), and checks them as an operator
// would before HAProxy gets them: a file that is half written, or whose key belongs to another certificate, is named and left alone.
// A key leaves this package in one way, as what Load returns for HAProxy's socket. No error has any part of a file in it.
package certfile
