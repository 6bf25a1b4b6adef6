package docker

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hapsync/hapsync/registry"
)

// Labels of a container.
const (
	LabelDomain  = "hapsync.domain"
	LabelHost    = "hapsync.host"
	LabelPort    = "hapsync.port"
	LabelWeight  = "hapsync.weight"
	LabelCheck   = "hapsync.check"
	LabelNetwork = "hapsync.network"
)

func labels() []string {
	return []string{LabelDomain, LabelHost, LabelPort, LabelWeight, LabelCheck, LabelNetwork}
}

// A Problem keeps a container, or one of its names, out of the registry, or reports an ignored label.
type Problem struct {
	Container string
	// Label is the label to fix, or a variable of registrator's; empty for neither.
	Label  string
	Reason string
}

// A service is a port of a container that serves a domain.
type service struct {
	domain string
	label  string // the label or variable that names it
	port   uint16 // 0 for the only one
}

// decode returns the hosts that the container's labels ask for, in any state of the container.
func (s Settings) decode(c Container) (hosts []Host, problems []Problem) {
	services, problems := s.services(c)
	if len(services) == 0 {
		return nil, problems
	}
	if n := len(services); n > maxServices {
		problems = append(problems, Problem{Label: services[maxServices].label,
			Reason: fmt.Sprintf("the container names %d domains, and only the first %d are registered", n, maxServices)})
		services = services[:maxServices]
	}
	problems = append(problems, unknownLabels(c)...)
	values, bad := s.values(c)
	if bad != nil {
		return nil, append(problems, *bad)
	}
	for _, service := range services {
		host, problem := s.host(c, service, maps.Clone(values))
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		hosts = append(hosts, host)
	}
	return hosts, problems
}

// services returns the services of hapsync's labels, or else of registrator's names.
func (s Settings) services(c Container) ([]service, []Problem) {
	domains, there := c.Labels[LabelDomain]
	if !there {
		if s.RegistratorNames {
			return s.registrator(c)
		}
		return nil, nil
	}
	port, problem := portOf(c)
	if problem != nil {
		return nil, []Problem{*problem}
	}
	var services []service
	for domain := range strings.SplitSeq(domains, ",") {
		services = append(services, service{domain: strings.TrimSpace(domain), label: LabelDomain, port: port})
	}
	return services, nil
}

// portOf is the port of the label; 0 if there is none.
func portOf(c Container) (uint16, *Problem) {
	value, there := c.Labels[LabelPort]
	if !there {
		return 0, nil
	}
	if err := registry.CheckValue("port", value); err != nil {
		return 0, &Problem{Label: LabelPort, Reason: err.Error()}
	}
	port, _ := strconv.ParseUint(value, 10, 16)
	return uint16(port), nil
}

// unknownLabels reports labels that begin like hapsync's but do not exist.
func unknownLabels(c Container) (problems []Problem) {
	for _, label := range slices.Sorted(maps.Keys(c.Labels)) {
		if strings.HasPrefix(label, "hapsync.") && !slices.Contains(labels(), label) {
			problems = append(problems, Problem{Label: label,
				Reason: "there is no such label, it is passed over: they are " + strings.Join(labels(), ", ")})
		}
	}
	return problems
}

// values checks the labels that all services share. It returns the values of the host's keys, by attribute.
func (s Settings) values(c Container) (map[string]string, *Problem) {
	values := map[string]string{}
	if weight, there := c.Labels[LabelWeight]; there {
		if err := registry.CheckValue("weight", weight); err != nil {
			return nil, &Problem{Label: LabelWeight, Reason: err.Error()}
		}
		values["weight"] = weight
	}
	if check, there := c.Labels[LabelCheck]; there {
		if err := goodCheck(check); err != nil {
			return nil, &Problem{Label: LabelCheck, Reason: err.Error()}
		}
	}
	if name, there := c.Labels[LabelHost]; there {
		if err := registry.CheckHost(name); err != nil {
			return nil, &Problem{Label: LabelHost, Reason: err.Error()}
		}
	}
	return values, nil
}

// goodCheck allows "tcp", "off" and a path. In the key of a domain more words may follow, but those are for HAProxy's checks.
func goodCheck(value string) error {
	check, _, more := strings.Cut(value, " ")
	err := registry.CheckOption("check", check)
	if err == nil && more {
		err = fmt.Errorf("check %s has words behind %s, which a container's check cannot have: "+
			"--interval, --timeout, --rise and --fall say when it is made, and a space in a path is %%20",
			registry.Quote(value), registry.Quote(check))
	}
	return err
}

// host is the host of one service. The values have been checked.
func (s Settings) host(c Container, service service, values map[string]string) (Host, *Problem) {
	if err := registry.CheckDomain(service.domain); err != nil {
		return Host{}, &Problem{Label: service.label, Reason: err.Error()}
	}
	if !s.Domains.Match(service.domain) {
		return Host{}, &Problem{Label: service.label, Reason: fmt.Sprintf("domain %s is not among those that containers may serve here (--domains)",
			registry.Quote(service.domain))}
	}
	addr, problem := s.address(c, service.port)
	if problem != nil {
		return Host{}, problem
	}
	values["ip"], values["port"] = addr.Addr().String(), strconv.Itoa(int(addr.Port()))
	name, there := c.Labels[LabelHost]
	if !there {
		name = HostName(s.Machine, c.Name)
	}
	host, err := registry.ParseHost(name, values)
	if err == nil {
		err = s.Addresses.Check(host.Addr)
	}
	if err != nil {
		return Host{}, &Problem{Label: LabelPort, Reason: err.Error()}
	}
	host.OneKey = s.OneKey
	h := Host{ID: c.ID, Container: c.Name, Domain: strings.ToLower(service.domain), Host: host}
	if check := c.Labels[LabelCheck]; c.Health == Unchecked && check != "off" {
		h.Check = check
	}
	return h, nil
}
