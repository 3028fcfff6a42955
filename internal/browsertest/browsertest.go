// Package browsertest lets tests use pages as a person does: in a real browser, by what stands on them, with mouse and
// keyboard. A test says what is clicked and what is seen then; what it looked for and did not find ends it, with the text
// of the page.
//
// It needs Chromium, and skips without it. It is for tests alone, and must never know what the pages are about.
package browsertest

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// Need skips the test where there is no Chromium. $PASSERELLE_TEST_CHROMIUM names one that is not in the PATH.
func Need(t testing.TB) string {
	t.Helper()
	if program := os.Getenv("PASSERELLE_TEST_CHROMIUM"); program != "" {
		return program
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	t.Skip("no browser: install Debian's chromium, or set PASSERELLE_TEST_CHROMIUM")
	return ""
}

// Options say what kind of browser it is. The zero value is a desktop's, in English.
type Options struct {
	Width, Height int    // CSS pixels; 0: 1280 × 900
	Language      string // that the person prefers, such as "fr"; "": "en"
	Phone         bool   // touched rather than clicked
	Dark          bool
	NoScript      bool
}

// patience is how long anything is waited for, on a machine that may be busy with other tests; soon is how long, before it is
// concluded that nothing comes.
const (
	patience = 30 * time.Second
	soon     = 3 * time.Second
)

// Browser is a browser with one tab, and a profile of its own.
type Browser struct {
	t   testing.TB
	ctx context.Context
	opt Options

	clicks int
	vault  webauthn.AuthenticatorID

	mu       sync.Mutex // of what its events tell
	requests []*Request
	byID     map[network.RequestID]*Request
	faults   []string
}

// Request is something that the browser asked for.
type Request struct {
	URL    string
	Type   string // "Document", "Stylesheet", "Image" …
	Status int
	Bytes  int64 // that came over the wire, with headers
}

// Open starts a browser. It is closed when the test ends.
func Open(t testing.TB, o Options) *Browser {
	t.Helper()
	program := Need(t)
	if o.Width == 0 {
		o.Width, o.Height = 1280, 900
	}
	if o.Language == "" {
		o.Language = "en"
	}
	profile, err := os.MkdirTemp("", "browsertest-")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(program), chromedp.UserDataDir(profile), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("lang", o.Language), chromedp.Flag("accept-lang", o.Language),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1")) // whoever else is asked is seen to be asked, and not found
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		closeTab()
		stop()
		if err := os.RemoveAll(profile); err != nil {
			t.Logf("the browser's profile stays: %v", err)
		}
	})
	b := &Browser{t: t, ctx: ctx, opt: o, byID: map[network.RequestID]*Request{}}
	b.prepare()
	return b
}

func (b *Browser) prepare() {
	b.t.Helper()
	b.must(chromedp.Listen(b.ctx, b.hear))
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	call(b, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: false})
	b.do(chromedp.EmulateViewport(int64(b.opt.Width), int64(b.opt.Height), func(p *emulation.SetDeviceMetricsOverrideParams, touch *emulation.SetTouchEmulationEnabledParams) {
		p.Mobile, touch.Enabled = b.opt.Phone, b.opt.Phone
	}))
	agent, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`navigator.userAgent`))
	b.must(err)
	call(b, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: strings.ReplaceAll(agent, "Headless", ""), AcceptLanguage: b.opt.Language})
	if b.opt.Dark {
		call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	}
	if b.opt.NoScript {
		call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	}
}

// call runs a command of the DevTools protocol, or ends the test.
func call[P, R any](b *Browser, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	b.must(err)
	return result
}

// do runs an action, or ends the test.
func (b *Browser) do(action chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	b.must(chromedp.Do(ctx, action))
}

func (b *Browser) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("the browser: %v", err)
	}
}

// hear notes what the browser tells.
func (b *Browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		r := &Request{URL: e.Request.URL, Type: string(e.Type)}
		b.requests, b.byID[e.RequestID] = append(b.requests, r), r
	case *network.EventResponseReceived:
		if r := b.byID[e.RequestID]; r != nil {
			r.Status = int(e.Response.Status)
		}
	case *network.EventLoadingFinished:
		if r := b.byID[e.RequestID]; r != nil {
			r.Bytes = int64(e.EncodedDataLength)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError && !strings.Contains(e.Entry.Text, "the server responded with a status of") {
			b.faults = append(b.faults, e.Entry.Text)
		}
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, e.ExceptionDetails.Text)
	}
}

// Faults are what the browser complained of: scripts that broke, and what the page's policy forbids.
func (b *Browser) Faults() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.faults...)
}

// Requests are what was asked for since the last [Browser.Go].
func (b *Browser) Requests() (list []Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.requests {
		list = append(list, *r)
	}
	return list
}

// Weight is how many bytes came over the wire since the last [Browser.Go].
func (b *Browser) Weight() (bytes int64) {
	for _, r := range b.Requests() {
		bytes += r.Bytes
	}
	return bytes
}

// Status is the HTTP status of the page.
func (b *Browser) Status() (status int) {
	for _, r := range b.Requests() {
		if r.Type == "Document" {
			status = r.Status
		}
	}
	return status
}

// ForgetCache lets everything be asked for anew, as on a first visit.
func (b *Browser) ForgetCache() {
	b.t.Helper()
	call(b, network.ClearBrowserCache, cdp.Empty{})
}

// ForgetCookies takes all cookies away.
func (b *Browser) ForgetCookies() {
	b.t.Helper()
	call(b, network.ClearBrowserCookies, cdp.Empty{})
}

// Authenticator gives the browser a device with passkeys, of a person who is always there.
func (b *Browser) Authenticator() {
	b.t.Helper()
	call(b, webauthn.Enable, webauthn.EnableParams{})
	b.vault = call(b, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}}).AuthenticatorID
}

// Passkeys is how many passkeys the device has.
func (b *Browser) Passkeys() int {
	b.t.Helper()
	return len(call(b, webauthn.GetCredentials, webauthn.GetCredentialsParams{AuthenticatorID: b.vault}).Credentials)
}
