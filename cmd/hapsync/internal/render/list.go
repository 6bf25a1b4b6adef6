package render

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/hapsync/hapsync/registry"
)

// A List is what hapsync list shows.
type List struct {
	Prefix   string
	Snapshot registry.Snapshot
}

// WriteText writes a line for each host, then the problems, and counts last.
func (l List) WriteText(w io.Writer) error {
	s := l.shown()
	var out bytes.Buffer
	hosts, pending := writeTable(&out, s.Domains)
	for _, problem := range s.Problems {
		fmt.Fprintf(&out, "problem  %s: %s\n", problem.Key, problem.Reason)
	}
	if s.Ignored.Keys > 0 {
		fmt.Fprintf(&out, "ignored  %s\n", s.Ignored)
	}
	if s.Keys == 0 {
		fmt.Fprintf(&out, "no key below %s: nothing is registered, or the prefix is another one (--prefix)\n", l.Prefix)
	}
	fmt.Fprintf(&out, "revision %d, %s, %s, %d pending, %s\n", s.Revision, registry.Count(len(s.Domains), "domain"),
		registry.Count(hosts, "host"), pending, registry.Count(len(s.Problems), "problem"))
	_, err := out.WriteTo(w)
	return err
}

// shown is the snapshot without the domains that have only ignored keys.
func (l List) shown() registry.Snapshot {
	s := l.Snapshot
	s.Domains = slices.DeleteFunc(slices.Clone(s.Domains), (*registry.Domain).Ignored)
	return s
}

// writeTable writes a line for each host, good or not, and one for a domain with options or without hosts.
func writeTable(out *bytes.Buffer, domains []*registry.Domain) (hosts, pending int) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		_, _ = fmt.Fprintln(table, strings.Join(cells, "\t")) // into the buffer
	}
	if len(domains) > 0 {
		row("DOMAIN", "HOST", "ADDRESS", "STATE", "OPTIONS")
	}
	for _, d := range domains {
		hosts, pending = hosts+len(d.Hosts), pending+len(d.Pending)
		options := domainOptions(d)
		if options != "" || len(d.Hosts)+len(d.Pending)+len(d.HeldHosts) == 0 {
			row(d.Name, "-", "-", "-", Dash(options))
		}
		for _, h := range d.Hosts {
			row(d.Name, h.Name, h.Addr.String(), string(h.State), Dash(hostOptions(h)))
		}
		for _, h := range d.Pending {
			row(d.Name, h.Host, "-", "pending", "no "+h.Missing+" yet")
		}
		for _, name := range d.HeldHosts {
			row(d.Name, name, "-", "bad", "its last good values, if any, stay in HAProxy")
		}
	}
	_ = table.Flush() // into the buffer
	return hosts, pending
}

func domainOptions(d *registry.Domain) string {
	options := d.Options.String()
	if !d.Held {
		return options
	}
	const held = "bad options: the last good ones, if any, stay in HAProxy"
	if options == "" {
		return held
	}
	return options + ", " + held
}

func hostOptions(h registry.Host) string {
	var words []string
	if h.OneKey {
		words = append(words, "one key")
	}
	if h.Weight != 1 {
		words = append(words, "weight "+strconv.Itoa(h.Weight))
	}
	if h.MaxConn != 0 {
		words = append(words, "maxconn "+strconv.Itoa(h.MaxConn))
	}
	if h.Backup {
		words = append(words, "backup")
	}
	return strings.Join(words, ", ")
}

