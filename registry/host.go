package registry

import (
	"errors"
	"fmt"
	"strconv"
)

// Itself is the attribute of the key that is the host itself, with its address as ip:port.
const Itself = ""

// IsOption reports whether a key of this name below a domain is an option, and no host.
func IsOption(name string) bool {
	return !errors.Is(new(DomainOptions).set(name, ""), errUnknown)
}

// isAttribute reports whether a key of this name below a host has a meaning.
func isAttribute(name string) bool {
	return name != Itself && !errors.Is(new(draft).set(name, ""), errUnknown)
}

// IsHost reports whether a key of this name below a domain is a host with its address.
func IsHost(name, value string) bool {
	return !IsOption(name) && !isAttribute(name) && looksLikeAddress(value)
}

// CheckValue returns what is wrong with the value of an attribute of a host.
func CheckValue(attribute, value string) error {
	if err := new(draft).set(attribute, value); err != nil {
		return spaceError(err, value, new(draft), attribute)
	}
	return nil
}

// CheckOption returns what is wrong with the value of an option of a domain.
func CheckOption(name, value string) error {
	if err := new(DomainOptions).set(name, value); err != nil {
		return spaceError(err, value, new(DomainOptions), name)
	}
	return nil
}

// ParseHost returns the host with these values, by attribute. The optional ones may be missing. If several values are bad, the
// error names any of them.
func ParseHost(name string, values map[string]string) (Host, error) {
	if err := CheckHost(name); err != nil {
		return Host{}, err
	}
	h := draft{Host: newHost(name)}
	for attribute, value := range values {
		if err := h.set(attribute, value); err != nil {
			return Host{}, spaceError(err, value, new(draft), attribute)
		}
	}
	missing, err := h.complete()
	if err == nil && missing != "" {
		err = fmt.Errorf("host %s has no %s", name, missing)
	}
	h.Unset.State = false // a registration always says it
	return h.Host, err
}

// Values returns the values of the host's keys, by attribute: the address, the state, and the optional ones that are set.
func (h Host) Values() map[string]string {
	v := map[string]string{"state": string(h.State)}
	if h.OneKey {
		v[Itself] = h.Addr.String()
	} else {
		v["ip"], v["port"] = h.Addr.Addr().String(), strconv.Itoa(int(h.Addr.Port()))
	}
	if !h.Unset.Weight {
		v["weight"] = strconv.Itoa(h.Weight)
	}
	if !h.Unset.MaxConn {
		v["maxconn"] = strconv.Itoa(h.MaxConn)
	}
	if !h.Unset.Backup {
		v["backup"] = strconv.FormatBool(h.Backup)
	}
	return v
}

// AddressKey is the key of the host's address; domain is the key of its domain.
func (h Host) AddressKey(domain string) string {
	if h.OneKey {
		return domain + "/" + h.Name
	}
	return domain + "/" + h.Name + "/ip"
}
