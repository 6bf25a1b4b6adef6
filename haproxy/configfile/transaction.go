package configfile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hapsync/hapsync/haproxy"

	parser "github.com/haproxytech/client-native/v5/config-parser"
	"github.com/haproxytech/client-native/v5/config-parser/params"
	"github.com/haproxytech/client-native/v5/config-parser/parsers"

	parserhttp "github.com/haproxytech/client-native/v5/config-parser/parsers/http"
	"github.com/haproxytech/client-native/v5/config-parser/types"
	"github.com/haproxytech/client-native/v5/configuration"
	"github.com/haproxytech/client-native/v5/configuration/options"
)

// transact makes the edits from have to want in one client-native transaction on a copy of the text, and returns the new text in our style.
// client-native gets only a copy, in dir. It would replace symbolic links, set the mode to 0644, compare versions only in memory, and
// leave files behind when it is killed. transact removes what a killed process left in dir. The client is always a new one, because it
// reads the file only once.
func transact(ctx context.Context, dir, binary, text string, have Managed, want haproxy.Config) (string, error) {
	if n := endlessLine(text); n > 0 {
		return "", fmt.Errorf("client-native would not end reading line %d", n)
	}
	return use(clientNative, func() (string, error) { return transactCopy(ctx, dir, binary, text, have, want) })
}

func transactCopy(ctx context.Context, dir, binary, text string, have Managed, want haproxy.Config) (edited string, err error) {
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "managed.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", err
	}
	transactions := filepath.Join(dir, "transactions")
	client, err := configuration.New(ctx, options.ConfigurationFile(file), options.HAProxyBin(binary), options.TransactionsDir(transactions))
	if err != nil {
		return "", err
	}
	version, err := client.GetVersion("")
	if err != nil {
		return "", err
	}
	engine := &configuration.Transaction{
		TransactionClient: privateClient{client},
		ConfigurationOptions: options.ConfigurationOptions{
			ConfigurationFile: file, Haproxy: binary, TransactionDir: transactions,
			SkipConfigurationFileValidation: true, // validate does it, beside the managed file and with a timeout
		},
	}
	tx, err := engine.StartTransaction(version)
	if err != nil {
		return "", err
	}
	p, err := client.GetParser(tx.ID)
	if err != nil {
		return "", err
	}
	have, want = withSpares(have, want)
	if err := edit(p, have.Config, want, have.mapFile); err != nil {
		return "", err
	}
	if _, err := engine.CommitTransaction(tx.ID); err != nil {
		return "", err
	}
	out, err := os.ReadFile(file)
	return restyle(string(out)), err
}

// changedByTransaction says which line of hapsync's, or of an operator's between them, a transaction would move or change without need; empty
// if there is none. A transaction writes the rules of a frontend as one block. It sorts them, and the servers of a backend, and drops
// comments.
func changedByTransaction(d Document, m Managed) string {
	for _, s := range d.sections {
		if name := d.written(s); name != s.name && slices.Contains([]section{m.frontends[s.name], m.backends[s.name], m.spares[s.name]}, s) {
			return fmt.Sprintf("a transaction would not find %s %s, which line %d writes as %s", s.kind, s.name, s.head+1, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.frontends)) {
		if why := changedRules(d, m, m.frontends[name]); why != "" {
			return why
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.backends)) {
		s := m.backends[name]
		if i := lateDefaultServer(d.body(s)); i >= 0 {
			return fmt.Sprintf("a transaction would not keep line %d, default-server, below the servers above it", s.head+2+i)
		}
		before := ""
		for i, l := range d.body(s) {
			if roleOf(l, false) != roleServer {
				continue
			}
			w, comment := splitWords(l.raw), commentOf(l.raw)
			switch at := s.head + 2 + i; {
			case w[1] < before:
				return fmt.Sprintf("a transaction would not keep line %d, server %s, in its place", at, w[1])
			case comment != "" && comment != ownMark:
				return fmt.Sprintf("a transaction would not keep the comment in line %d", at)
			case hasQuotes(l.raw):
				return fmt.Sprintf("a transaction would not keep the quotes in line %d", at)
			}
			before = w[1]
		}
	}
	return ""
}

func changedRules(d Document, m Managed, s section) string {
	owned := domains(rulesIn(s.name, m.Config.Rules))
	type place struct {
		domain string // of hapsync's last line
		passed int    // the first other line below it
	}
	places := map[string]*place{"acl": {}, "use_backend": {}}
	for i, l := range d.body(s) {
		p, at := places[firstWord(l.raw)], s.head+2+i
		if p == nil {
			continue
		}
		domain, _, ours := ownLine(l)
		if _, ok := owned[domain]; !ours || !ok {
			if p.domain != "" && p.passed == 0 {
				p.passed = at
			}
			continue
		}
		switch {
		case p.passed > 0:
			return fmt.Sprintf("a transaction would not keep line %d between the lines of domains", p.passed)
		case domain < p.domain:
			return fmt.Sprintf("a transaction would not keep the %s of %s in its place", firstWord(l.raw), domain)
		case commentOf(l.raw) != "":
			return fmt.Sprintf("a transaction would not keep the comment in line %d", at)
		}
		p.domain = domain
	}
	return ""
}

// A privateClient is client-native's client, but saves a configuration so that only this user can read it. client-native itself would first
// write it into TMPDIR, readable for everyone.
type privateClient struct{ configuration.Configuration }

// Save implements configuration.TransactionClient.
func (c privateClient) Save(file, transaction string) error {
	p, err := c.GetParser(transaction)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(p.String()), 0o600)
}

