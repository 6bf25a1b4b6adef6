package configfile

import (
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

func TestABackendBesideAnIfBlockComesAndGoesWithoutTheBlock(t *testing.T) {
	t.Parallel()
	ac := siteBackend("a.com") + "%" + siteBackend("c.com")
	debug := func(condition string) string { return "\n.if " + condition + "\n" + siteDebug + ".endif\n" }
	const either = "\n.if defined(NOPE)\n.notice \"no\"\nbackend one\n.else\n\n# two\n.warning \"yes\"\nbackend two\n.endif\n"
	const nested = "\n.if version_atleast(2.4)\n.if defined(NOPE)\nbackend one\n.endif\nbackend two\n.elif defined(NOPE)\nbackend three\n.endif\n"
	for name, c := range map[string]struct{ block, text, want string }{
		"it holds":                  {debug("version_atleast(2.4)"), ac, "webin a.com b.com .if debug .endif c.com"},
		"it does not":               {debug("defined(NOPE)"), ac, "webin a.com b.com .if debug .endif c.com"},
		"with another branch":       {either, ac, "webin a.com b.com .if .notice one .else .warning two .endif c.com"},
		"one in another":            {nested, ac, "webin a.com b.com .if .if one .endif two .elif three .endif c.com"},
		"behind a comment":          {"\n# for tests\n" + debug("defined(NOPE)")[1:], ac, "webin a.com b.com .if debug .endif c.com"},
		"behind the frontend":       {debug("defined(NOPE)"), "%" + siteBackend("a.com") + siteBackend("c.com"), "webin .if debug .endif a.com b.com c.com"},
		"within a backend":          {"    .if defined(NOPE)\n    timeout server 1m\n    .else\n    timeout server 2m\n    .endif\n", ac, "webin a.com .if .else .endif b.com c.com"},
		"within and then behind it": {"    .if defined(NOPE)\n    timeout server 1m\n    .endif\n" + debug("defined(NOPE)"), ac, "webin a.com .if .endif b.com .if debug .endif c.com"},
		"at the end":                {debug("defined(NOPE)"), siteBackend("a.com") + siteBackend("c.com") + "%", "webin a.com b.com c.com .if debug .endif"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
				files := openSite(t, bin, siteTop+siteAC+strings.Replace(c.text, "%", c.block, 1), 0)
				before := readSite(t, files)
				if len(before.Managed.Foreign) > 0 || files.NoEdit(before) == "" {
					t.Errorf("left alone are %v; a transaction is refused because %q", before.Managed.Foreign, files.NoEdit(before))
				}
				if err := writeSite(t, files, plusB(before)); err != nil {
					t.Fatal(err)
				}
				f := readSite(t, files)
				if got := headers(f.Text); got != "global defaults "+c.want {
					t.Errorf("%s, want\nglobal defaults %s", got, c.want)
				}
				if err := writeSite(t, files, minus(f, "b.com")); err != nil || readSite(t, files).Text != before.Text {
					t.Errorf("%v, without b.com (-want +got):\n%s", err, diff(before.Text, readSite(t, files).Text))
				}
				if strings.Contains(name, "within") {
					return
				}
				for _, domain := range []string{"a.com", "c.com"} {
					if err := writeSite(t, files, minus(readSite(t, files), domain)); err != nil {
						t.Errorf("without %s: %v", domain, err)
					}
				}
				if text := readSite(t, files).Text; !strings.Contains(text, c.block[1:]) {
					t.Errorf("the block is not as it was:\n%s", text)
				}
				if err := writeSite(t, files, plusB(readSite(t, files))); err != nil {
					t.Errorf("the first domain: %v", err)
				}
			})
		})
	}
}

func TestABackendThatSharesAnIfBlockIsLeftAlone(t *testing.T) {
	t.Parallel()
	const own = "\n.if defined(NOPE)\n    timeout server 1m\n" + siteDebug + ".endif\n"
	for name, c := range map[string]struct{ backends, foreign, want string }{
		"it stands in one":            {"\n.if version_atleast(2.4)" + siteBackend("a.com") + ".endif\n" + siteBackend("c.com"), ":18), between .if and .endif", "webin .if a.com .endif b.com c.com"},
		"another one begins in its":   {siteBackend("a.com") + own + siteBackend("c.com"), ":17), with an .if block in which another section begins", "webin a.com .if debug .endif b.com c.com"},
		"the last one stands in one":  {siteBackend("c.com") + "\n.if version_atleast(2.4)" + siteBackend("a.com") + "\nbackend x\n.endif\n", ":23), between .if and .endif", "webin b.com c.com .if a.com x .endif"},
		"all of them stand in blocks": {"\n.if defined(NOPE)" + siteBackend("c.com") + ".endif\n.if version_atleast(2.4)" + siteBackend("a.com") + ".endif\n" + siteMysql + siteDB, "), between .if and .endif", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
				files := openSite(t, bin, siteTop+siteAC+c.backends, 0)
				before := readSite(t, files)
				if got := before.Managed.Foreign["a.com"]; !strings.HasSuffix(got, c.foreign) {
					t.Errorf("left alone because of %q, not %q", got, c.foreign)
				}
				if c.want == "" {
					return
				}
				if err := writeSite(t, files, plusB(before)); err != nil {
					t.Fatal(err)
				}
				f := readSite(t, files)
				if got := headers(f.Text); got != "global defaults "+c.want {
					t.Errorf("%s, want\nglobal defaults %s", got, c.want)
				}
			})
		})
	}
}
