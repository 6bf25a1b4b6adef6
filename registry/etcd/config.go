package etcd

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hapsync/hapsync/registry"
)

// Defaults of Config.
const (
	DefaultEndpoint       = "127.0.0.1:2379"
	DefaultDialTimeout    = 5 * time.Second
	DefaultRequestTimeout = 10 * time.Second
	DefaultPageSize       = 2000
	DefaultSettle         = 100 * time.Millisecond
	DefaultMaxKeys        = 50_000
)

// A Config says where the registry is and how to log in.
type Config struct {
	// Endpoints are the members of one cluster, as http or https URLs, or as host:port, which means https if one of the
	// certificate files is given. Empty means DefaultEndpoint.
	Endpoints []string
	// Prefix of all keys, with a slash at its start. A trailing slash is dropped. Empty means DefaultPrefix.
	Prefix string
	// Domains are the domains to read; all others are ignored.
	Domains registry.Patterns
	// CACert is the file with the trusted authorities; empty means the system's. It is read again for each connection, so that it
	// can be renewed; if it is broken by then, the authorities that it had before are still trusted.
	CACert string
	// Cert and Key are the files of the client certificate and its key: both or none. They are read again for each connection,
	// so that they can be renewed.
	Cert, Key string
	// User is a name, or name:password if neither Password nor PasswordFile is given.
	User string
	// Password of the user. PasswordFile is a file with one line, the password.
	Password, PasswordFile string
	// DialTimeout is the timeout of the first request, which connects and logs in; zero means DefaultDialTimeout.
	DialTimeout time.Duration
	// RequestTimeout is the timeout of each further request; zero means DefaultRequestTimeout.
	RequestTimeout time.Duration
	// PageSize is how many keys one request reads; zero means DefaultPageSize.
	PageSize int
	// Settle is how long Follow waits for the second key of a host whose address changes by two puts; zero means DefaultSettle.
	// It does not wait if the key has been put alone before.
	Settle time.Duration
	// MaxKeys is how many keys of a domain are read; zero means DefaultMaxKeys.
	MaxKeys int
	// Addresses says which addresses hosts may have.
	Addresses registry.Addresses
}

// checked returns the configuration with its defaults, or what is wrong with it.
func (c Config) checked() (Config, error) {
	c.DialTimeout = cmp.Or(c.DialTimeout, DefaultDialTimeout)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, DefaultRequestTimeout)
	c.PageSize = cmp.Or(c.PageSize, DefaultPageSize)
	c.Settle = cmp.Or(c.Settle, DefaultSettle)
	c.MaxKeys = cmp.Or(c.MaxKeys, DefaultMaxKeys)
	switch {
	case c.DialTimeout < 0:
		return c, fmt.Errorf("dial timeout %s is negative: give a time such as 5s", c.DialTimeout)
	case c.RequestTimeout < 0:
		return c, fmt.Errorf("request timeout %s is negative: give a time such as 10s", c.RequestTimeout)
	case c.PageSize < 0:
		return c, fmt.Errorf("page size %d is negative: give a number of keys such as %d", c.PageSize, DefaultPageSize)
	case c.MaxKeys < 0:
		return c, fmt.Errorf("most keys %d of a domain is negative: give a number such as %d", c.MaxKeys, DefaultMaxKeys)
	case c.Settle < 0:
		return c, fmt.Errorf("settle time %s is negative: give a time such as %s", c.Settle, DefaultSettle)
	}
	var errs [3]error
	c.Prefix, errs[0] = registry.CheckPrefix(cmp.Or(c.Prefix, registry.DefaultPrefix))
	c.Endpoints, errs[1] = c.endpoints()
	c.User, c.Password, errs[2] = c.credentials()
	return c, cmp.Or(errs[:]...)
}

// tls reports whether a certificate file is given.
func (c Config) tls() bool { return c.CACert != "" || c.Cert != "" || c.Key != "" }

func (c Config) scheme() string {
	if c.tls() {
		return "https"
	}
	return "http"
}

func (c Config) endpoints() ([]string, error) {
	given := c.Endpoints
	if len(given) == 0 {
		given = []string{DefaultEndpoint}
	}
	urls := make([]string, len(given))
	for i, endpoint := range given {
		u, err := c.endpoint(endpoint)
		if err != nil {
			return nil, err
		}
		urls[i] = u.Scheme + "://" + u.Host
		if scheme, _, _ := strings.Cut(urls[0], ":"); scheme != u.Scheme {
			return nil, fmt.Errorf("endpoints %s and %s mix http and https: give all of one kind", urls[0], urls[i])
		}
	}
	return urls, nil
}

func (c Config) endpoint(given string) (*url.URL, error) {
	text := strings.TrimSpace(given)
	if !strings.Contains(text, "://") {
		text = c.scheme() + "://" + text
	}
	u, err := url.Parse(text)
	if err == nil && u.User != nil {
		return nil, fmt.Errorf("endpoint %s://...@%s has a user in it: give the user apart", u.Scheme, u.Host)
	}
	if err != nil || u.Hostname() == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, fmt.Errorf("endpoint %s is not a host and a port: give one such as http://%s", registry.Quote(given), DefaultEndpoint)
	}
	if err := registry.CheckValue("port", u.Port()); err != nil {
		return nil, fmt.Errorf("endpoint %s: %w: give one such as http://%s", registry.Quote(given), err, DefaultEndpoint)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("endpoint %s is neither http nor https: give one such as http://%s", registry.Quote(given), DefaultEndpoint)
	case u.Scheme == "http" && c.tls():
		return nil, fmt.Errorf("endpoint %s is without TLS, but certificate files are given: write https://%s, or leave the files out",
			registry.Quote(given), u.Host)
	}
	return u, nil
}

// credentials returns the user and the password, both empty if no user is given.
func (c Config) credentials() (user, password string, err error) {
	switch {
	case c.User == "" && c.Password == "" && c.PasswordFile == "":
		return "", "", nil
	case c.User == "":
		return "", "", errors.New("a password is given without a user: give the user, too")
	case c.Password != "" && c.PasswordFile != "":
		return "", "", errors.New("a password and a password file are given: give only one of them")
	case c.Password != "":
		return c.User, c.Password, nil
	case c.PasswordFile != "":
		password, err = readPassword(c.PasswordFile)
		return c.User, password, err
	}
	user, password, _ = strings.Cut(c.User, ":")
	if user == "" || password == "" {
		return "", "", fmt.Errorf("user %s has no password: give a password file, or the user as name:password", registry.Quote(user))
	}
	return user, password, nil
}

func readPassword(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the password file: %w", err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" || strings.ContainsAny(password, "\r\n") {
		return "", fmt.Errorf("password file %s is not one line with the password", path)
	}
	return password, nil
}