// JSON of list. While the version stays, fields are only added.
type (
	// ListJSON is the whole JSON.
	ListJSON struct {
		Version  int                `json:"version" doc:"1; raised when a field changes its meaning or goes away"`
		Prefix   string             `json:"prefix" doc:"the key below which the domains are"`
		Revision int64              `json:"revision" doc:"etcd's revision that was read"`
		Keys     int                `json:"keys" doc:"how many keys are below the prefix"`
		Domains  []domainJSON       `json:"domains" doc:"the domains, by name"`
		Problems []registry.Problem `json:"problems" doc:"keys that cannot be used, and domains that are left alone"`

		IgnoredKeys  int      `json:"ignored_keys" doc:"how many keys mean nothing, and are passed over"`
		IgnoredNames []string `json:"ignored_names" doc:"the last part of some of them"`
	}
	domainJSON struct {
		Name string `json:"name" doc:"the domain"`
		optionsJSON
		Held      bool               `json:"held,omitempty" doc:"the options are bad: the last good ones stay in HAProxy"`
		Hosts     []hostJSON         `json:"hosts" doc:"good hosts, by name"`
		Pending   []registry.Pending `json:"pending" doc:"hosts that lack a key so far"`
		HeldHosts []string           `json:"held_hosts" doc:"hosts with a bad key: their last good values stay in HAProxy"`
	}
	optionsJSON struct {
		Aliases  []string `json:"aliases,omitempty" doc:"further names that lead to it, '*.abc.com' for all below one; absent without"`
		Balance  string   `json:"balance,omitempty" doc:"how requests are spread; absent without the key"`
		Check    string   `json:"check,omitempty" doc:"'tcp', 'off' or the path of the HTTP check, and words such as inter=2s; absent without the key"`
		Cookie   string   `json:"cookie,omitempty" doc:"'off', or the cookie's name and words; absent without the key"`
		Timeout  string   `json:"timeout_server,omitempty" doc:"how long a server may take; absent without the key"`
		TLS      string   `json:"tls,omitempty" doc:"'verify' or 'noverify' if HAProxy speaks TLS to the hosts, or 'off'; absent without the key"`
		Redirect bool     `json:"redirect_https,omitempty" doc:"clients without TLS are sent to the same place with it"`
		Down     bool     `json:"maintenance,omitempty" doc:"the domain answers 503, its hosts stay"`
	}
	hostJSON struct {
		Name    string `json:"name" doc:"name of the host"`
		Address string `json:"address" doc:"address and port"`
		OneKey  bool   `json:"one_key,omitempty" doc:"the host is one key with its address, not ip and port"`
		Weight  int    `json:"weight" doc:"weight"`
		MaxConn int    `json:"maxconn,omitempty" doc:"most concurrent connections; absent without a limit"`
		Backup  bool   `json:"backup,omitempty" doc:"used only when all others are down"`
		State   string `json:"state" doc:"'ready', 'drain' or 'maint'"`
	}
)

// WriteJSON implements Page.
func (l List) WriteJSON(w io.Writer) error {
	s := l.shown()
	return JSON(w, ListJSON{Version: 1, Prefix: l.Prefix, Revision: int64(s.Revision), Keys: s.Keys, Domains: each(s.Domains, domainToJSON),
		Problems: orEmpty(s.Problems), IgnoredKeys: s.Ignored.Keys, IgnoredNames: orEmpty(s.Ignored.Names)})
}

func domainToJSON(d *registry.Domain) domainJSON {
	return domainJSON{Name: d.Name, optionsJSON: optionsToJSON(d.Options), Held: d.Held, Hosts: each(d.Hosts, hostToJSON),
		Pending: orEmpty(d.Pending), HeldHosts: orEmpty(d.HeldHosts)}
}

func optionsToJSON(o registry.DomainOptions) optionsJSON {
	return optionsJSON{
		Aliases: o.Names(), Balance: o.Balance, Check: o.Check, Cookie: o.Cookie, Timeout: o.TimeoutServer, TLS: o.TLS,
		Redirect: o.RedirectHTTPS, Down: o.Maintenance,
	}
}

func hostToJSON(h registry.Host) hostJSON {
	return hostJSON{
		Name: h.Name, Address: h.Addr.String(), OneKey: h.OneKey, Weight: h.Weight, MaxConn: h.MaxConn, Backup: h.Backup,
		State: string(h.State),
	}
}
