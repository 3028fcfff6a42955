package browsertest

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Overflowing are parts of the page that stick out of the window sideways.
func (b *Browser) Overflowing() []string { b.t.Helper(); return look[[]string](b, "overflowing") }

// Small are things that are hard to hit: lower or narrower than 24 pixels (WCAG 2.2, success criterion 2.5.8).
func (b *Browser) Small() []string { b.t.Helper(); return look[[]string](b, "small") }

// Screenshot keeps a picture of the whole page as NAME.png, if $PASSERELLE_SCREENSHOTS names a folder.
func (b *Browser) Screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("PASSERELLE_SCREENSHOTS")
	if dir == "" {
		return
	}
	beyond := true
	shot := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: &beyond})
	if err := os.WriteFile(filepath.Join(dir, name+".png"), shot.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// AxeFile is where axe-core is, "" if nowhere: in a folder of npm that $PASSERELLE_TEST_NODE names.
func AxeFile() string {
	at := filepath.Join(os.Getenv("PASSERELLE_TEST_NODE"), "node_modules", "axe-core", "axe.min.js")
	if _, err := os.Stat(at); os.Getenv("PASSERELLE_TEST_NODE") == "" || err != nil {
		return ""
	}
	return at
}

// NeedAxe skips the test where there is no axe-core.
func NeedAxe(t testing.TB) {
	t.Helper()
	if AxeFile() == "" {
		t.Skip("no axe-core: npm install axe-core in a folder, and set PASSERELLE_TEST_NODE to it")
	}
}

// violation is what axe-core finds.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, FailureSummary string }
}

// Axe lets axe-core look at the page, and says of each thing that it finds that the test has failed. Without axe-core it
// looks at nothing: see [NeedAxe].
func (b *Browser) Axe() {
	b.t.Helper()
	at := AxeFile()
	if at == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, 2*patience)
	defer cancel()
	here, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`typeof axe === "object"`))
	b.must(err)
	if !here { // so large that a page gets it once
		script, err := os.ReadFile(at)
		b.must(err)
		_, err = chromedp.Run(ctx, chromedp.Evaluate[bool](string(script)+`;true`))
		b.must(err)
	}
	wait := func(p *runtime.EvaluateParams) { yes := true; p.AwaitPromise = &yes }
	found, err := chromedp.Run(ctx, chromedp.Evaluate[[]violation](`axe.run(document, {resultTypes: ["violations"]}).then((r) =>
		r.violations.map((v) => ({ID: v.id, Impact: v.impact || "", Help: v.help, Nodes: v.nodes.map((n) => ({HTML: n.html, FailureSummary: n.failureSummary}))})))`, wait))
	b.must(err)
	for _, v := range found {
		for _, n := range v.Nodes {
			b.t.Errorf("axe: %s: %s (%s): %s\n%s\n%s", b.URL(), v.Help, v.ID, v.Impact, n.HTML, n.FailureSummary)
		}
	}
}
