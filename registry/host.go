package registry

import (
	"fmt"
	"net/netip"
	"strconv"
)

// CheckValue returns what is wrong with the value of an attribute of a host, by the rules of Decode.
func CheckValue(attribute, value string) error {
	if err := new(draft).set(attribute, value); err != nil {
		return trimmed(err, value, new(draft), attribute)
	}
	return nil
}

// CheckOption returns what is wrong with the value of an option of a domain, by the rules of Decode.
func CheckOption(name, value string) error {
	if err := new(DomainOptions).set(name, value); err != nil {
		return trimmed(err, value, new(DomainOptions), name)
	}
	return nil
}

// ParseHost returns the host whose keys have the values, by attribute, by the rules of Decode. The optional ones may be
// absent; which of several bad ones the error names is left open.
func ParseHost(name string, values map[string]string) (Host, error) {
	if err := CheckHost(name); err != nil {
		return Host{}, err
	}
	h := draft{Host: newHost(name)}
	for attribute, value := range values {
		if err := h.set(attribute, value); err != nil {
			return Host{}, trimmed(err, value, new(draft), attribute)
		}
	}
	if missing := h.missing(); missing != "" {
		return Host{}, fmt.Errorf("host %s has no %s", name, missing)
	}
	h.Addr = netip.AddrPortFrom(h.ip, h.port)
	return h.Host, nil
}

// Values are the keys of the host with its Values, by attribute: those that it needs, the state, and what is set.
func (h Host) Values() map[string]string {
	v := map[string]string{
		"ip":    h.Addr.Addr().String(),
		"port":  strconv.Itoa(int(h.Addr.Port())),
		"state": string(h.State),
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
