package docker

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// address is where HAProxy reaches a port of the container; port 0 means its only port. The Problem names no container.
func (s Settings) address(c Container, port uint16) (netip.AddrPort, *Problem) {
	switch {
	case s.Internal:
		return s.internalAddress(c, port)
	case c.HostNetwork:
		port, problem := onlyPort(port, c.Exposed, "exposes")
		return netip.AddrPortFrom(s.IP, port), problem
	}
	return s.publishedAddress(c, port)
}

func (s Settings) internalAddress(c Container, port uint16) (netip.AddrPort, *Problem) {
	port, problem := onlyPort(port, c.Exposed, "exposes")
	if problem != nil {
		return netip.AddrPort{}, problem
	}
	if c.HostNetwork {
		return netip.AddrPortFrom(s.IP, port), nil
	}
	wanted, labelled := c.Labels[LabelNetwork]
	var names []string
	for _, n := range c.Networks {
		if labelled && n.Name == wanted || !labelled && len(c.Networks) == 1 {
			return netip.AddrPortFrom(n.IP, port), nil
		}
		names = append(names, n.Name)
	}
	switch {
	case len(names) == 0:
		return netip.AddrPort{}, &Problem{Label: LabelNetwork, Reason: "the container has an address in no network: attach it to one"}
	case labelled:
		return netip.AddrPort{}, &Problem{Label: LabelNetwork,
			Reason: fmt.Sprintf("the container has no address in network %.64q, but in %s", wanted, strings.Join(names, ", "))}
	}
	return netip.AddrPort{}, &Problem{Label: LabelNetwork,
		Reason: fmt.Sprintf("the container is in several networks, %s: say which with the label", strings.Join(names, ", "))}
}

func (s Settings) publishedAddress(c Container, port uint16) (netip.AddrPort, *Problem) {
	var ports []uint16
	for _, p := range c.Published {
		ports = append(ports, p.Port)
	}
	port, problem := onlyPort(port, slices.Compact(ports), "publishes")
	if problem != nil {
		return netip.AddrPort{}, problem
	}
	var at []netip.AddrPort
	for _, p := range c.Published {
		if p.Port == port {
			at = append(at, p.At)
		}
	}
	if len(at) == 0 {
		return netip.AddrPort{}, &Problem{Label: LabelPort,
			Reason: fmt.Sprintf("port %d of the container is not published: publish it with -p %[1]d, or start hapsync with --internal", port)}
	}
	return s.reached(port, at)
}

// reached chooses one of the addresses of a published port: the machine's own, or else one that other machines can reach.
func (s Settings) reached(port uint16, at []netip.AddrPort) (netip.AddrPort, *Problem) {
	for _, a := range at {
		if a.Addr() == s.IP || a.Addr().IsUnspecified() && a.Addr().Is4() == s.IP.Is4() {
			return netip.AddrPortFrom(s.IP, a.Port()), nil
		}
	}
	for _, a := range at {
		if !a.Addr().IsLoopback() && !a.Addr().IsUnspecified() {
			return a, nil
		}
	}
	if at[0].Addr().IsUnspecified() {
		return netip.AddrPort{}, &Problem{Label: LabelPort, Reason: fmt.Sprintf(
			"port %d of the container is not published for addresses of the kind of %s: publish it with -p %[1]d, or give another --ip", port, s.IP)}
	}
	return netip.AddrPort{}, &Problem{Label: LabelPort, Reason: fmt.Sprintf(
		"port %d of the container is published on %s only, which no other machine reaches: publish it without that address, "+
			"or start hapsync with --internal, or with --ip %[2]s --allow-loopback where HAProxy runs on this machine", port, at[0].Addr())}
}

// onlyPort returns port, or if it is 0 the only one of the ports.
func onlyPort(port uint16, ports []uint16, has string) (uint16, *Problem) {
	switch {
	case port != 0:
		return port, nil
	case len(ports) == 1:
		return ports[0], nil
	case len(ports) == 0 && has == "publishes":
		return 0, &Problem{Label: LabelPort,
			Reason: "the container publishes no TCP port: publish one with -p, or start hapsync with --internal"}
	case len(ports) == 0:
		return 0, &Problem{Label: LabelPort, Reason: "the container exposes no TCP port: say which one it has with the label"}
	}
	return 0, &Problem{Label: LabelPort,
		Reason: fmt.Sprintf("the container %s several TCP ports, %s: say which with the label", has, numbers(ports))}
}

func numbers(ports []uint16) string {
	var words []string
	for _, port := range ports {
		words = append(words, fmt.Sprint(port))
	}
	return strings.Join(words, ", ")
}