// CheckTransactionOrVersion implements configuration.TransactionClient. It is meant for calls outside of a transaction, which do not happen.
func (c privateClient) CheckTransactionOrVersion(transaction string, _ int64) (string, error) {
	return transaction, nil
}

// reproduces reports whether client-native prints the text unchanged after parsing it. Only then its edits keep every line that is not
// ours. line is the first one that differs.
func reproduces(text string) (line int, ok bool) {
	if line = endlessLine(text); line > 0 {
		return line, false
	}
	printed, _ := use(clientNative, func() (string, error) {
		p, err := parser.New()
		if err != nil || p.Process(strings.NewReader(text)) != nil {
			return "", err
		}
		return restyle(p.String()), nil
	})
	if printed == text {
		return 0, true
	}
	want, got := strings.Split(text, "\n"), strings.Split(printed, "\n")
	for i := range want {
		if i >= len(got) || want[i] != got[i] {
			return i + 1, false
		}
	}
	return len(want), false
}

// restyle changes the output of client-native to our style: no version line, four spaces of indentation, the words of our cookie line in
// the order of HAProxy's documentation.
func restyle(text string) string {
	var b strings.Builder
	b.Grow(len(text) + len(text)/8)
	for l := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(l, "# _version="), b.Len() == 0 && l == "\n":
		case strings.HasPrefix(l, "  cookie "):
			b.WriteString(indent + "cookie " + canonicalCookie(strings.Fields(l)[1:]) + "\n")
		case strings.HasPrefix(l, "  "):
			b.WriteString(indent + l[2:])
		default:
			b.WriteString(l)
		}
	}
	return b.String()
}

// edit sets whole attributes of sections, since one call for each line would parse each time.
func edit(p parser.Parser, have, want haproxy.Config, mapFile string) error {
	if err := editBackends(p, have.Backends, want.Backends); err != nil {
		return err
	}
	for f := range frontendsOf(slices.Concat(have.Rules, want.Rules)) {
		if slices.Equal(rulesIn(f, have.Rules), rulesIn(f, want.Rules)) {
			continue
		}
		if err := editRules(p, f, have.Rules, want.Rules, mapFile); err != nil {
			return fmt.Errorf("frontend %s: %w", f, err)
		}
	}
	for _, b := range have.Backends {
		if _, wanted := haproxy.FindBackend(want.Backends, b.Name); !wanted {
			if err := p.SectionsDelete(parser.Backends, b.Name); err != nil {
				return fmt.Errorf("backend %s: %w", b.Name, err)
			}
		}
	}
	return nil
}

func editBackends(p parser.Parser, have, want []haproxy.Backend) error {
	for _, b := range want {
		old, ok := haproxy.FindBackend(have, b.Name)
		if !ok {
			if err := p.SectionsCreate(parser.Backends, b.Name); err != nil {
				return fmt.Errorf("backend %s: %w", b.Name, err)
			}
		}
		if err := editBackend(p, old, b); err != nil {
			return fmt.Errorf("backend %s: %w", b.Name, err)
		}
	}
	return nil
}

func editBackend(p parser.Parser, have, want haproxy.Backend) error {
	set := func(attribute string, data any) error { return p.Set(parser.Backends, want.Name, attribute, data) }
	if have.Options.Balance != want.Options.Balance {
		if err := set("balance", &types.Balance{Algorithm: want.Options.Balance}); err != nil {
			return err
		}
	}
	if have.Options.Cookie != want.Options.Cookie {
		if err := editCookie(set, want.Options.Cookie); err != nil {
			return err
		}
	}
	if have.Options.Check != want.Options.Check {
		if err := editCheck(set, want); err != nil {
			return err
		}
	}
	if slices.Equal(have.Servers, want.Servers) {
		return nil
	}
	servers := make([]types.Server, len(want.Servers))
	for i, s := range want.Servers {
		w := strings.Fields(strings.Join(serverWords(s, want.Given), " "))
		if endless(w[3:]) {
			return fmt.Errorf("client-native would not end reading the words of server %s", s.Name)
		}
		servers[i] = types.Server{
			Name: s.Name, Address: w[2], Params: params.ParseServerOptions(w[3:]), Comment: strings.TrimPrefix(marked(s, ""), "# "),
		}
	}
	return set("server", servers)
}

