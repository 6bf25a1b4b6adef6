package configfile

import (
	"strings"
	"testing"

	"github.com/hapsync/hapsync/haproxy"
	"github.com/hapsync/hapsync/haproxy/internal/haproxytest"
)

func TestANewBackendGoesWhereTheDefaultsAreTheFrontends(t *testing.T) {
	t.Parallel()
	const limit, api = "    default-server maxconn 500\n", "\ndefaults\n    mode http\n    timeout client 6s\n    timeout connect 6s\n    timeout server 6s\n"
	first, both := siteTop+siteHead, siteTop+siteAC+siteBackend("a.com")+siteBackend("c.com")
	for name, c := range map[string]struct{ text, want string }{
		"other defaults follow":               {both + siteMysql + siteDB, "global defaults webin a.com b.com c.com hapsync-spare-1 mysql db"},
		"they limit servers":                  {both + siteMysql + limit + siteDB, "global defaults webin a.com b.com c.com hapsync-spare-1 mysql db"},
		"they are before the frontend":        {strings.Replace(both, "defaults\n", siteMysql[1:]+siteDB+"\ndefaults\n", 1), "global mysql db defaults webin a.com b.com c.com hapsync-spare-1"},
		"the first domain":                    {first + siteMysql + siteDB, "global defaults webin b.com hapsync-spare-1 mysql db"},
		"the first domain, they limit":        {first + siteMysql + limit + siteDB, "global defaults webin b.com hapsync-spare-1 mysql db"},
		"the first, and no other defaults":    {first + "\n" + siteDebug, "global defaults webin debug b.com hapsync-spare-1"},
		"the first, defaults for backends":    {first + api + siteMysql + siteDB, "global defaults webin defaults b.com hapsync-spare-1 mysql db"},
		"the first, backends behind defaults": {first + api + "\n" + siteDebug + siteMysql + siteDB, "global defaults webin defaults debug b.com hapsync-spare-1 mysql db"},
		"the first, another site":             {first + api + "\nfrontend x\n    bind 127.0.0.1:18081\n", "global defaults webin b.com hapsync-spare-1 defaults x"},
		"backends have defaults":              {siteTop + siteAC + api + siteBackend("a.com") + siteBackend("c.com") + siteMysql + siteDB, "global defaults webin defaults a.com b.com c.com hapsync-spare-1 mysql db"},
		"backends have two":                   {siteTop + siteAC + siteBackend("a.com") + api + siteBackend("c.com"), "global defaults webin a.com b.com hapsync-spare-1 defaults c.com"},
		"the later ones sort before":          {siteTop + siteAC + siteBackend("c.com") + api + siteBackend("a.com"), "global defaults webin b.com c.com hapsync-spare-1 defaults a.com"},
		"spare ones alone":                    {first + api + spareOne + siteMysql + siteDB, "global defaults webin defaults b.com hapsync-spare-1 mysql db"},
		"a backend is above all":              {strings.Replace(siteTop+siteAC+siteBackend("a.com"), "global\n", siteBackend("c.com")[1:]+"    mode http\n\nglobal\n", 1), "c.com global defaults webin a.com b.com hapsync-spare-1"},
		"the others are not read":             {first + "\n.if defined(NOPE)\n" + siteMysql + siteDB + ".endif\n", "global defaults webin b.com hapsync-spare-1 .if mysql db .endif"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachVersionWithSpares(t, func(t *testing.T, bin string) {
				files := openSite(t, bin, c.text, 1)
				before := readSite(t, files)
				if why := files.NoEdit(before); why == "" && strings.Count(c.text, "defaults") > 0 {
					t.Error("a transaction may edit it")
				}
				if err := writeSite(t, files, plusB(before)); err != nil {
					t.Fatal(err)
				}
				f := readSite(t, files)
				if got := headers(f.Text); got != c.want {
					t.Errorf("(-want +got):\n%s", diff(strings.Fields(c.want), strings.Fields(got)))
				}
				b, _ := haproxy.FindBackend(f.Managed.Config.Backends, "b.com_cluster")
				if len(f.Managed.Spares) != 1 || f.Managed.NamesSpare("hapsync-spare-1") || b.Given != before.Managed.Given {
					t.Errorf("spare: %v; new backends get %v, b.com %v", f.Managed.Spares, before.Managed.Given, b.Given)
				}
				loaded := files.Loaded(f, c.text)
				if !loaded.Config.Equal(before.Managed.Config) {
					t.Errorf("the text before is read otherwise beside the one that follows it:\n%s", diff(before.Managed.Config, loaded.Config))
				}
				if err := writeSite(t, files, minus(f, "b.com")); err != nil {
					t.Error(err)
				}
				if again := files.Loaded(readSite(t, files), f.Text); !again.Config.Equal(f.Managed.Config) || len(again.Spares) != 1 {
					t.Errorf("and beside the one without b.com: %v\n%s", again.Spares, diff(f.Managed.Config, again.Config))
				}
			})
		})
	}
}

func eachVersionWithSpares(t *testing.T, f func(t *testing.T, bin string)) {
	t.Helper()
	haproxytest.EachHAProxy(t, func(t *testing.T, bin string) {
		if caps := haproxy.CapabilitiesOf(haproxytest.VersionOf(t, bin)); caps.Backends || !caps.CookieLive {
			t.Skip("it has no spare backends with a cookie")
		}
		f(t, bin)
	})
}

func TestAFrontendKeepsItsLinesInAnIfBlockThatGoesOn(t *testing.T) {
	t.Parallel()
	const block = "\n.if defined(NOPE)\n    http-request deny\n"
	for last, want := range map[string]string{
		siteDebug + ".endif\n": "webin .if debug .endif b.com",
		siteDebug + "\nbackend x\n.endif\n" + siteMysql + siteDB: "webin .if debug x .endif b.com mysql db",
	} {
		files := openSite(t, haproxytest.FirstHAProxy(t), siteTop+siteHead+block+last, 0)
		if err := writeSite(t, files, plusB(readSite(t, files))); err != nil {
			t.Fatal(err)
		}
		if text := readSite(t, files).Text; headers(text) != "global defaults "+want || !strings.Contains(text, "if is_b.com\n"+block+siteDebug) {
			t.Errorf("not %q:\n%s", want, text)
		}
	}
}

func TestAFileThatEndsInAnIfBlockIsRefusedForThat(t *testing.T) {
	t.Parallel()
	files := openSite(t, haproxytest.FirstHAProxy(t), siteTop+siteHead+"\n.if defined(NOPE)\n"+siteDebug, 0)
	if err := writeSite(t, files, plusB(readSite(t, files))); err == nil || !strings.Contains(err.Error(), "'.if' block") {
		t.Errorf("error %v", err)
	}
}
