package runtimeapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Certificates are the files of a crt-list or a directory ("show ssl crt-list", 2.6 to 3.4); there is false if HAProxy has not loaded it.
func (r Client) Certificates(ctx context.Context, list string) (files map[string]bool, there bool, err error) {
	reply, err := r.Ask(ctx, "show ssl crt-list")
	if err != nil || !slices.Contains(strings.Split(reply, "\n"), list) {
		return nil, false, err
	}
	if reply, err = r.Ask(ctx, "show ssl crt-list "+list); err != nil {
		return nil, false, err
	}
	files = map[string]bool{}
	for line := range strings.Lines(reply) {
		if w := strings.Fields(line); len(w) > 0 && w[0] != "#" {
			files[w[0]] = true
		}
	}
	return files, true, nil
}

// A Certificate is a certificate that HAProxy has loaded.
type Certificate struct {
	SHA1  string // its fingerprint, in upper-case hexadecimal
	Names []string
	// Chain has the subject and the issuer of each other certificate of the file, such as "/C=DE/CN=Example CA"; nil if they are not known.
	Chain []string
}

// maxComplete is the length up to which an answer about a certificate is surely complete: HAProxy leaves out lines that do not fit its
// buffer of 16 KB.
const maxComplete = 12_000

// Certificate reads the certificate of a file ("show ssl cert", 2.6 to 3.4).
func (r Client) Certificate(ctx context.Context, file string) (c Certificate, err error) {
	reply, err := r.Ask(ctx, "show ssl cert "+file)
	if err != nil {
		return c, err
	}
	c.Chain = []string{}
	elsewhere := false
	for line := range strings.Lines(reply) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch name {
		case "SHA1 FingerPrint":
			c.SHA1 = value
		case "Subject Alternative Name":
			for word := range strings.SplitSeq(value, ", ") {
				if dns, ok := strings.CutPrefix(word, "DNS:"); ok {
					c.Names = append(c.Names, dns)
				}
			}
		case "Chain Filename": // from issuers-chain-path: the file has no chain
			elsewhere = true
		case "Chain Subject", "Chain Issuer":
			c.Chain = append(c.Chain, value)
		}
	}
	if elsewhere {
		c.Chain = []string{}
	}
	if len(reply) > maxComplete {
		c.Chain = nil
	}
	return c, nil
}

// SetCertificate replaces the certificate that HAProxy has for a file, with its chain and key. Errors contain nothing of them. Existing
// connections continue.
func (r Client) SetCertificate(ctx context.Context, file, payload string) error {
	if err := r.certificate(ctx, "set ssl cert "+file, payload, "Transaction created", "Transaction updated"); err != nil {
		return err
	}
	err := r.certificate(ctx, "commit ssl cert "+file, "", "Success!")
	if err != nil {
		err = errors.Join(err, r.certificate(ctx, "abort ssl cert "+file, "", "Transaction aborted", "No ongoing transaction"))
	}
	return err
}

// AddCertificate adds the certificate of a new file to one of HAProxy's crt-lists or directories.
func (r Client) AddCertificate(ctx context.Context, list, file, payload string) error {
	if err := r.certificate(ctx, "new ssl cert "+file, "", "New empty certificate store", "already exists"); err != nil {
		return err
	}
	err := r.SetCertificate(ctx, file, payload)
	if err == nil {
		err = r.certificate(ctx, "add ssl crt-list "+list+" "+file, "", "Success!", "already exists in this directory")
	}
	if err != nil {
		err = errors.Join(err, r.certificate(ctx, "del ssl cert "+file, "", "deleted"))
	}
	return err
}

// certificate sends one command, maybe with a payload. The reply must contain one of the words.
func (r Client) certificate(ctx context.Context, command, payload string, want ...string) error {
	if network, _ := endpoint(r.Socket); network != "unix" {
		return fmt.Errorf("%s: a key is sent to a socket of this machine's file system only: name one with --runtime-socket", command)
	}
	line := command
	if payload != "" {
		line += " <<\n" + payload // it ends with a line end; converse adds the empty line that ends the payload
	}
	var reply []byte
	err := r.converse(ctx, line, func(conn io.Reader) (err error) {
		reply, err = io.ReadAll(conn)
		return err
	})
	if err != nil {
		return err
	}
	if err := checkReply(reply, 1); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	if !slices.ContainsFunc(want, func(w string) bool { return bytes.Contains(reply, []byte(w)) }) {
		return fmt.Errorf("%s: HAProxy answers %q", command, clip(strings.TrimSpace(string(reply)), 300))
	}
	return nil
}
