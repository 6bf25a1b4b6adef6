package registry

import (
	"strings"
	"testing"
)

func TestAliasesOfAllDomainsAreShared(t *testing.T) {
	t.Parallel()
	domain := func(name string, since Revision, aliases string) *Domain {
		return &Domain{Name: name, AliasesSince: since, Options: DomainOptions{Aliases: aliases}}
	}
	domains := []*Domain{
		domain("a.com", 7, "*.com a.com b.com x.com y.com z.com"), // its own name is none that it loses
		domain("b.com", 5, "x.com y.com z.com"),
		domain("c.com", 5, "*.com x.com"),
		domain("d.com", 0, ""),
	}
	var told []string
	for _, p := range ShareAliases("/p", domains, nil) {
		told = append(told, p.Domain+" "+p.Key+": "+p.Reason)
	}
	var have []string
	for _, d := range domains {
		have = append(have, d.Options.Aliases)
	}
	if got := strings.Join(have, "|"); got != "|x.com y.com z.com|*.com|" {
		t.Errorf("they have %q", got)
	}
	want := `a.com /p/a.com/aliases: the domain does not get *.com (an alias of c.com already), b.com (a domain of the registry itself), x.com (an alias of b.com already), 2 more: a name leads to one domain, by the older of the keys; delete it from the others
c.com /p/c.com/aliases: the domain does not get x.com (an alias of b.com already): a name leads to one domain, by the older of the keys; delete it from the others`
	if got := strings.Join(told, "\n"); got != want {
		t.Errorf("told is\n%s", got)
	}
}

func TestAliasesAreBoundAsDomainsAre(t *testing.T) {
	t.Parallel()
	served := Patterns{"a.com", "*.Shop.com"}
	for name, within := range map[string]bool{
		"a.com": true, "www.shop.com": true, "x.y.shop.com": true, "*.shop.com": true, "*.y.shop.com": true, "xn--a.shop.com": true,
		"shop.com": false, "*.com": false, "*.a.com": false, "www.a.com": false, "evilshop.com": false, "*.evilshop.com": false, "shop.com.evil.com": false,
		"www.shop.com.evil.com": false, "*.shop.com.evil.com": false, "a.com.evil.com": false, "com": false, "10.0.0.1": false, "bank.com": false,
	} {
		domains := []*Domain{
			{Name: "first.shop.com", AliasesSince: 1, Options: DomainOptions{Aliases: name}},
			{Name: "second.shop.com", AliasesSince: 2, Options: DomainOptions{Aliases: strings.Join([]string{"good.shop.com", name}, " ")}},
		}
		problems := ShareAliases("/p", domains, served)
		if got := domains[0].Options.Aliases; (got == name) != within || domains[1].Options.Aliases != "good.shop.com" {
			t.Errorf("%s: the domains have %q and %q", name, got, domains[1].Options.Aliases)
		}
		if within {
			continue
		}
		want := "the domain does not get " + name + " (not served by --domains): name it with --domains, or delete it from the key"
		if len(problems) != 2 || problems[0].Reason != want || problems[1].Reason != want || problems[0].Key != "/p/first.shop.com/aliases" {
			t.Errorf("%s: %v", name, problems)
		}
	}
	domains := []*Domain{
		{Name: "a.com", Options: DomainOptions{Aliases: "b.com www.shop.com"}},
		{Name: "www.shop.com"},
	}
	problems := ShareAliases("/p", domains, served)
	const want = "the domain does not get b.com (not served by --domains), www.shop.com (a domain of the registry itself): " +
		"name it with --domains, or delete it from the key; a name leads to one domain, by the older of the keys; delete it from the others"
	if len(problems) != 1 || problems[0].Reason != want {
		t.Errorf("both: %v", problems)
	}
}

func TestAKeyOfAliasesIsKeptAsFarAsItCanBeGood(t *testing.T) {
	t.Parallel()
	long := []byte(strings.Repeat("x", 10_000))
	for key, want := range map[string]int{
		"/p/a.com/aliases": 4097, "/p/a.com/check": MaxValue, "/p/a.com/s/aliases": MaxValue, "/p/aliases": MaxValue, "/p2/a.com/aliases": MaxValue,
	} {
		if got := len(CutValue("/p", key, long)); got != want {
			t.Errorf("%d bytes are kept of %s, not %d", got, key, want)
		}
		if created := CutCreated("/p", key, 7); (created == 7) != (want == 4097) {
			t.Errorf("%s was created at %d", key, created)
		}
	}
}
