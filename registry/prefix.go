package registry

import (
	"fmt"
	"strings"
)

// DefaultPrefix is the default prefix of the services.
const DefaultPrefix = "/services/web"

// CheckPrefix returns the prefix without its trailing slash, or what is wrong with it.
func CheckPrefix(prefix string) (string, error) {
	if !strings.HasPrefix(prefix, "/") {
		return "", fmt.Errorf("prefix %s does not start with a slash: etcd would take it for other keys, give one such as %s",
			Quote(prefix), DefaultPrefix)
	}
	prefix = strings.TrimRight(prefix, "/")
	if prefix == "" {
		return "", fmt.Errorf("prefix %s is all of etcd: give one such as %s", Quote("/"), DefaultPrefix)
	}
	return prefix, nil
}

// CheckReportPrefix does the same for the prefix of the reports, which must not overlap with that of the services.
func CheckReportPrefix(prefix, services string) (string, error) {
	prefix, err := CheckPrefix(prefix)
	if err != nil {
		return "", err
	}
	services = strings.TrimRight(services, "/")
	if strings.HasPrefix(prefix+"/", services+"/") || strings.HasPrefix(services+"/", prefix+"/") {
		return "", fmt.Errorf("%s and the prefix %s of the services overlap: give one such as %s", Quote(prefix), Quote(services), DefaultReportPrefix)
	}
	return prefix, nil
}
