package docker

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hapsync/hapsync/registry"
)

// The labels of a container.
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

// A Problem keeps a container, or a name of it, out of the registry, or says that a label of it is passed over.
type Problem struct {
	Container string
	// Label is the one to fix, or a variable of registrator's; empty for neither.
	Label  string
	Reason string
}

// A service is a port of a container that serves a domain.
type service struct {
	domain string
	label  string // that names it
	port   uint16 // 0 where there is only one
}

// decode is what a container wants to be in the registry, whatever state it is in.
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
	problems = append(problems, strange(c)...)
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

// services are those of the hapsync labels, or else those with registrator's names.
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

// portOf is what the label says; 0 where there is none.
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

// strange are the labels that look like hapsync's and are not.
func strange(c Container) (problems []Problem) {
	for _, label := range slices.Sorted(maps.Keys(c.Labels)) {
		if strings.HasPrefix(label, "hapsync.") && !slices.Contains(labels(), label) {
			problems = append(problems, Problem{Label: label, Reason: "there is no such label, it is passed over: they are " + strings.Join(labels(), ", ")})
		}
	}
	return problems
}

// values are those of the labels that are the same for all services, by attribute of a host, and the check.
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

// goodCheck takes "tcp", "off" and a path: the words that may stand behind them in the key of a domain are for HAProxy's checks.
func goodCheck(value string) error {
	check, _, more := strings.Cut(value, " ")
	err := registry.CheckOption("check", check)
	if err == nil && more {
		err = fmt.Errorf("check %s has words behind %s, which a container's check cannot have: --interval, --timeout, --rise and --fall say when it is made, "+
			"and a space in a path is %%20", registry.Quote(value), registry.Quote(check))
	}
	return err
}

// host is what a service of the container is in the registry. The values were checked.
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