func editCookie(set func(string, any) error, cookie string) error {
	if cookie == "" {
		return set("cookie", nil)
	}
	var line parsers.Cookie
	words := append([]string{"cookie"}, strings.Fields(cookie)...)
	if _, err := line.Parse(strings.Join(words, " "), words, ""); err != nil {
		return err
	}
	data, err := line.Get(false)
	if err != nil {
		return err
	}
	return set("cookie", data)
}

func editCheck(set func(string, any) error, want haproxy.Backend) error {
	if want.Options.Check == "" {
		return errors.Join(set("option httpchk", nil), set("http-check", nil))
	}
	words := sendLine(want)
	checks := parserhttp.Checks{Mode: "backend"}
	checks.Init()
	if _, err := checks.Parse(strings.Join(words, " "), words, ""); err != nil {
		return err
	}
	data, err := checks.Get(false)
	if err != nil {
		return err
	}
	return errors.Join(set("option httpchk", &types.OptionHttpchk{}), set("http-check", data))
}

// editRules sets the ACLs and the rules of a frontend: ours as one sorted block, in the place of the first existing one. If mapFile is set
// and the rules change, the frontend gets a map rule behind them.
func editRules(p parser.Parser, frontend string, have, want []haproxy.Rule, mapFile string) error {
	ours, own := rulesIn(frontend, want), map[string]bool{}
	for _, r := range rulesIn(frontend, have) {
		own[r.ACL()], own[r.Backend()] = true, true
	}
	acls, rules := make([]types.ACL, len(ours)), make([]types.UseBackend, 0, len(ours))
	for i, r := range ours {
		acls[i] = types.ACL{Name: r.ACL(), Criterion: criterion(r), Value: "-i " + r.Domain}
		if !r.ByMap {
			rules = append(rules, types.UseBackend{Name: r.Backend(), Cond: "if", CondTest: r.ACL()})
		}
	}
	haveACLs, err := attribute[types.ACL](p, frontend, "acl")
	if err != nil {
		return err
	}
	haveRules, err := attribute[types.UseBackend](p, frontend, "use_backend")
	if err != nil {
		return err
	}
	acls = block(haveACLs, acls, func(a types.ACL) bool { return own[a.Name] })
	owned := func(u types.UseBackend) bool { return own[u.Name] && own[u.CondTest] }
	if at := slices.IndexFunc(haveRules, isMapRule); at >= 0 && !slices.ContainsFunc(haveRules, owned) {
		rules = slices.Insert(haveRules, at, rules...)
	} else {
		if at < 0 && mapFile != "" {
			w := mapRule{file: mapFile, anyPort: allAnyPort(ours)}.words()
			rules = append(rules, types.UseBackend{Name: w[1], Cond: w[2], CondTest: strings.Join(w[3:], " ")})
		}
		rules = block(haveRules, rules, owned)
	}
	return errors.Join(p.Set(parser.Frontends, frontend, "acl", acls), p.Set(parser.Frontends, frontend, "use_backend", rules))
}

func isMapRule(u types.UseBackend) bool {
	_, ok := readMapRule(line{raw: strings.Join([]string{"use_backend", u.Name, u.Cond, u.CondTest}, " ")})
	return ok
}

// attribute reads all lines of one kind in a frontend.
func attribute[T any](p parser.Parser, frontend, name string) ([]T, error) {
	data, err := p.Get(parser.Frontends, frontend, name, true)
	if err != nil {
		return nil, err
	}
	lines, ok := data.([]T)
	if !ok {
		return nil, fmt.Errorf("client-native holds %s lines as %T", name, data)
	}
	return lines, nil
}

// block replaces the owned elements of have by ours, in the place of the first one, or else at the end.
func block[T any](have, ours []T, owned func(T) bool) []T {
	at := slices.IndexFunc(have, owned)
	if at < 0 {
		at = len(have)
	}
	out := make([]T, 0, len(have)+len(ours))
	out = append(out, have[:at]...)
	out = append(out, ours...)
	for _, e := range have[at:] {
		if !owned(e) {
			out = append(out, e)
		}
	}
	return out
}
