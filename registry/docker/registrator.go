package docker

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// registrator returns the services that registrator's variables and labels name. Labels win over variables, and the name of a
// port over that of the container.
func (s Settings) registrator(c Container) (services []service, problems []Problem) {
	meta := registratorMeta(c)
	if meta["SERVICE_IGNORE"] != "" {
		return nil, nil
	}
	named := map[uint16]bool{}
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		port, what, ok := portVariable(key)
		if !ok || what == "NAME" && meta[fmt.Sprintf("SERVICE_%d_IGNORE", port)] != "" {
			continue
		}
		named[port] = true
		if what == "NAME" {
			services = append(services, service{domain: meta[key], label: key, port: port})
		}
	}
	name := meta["SERVICE_NAME"]
	if name == "" {
		return services, nil
	}
	port, problem := portOf(c)
	if problem != nil {
		return services, []Problem{*problem}
	}
	left := []uint16{port}
	if port == 0 {
		left = slices.DeleteFunc(s.ports(c), func(port uint16) bool { return named[port] })
	}
	switch {
	case len(left) == 1:
		services = append(services, service{domain: name, label: "SERVICE_NAME", port: left[0]})
	case len(left) > 1:
		problems = []Problem{{Label: "SERVICE_NAME",
			Reason: fmt.Sprintf("the container has several TCP ports, %s: name them one by one, as SERVICE_%d_NAME", numbers(left), left[0])}}
	case len(services) == 0:
		services = append(services, service{domain: name, label: "SERVICE_NAME"}) // its address will be the problem
	}
	return services, problems
}

// registratorMeta are the variables and labels that begin with SERVICE_.
func registratorMeta(c Container) map[string]string {
	meta := map[string]string{}
	for _, variable := range c.Env {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "SERVICE_") {
			meta[name] = value
		}
	}
	for name, value := range c.Labels {
		if strings.HasPrefix(name, "SERVICE_") {
			meta[name] = value
		}
	}
	return meta
}

// portVariable reads SERVICE_80_NAME and SERVICE_80_IGNORE.
func portVariable(key string) (port uint16, what string, ok bool) {
	number, what, _ := strings.Cut(strings.TrimPrefix(key, "SERVICE_"), "_")
	n, err := strconv.ParseUint(number, 10, 16)
	return uint16(n), what, err == nil && n > 0 && (what == "NAME" || what == "IGNORE")
}

// ports are the TCP ports of a container that have an address.
func (s Settings) ports(c Container) (ports []uint16) {
	if s.Internal || c.HostNetwork {
		return slices.Clone(c.Exposed)
	}
	for _, p := range c.Published {
		ports = append(ports, p.Port)
	}
	return slices.Compact(ports)
}
