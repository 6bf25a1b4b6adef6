package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var update = flag.Bool("update", false, "write docs/images")

// A browser is a chromium with one window.
type browser struct {
	ctx  context.Context
	site string // the agent's address

	mu      sync.Mutex
	foreign []string // requests to anything else
	errors  []string // of scripts
}

// startBrowser starts chromium, or leaves the test out where there is none.
func startBrowser(t *testing.T, site string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("the page was not tested in a browser: there is no chromium (make deps)")
	}
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.Flag("no-sandbox", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(1240, 860), chromedp.WSURLReadTimeout(within))
	b := &browser{site: "http://" + site}
	ctx, cancel := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(flags...), chromedp.WithListener(b.hear))
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("end chromium: %v", err)
		}
		cancel()
	})
	b.ctx = ctx
	b.do(t, call(network.Enable, network.EnableParams{}))
	return b
}

// call is a command of chromium's protocol.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, command, params)
		return err
	})
}

// hear takes note of what a page does that it must not.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, b.site+"/") {
			b.foreign = append(b.foreign, e.Request.URL)
		}
	case *runtime.EventExceptionThrown:
		b.errors = append(b.errors, e.ExceptionDetails.Text)
	}
}

// do does things in the browser, one after the other.
func (b *browser) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// value is what an expression is on the page.
func value[T any](t *testing.T, b *browser, expression string) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// text is what a person reads on the page.
func (b *browser) text() (string, error) {
	return chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.innerText`))
}

// shows waits until the page has all the words, and none of the others.
func (b *browser) shows(t *testing.T, words []string, without ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the page shows %q and not %q", words, without), func() error {
		text, err := b.text()
		if err != nil {
			return err
		}
		for _, w := range words {
			if !strings.Contains(text, w) {
				return fmt.Errorf("no %q in %s", w, text)
			}
		}
		for _, w := range without {
			if strings.Contains(text, w) {
				return fmt.Errorf("%q in %s", w, text)
			}
		}
		return nil
	})
}

// open opens a page, and marks it: the mark goes when it is loaded again.
func (b *browser) open(t *testing.T, path string) {
	t.Helper()
	b.do(t, chromedp.Navigate(b.site+path), chromedp.Evaluate[chromedp.Void](`window.marked = true`))
}

// stays fails the test if the page was loaded again since it was opened.
func (b *browser) stays(t *testing.T) {
	t.Helper()
	if !value[bool](t, b, `window.marked === true`) {
		t.Error("the page was loaded again")
	}
}

// picture writes an image for the documentation, if that is asked for.
func (b *browser) picture(t *testing.T, name, scheme string, width int64) {
	t.Helper()
	if !*update {
		return
	}
	b.do(t, chromedp.EmulateViewport(width, 400), call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}))
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	b.do(t, chromedp.EmulateReset(), call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{}))
	if err := os.WriteFile(filepath.Join("..", "docs", "images", name), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestThePageInABrowser(t *testing.T) {
	t.Parallel()
	b, a := startFollowed(t, latestHAProxy(t), "--name", "lb1")
	look := startBrowser(t, a.listen)
	moved := startHost(t, "a.abc.com server1, moved")

	look.open(t, "/domains/a.abc.com")
	look.shows(t, []string{"lb1", "ready", "live", b.a1.addr, b.a2.addr}, moved.addr)
	b.register(t, "a.abc.com/server1", moved.addr)
	look.shows(t, []string{moved.addr}, b.a1.addr)
	look.stays(t)
	b.comes(t, "a.abc.com", "server1", moved)

	look.open(t, "/")
	b.attention(t)
	look.shows(t, []string{"Attention", "problem", `port "abc" is not a number`, "pending", "runtime ~ server a.abc.com/server1", moved.addr, "c.abc.com"})
	look.stays(t)
	look.shows(t, []string{"1 drain"})
	look.picture(t, "page.png", "light", 1000)
	look.picture(t, "page-dark.png", "dark", 1000)
	if wide := value[int](t, look.narrow(t), `document.documentElement.scrollWidth`); wide > 360 {
		t.Errorf("on a screen of 360 pixels the page is %d wide", wide)
	}
	look.do(t, chromedp.EmulateReset())

	look.hostile(t, b)
	look.keyboard(t)
	look.withoutScript(t, moved.addr)

	look.open(t, "/")
	b.txn(t, nil, "")
	look.shows(t, []string{"not ready", "Held since", "no key below the prefix", "hapsync sync --allow-mass-removal", "2 domains, the worst first"})
	look.stays(t)
	look.picture(t, "page-held.png", "light", 1000)
	look.open(t, "/plan")
	look.shows(t, []string{"Held", "- server a.abc.com_cluster/server1"})

	look.mu.Lock()
	defer look.mu.Unlock()
	if len(look.foreign)+len(look.errors) > 0 {
		t.Errorf("the page asked for %q, and its script failed with %q", look.foreign, look.errors)
	}
}

// narrow makes it a telephone's.
func (b *browser) narrow(t *testing.T) *browser {
	t.Helper()
	b.do(t, chromedp.EmulateViewport(360, 640))
	return b
}

// attention gives the page something to show: a problem, a pending host, and a host that drains.
func (b *box) attention(t *testing.T) {
	t.Helper()
	b.txn(t, map[string]string{
		"c.abc.com/server1/ip": "127.0.0.1", "c.abc.com/server1/port": "abc", "c.abc.com/server2/ip": "127.0.0.1", "b.abc.com/server1/state": "drain",
	})
}

// hostile puts keys that would be markup if a page took them for it.
func (b *browser) hostile(t *testing.T, at abc) {
	t.Helper()
	const markup = `<img src=x onerror="window.taken=1"><script>window.taken=1</script>`
	at.put(t, markup+"/server1/ip", "127.0.0.1")
	at.put(t, "a.abc.com/"+markup+"/port", "81")
	at.put(t, "a.abc.com/server9/port", markup)
	b.shows(t, []string{`<img src=x onerror=`, `<script>window.taken=1`})
	taken, elements := value[bool](t, b, `window.taken !== undefined`), value[int](t, b, `document.querySelectorAll("main img, main script, main iframe").length`)
	if taken || elements > 0 {
		t.Errorf("a name became markup: taken %t, %d elements", taken, elements)
	}
	at.delete(t, markup)
	at.delete(t, "a.abc.com/"+markup)
	at.delete(t, "a.abc.com/server9/")
	b.shows(t, []string{"Attention"}, "<img")
}

// keyboard finds a domain without a mouse.
func (b *browser) keyboard(t *testing.T) {
	t.Helper()
	slash := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "/", Code: "Slash", Text: "/", WindowsVirtualKeyCode: 191}
	b.do(t, call(input.DispatchKeyEvent, slash), chromedp.KeyEvent("B.abc"), chromedp.KeyEvent("\r"))
	b.shows(t, []string{"b.abc.com", "1 domain, the worst first"}, "a.abc.com")
}

// withoutScript reads the page as a browser does that runs none.
func (b *browser) withoutScript(t *testing.T, words ...string) {
	t.Helper()
	script := func(off bool) chromedp.Action[chromedp.Void] {
		return call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: off})
	}
	b.do(t, script(true), chromedp.Navigate(b.site+"/domains/a.abc.com"))
	defer b.do(t, script(false))
	html, err := chromedp.Run(b.ctx, chromedp.OuterHTML("html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range append(words, "lb1", "in rotation") {
		if !strings.Contains(html, w) {
			t.Errorf("without script, the page lacks %q", w)
		}
	}
	if strings.Contains(html, "● live") {
		t.Error("a script has run")
	}
}
