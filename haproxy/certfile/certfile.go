package certfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hapsync/hapsync/haproxy"
)

const (
	// maxFile is the largest accepted file, in bytes.
	maxFile = 256 << 10
	// Fresh is how old a file must be before it is used: until then it may be incomplete.
	Fresh = time.Second
)

// The lengths are checked separately. Patterns with {0,254} and {1,1000} would take a fifth of hapsync's start time to compile.
var (
	nameOfFile = regexp.MustCompile(`\A[A-Za-z0-9_*+@-][A-Za-z0-9_.*+@-]*\z`)
	nameOfDir  = regexp.MustCompile(`\A/[A-Za-z0-9_./+@-]+\z`)
)

// plainName reports whether a command for HAProxy may contain a file name.
func plainName(name string) bool { return len(name) <= 255 && nameOfFile.MatchString(name) }

// plainDir reports whether a command for HAProxy may contain the name of a directory.
func plainDir(dir string) bool { return len(dir) <= 1001 && nameOfDir.MatchString(dir) }

// A File is a certificate of a directory.
type File struct {
	haproxy.Certificate
	// Path is its name in HAProxy.
	Path string
	// SHA1 is the fingerprint of the certificate, in upper-case hexadecimal as HAProxy shows it; empty for a bad file.
	SHA1  string
	chain []dn
}

// CheckDir returns an error if hapsync cannot use a directory of that name.
func CheckDir(dir string) error {
	if !plainDir(dir) || strings.Contains(dir, "/../") {
		return fmt.Errorf("%q is no directory for certificates: write its whole path, with letters, digits, and / . _ + @ - only", dir)
	}
	return nil
}

// Read reads the certificates of a directory, sorted by name, and checks them at the time now. Like HAProxy, it skips names that begin with a
// dot, and .key, .ocsp, .issuer and .sctl files. A file that cannot be used is not an error: its Problem says why.
func Read(dir string, now time.Time) ([]File, error) {
	if err := CheckDir(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	var files []File
	for _, e := range entries {
		if e.IsDir() || skipped(e.Name()) {
			continue
		}
		files = append(files, readCertificate(dir, e.Name(), now))
	}
	return files, nil
}

func skipped(name string) bool {
	return strings.HasPrefix(name, ".") || slices.Contains([]string{".key", ".ocsp", ".issuer", ".sctl"}, filepath.Ext(name))
}

// Mark is a text that changes if a file of the directory does: its name, size, time, inode or mode.
func Mark(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("read certificates: %w", err)
	}
	var b strings.Builder
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil {
			inode := info.Sys().(*syscall.Stat_t).Ino
			fmt.Fprintf(&b, "%q %d %d %d %o\n", e.Name(), info.Size(), info.ModTime().UnixNano(), inode, info.Mode())
		}
	}
	return b.String(), nil
}

// Load returns the certificate with its chain and key for HAProxy's socket. It returns an error if the file has changed since Read.
func (f File) Load(now time.Time) (payload string, err error) {
	bundle, _, err := open(f.Path)
	if err == nil {
		err = bundle.check(now)
	}
	if err != nil {
		return "", err
	}
	if bundle.sha1() != f.SHA1 || !slices.EqualFunc(bundle.chain, f.chain, slices.Equal) {
		return "", errors.New("the file has changed since it was looked at")
	}
	if len(bundle.payload) > maxPayload {
		return "", fmt.Errorf("it has more than %d bytes with its chain, too many for HAProxy's socket: reload HAProxy", maxPayload)
	}
	return bundle.payload, nil
}

func readCertificate(dir, name string, now time.Time) File {
	f := File{
		Path:        filepath.Join(dir, name),
		Certificate: haproxy.Certificate{File: printable(name), Names: []string{}, State: haproxy.CertificateUnknown},
	}
	bad := func(err error) File {
		f.State, f.Problem = haproxy.CertificateBad, err.Error()
		return f
	}
	if !plainName(name) {
		return bad(errors.New("the name of the file has bytes that HAProxy's socket cannot be told: " +
			"rename it, with letters, digits, and . _ + @ * - only"))
	}
	bundle, infos, err := open(f.Path)
	if err != nil {
		return bad(err)
	}
	f.Names, f.NotAfter = bundle.names(), bundle.leaf.NotAfter
	if err := bundle.check(now); err != nil {
		return bad(err)
	}
	f.SHA1, f.chain = bundle.sha1(), bundle.chain
	f.Warning = permissionWarning(infos)
	fresh := func(info fs.FileInfo) bool { age := now.Sub(info.ModTime()); return 0 <= age && age < Fresh }
	if slices.ContainsFunc(infos, fresh) {
		f.State = haproxy.CertificateWaiting
	}
	return f
}

// open reads a file, and the .key file beside it if it has no key itself. infos describe the files; the last one has the key.
func open(path string) (b bundle, infos []fs.FileInfo, err error) {
	text, info, err := readFile(path)
	if err != nil {
		return bundle{}, nil, err
	}
	infos = []fs.FileInfo{info}
	b, err = parse(text)
	if errors.Is(err, errNoKey) {
		key, keyInfo, keyErr := readFile(path + ".key")
		if errors.Is(keyErr, fs.ErrNotExist) {
			return bundle{}, nil, err
		}
		if keyErr != nil {
			return bundle{}, nil, keyErr
		}
		infos = append(infos, keyInfo)
		b, err = parse(text + "\n" + key)
	}
	return b, infos, err
}

// readFile reads a regular file. It does not wait for a pipe.
func readFile(path string) (string, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", nil, cmp.Or(errors.Unwrap(err), err) // without the path, since the reader of the error knows it
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, errors.New("it is no regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it has more than %d bytes", maxFile)
	}
	return string(text), info, err
}

// permissionWarning warns if all users can read the key, which is in the last file, or if users other than the owner can write one of the files.
func permissionWarning(infos []fs.FileInfo) string {
	if mode := infos[len(infos)-1].Mode().Perm(); mode&0o004 != 0 {
		return fmt.Sprintf("every user of this machine can read its key (mode %#o): chmod o= it", mode)
	}
	for _, info := range infos {
		if mode := info.Mode().Perm(); mode&0o022 != 0 {
			return fmt.Sprintf("others than its owner can write it (mode %#o): chmod go-w it", mode)
		}
	}
	return ""
}

// printable is a name for a terminal or a log.
func printable(name string) string {
	if plainName(name) {
		return name
	}
	const most = 100
	return strconv.QuoteToASCII(name[:min(len(name), most)])
}
