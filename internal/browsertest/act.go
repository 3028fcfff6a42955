package browsertest

import (
	"context"
	_ "embed"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

//go:embed page.js
var pageScript string

// Go opens an address, and waits until the page is there.
func (b *Browser) Go(address string) {
	b.t.Helper()
	b.mu.Lock()
	b.requests = nil
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	err := chromedp.Do(ctx, chromedp.Navigate(address))
	if err != nil && strings.Contains(err.Error(), "net::ERR_ABORTED") { // the page before went somewhere at that very moment
		err = chromedp.Do(ctx, chromedp.Navigate(address))
	}
	if err != nil {
		b.t.Fatalf("open %s: %v", address, err)
	}
}

// Back goes back as the browser's button does.
func (b *Browser) Back() {
	b.t.Helper()
	b.mark()
	look[bool](b, "back")
	b.arrive()
}

// eval runs one of the functions of page.js in the page.
func eval[T any](b *Browser, function string, arguments ...string) (T, error) {
	quoted, err := json.Marshal(append([]string{}, arguments...))
	if err != nil {
		var none T
		return none, err
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T]("(() => {"+pageScript+"; return "+function+"(..."+string(quoted)+");})()"))
}

func look[T any](b *Browser, function string, arguments ...string) T {
	b.t.Helper()
	found, err := eval[T](b, function, arguments...)
	b.must(err)
	return found
}

// Text is what can be read on the page.
func (b *Browser) Text() string { b.t.Helper(); return look[string](b, "text") }

// URL is the page's address.
func (b *Browser) URL() string { b.t.Helper(); return look[string](b, "address") }

// Title is the page's title.
func (b *Browser) Title() string { b.t.Helper(); return look[string](b, "title") }

// Language is the language that the page says that it is in.
func (b *Browser) Language() string { b.t.Helper(); return look[string](b, "language") }

// Sees reports whether a text can be read on the page; not on one that is just being left for another.
func (b *Browser) Sees(text string) bool {
	b.t.Helper()
	all, err := eval[string](b, "text")
	return err == nil && strings.Contains(all, text)
}

// See waits until all of these can be read on the page.
func (b *Browser) See(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		for end := time.Now().Add(patience); !b.Sees(text); {
			if time.Now().After(end) {
				b.fail("nothing says %q", text)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// NotSee fails if one of these can be read on the page.
func (b *Browser) NotSee(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		if strings.Contains(b.Text(), text) {
			b.fail("the page says %q", text)
		}
	}
}

// fail ends the test with what the page says.
func (b *Browser) fail(format string, arguments ...any) {
	b.t.Helper()
	text, err := eval[string](b, "text")
	if err != nil {
		text = err.Error()
	}
	address, _ := eval[string](b, "address")
	if len(text) > 2500 {
		text = text[:2500] + "…"
	}
	b.Screenshot("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
	b.t.Fatalf(format+"\n%s\n%s", append(arguments, address, text)...)
}

// found is a thing on the page, as page.js says it.
type found struct {
	Fault string  // why it cannot be used; "" if it can
	X, Y  float64 // its middle
	Leads bool    // to another page, presumably
	Value string
	Ticked,
	Date bool
}

func (b *Browser) find(kind, name string) found {
	b.t.Helper()
	for end := time.Now().Add(patience / 5); ; time.Sleep(50 * time.Millisecond) {
		f, err := eval[found](b, "find", kind, name)
		if err == nil && f.Fault == "" {
			return f
		}
		if time.Now().After(end) {
			b.must(err)
			b.fail("%s", f.Fault)
		}
	}
}

// Click clicks on the one thing that has this name: a link, a button, a box to tick. The name is what stands on it, or
// what a screen reader says; its beginning is enough if nothing else begins so. If it leads to another page, that is
// waited for.
func (b *Browser) Click(name string) {
	b.t.Helper()
	f := b.find("click", name)
	b.clicks++
	b.mark()
	b.press(f)
	if f.Leads {
		b.arrive()
	}
}

func (b *Browser) press(f found) {
	b.t.Helper()
	b.do(chromedp.MouseClickXY(f.X, f.Y))
}

// Clicks counts the clicks since the last ResetClicks.
func (b *Browser) Clicks() int { return b.clicks }

// ResetClicks begins to count anew.
func (b *Browser) ResetClicks() { b.clicks = 0 }

// mark makes it possible to tell this page from the next one.
func (b *Browser) mark() { b.t.Helper(); look[bool](b, "mark") }

// arrive waits for the next page. If none begins to come within a few seconds, it was no link after all.
func (b *Browser) arrive() {
	b.t.Helper()
	for end, began := time.Now().Add(patience), time.Now(); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		state, err := eval[string](b, "state")
		if err == nil && state == "here" {
			return
		}
		if err == nil && state == "same" && time.Since(began) > soon {
			return
		}
	}
	b.fail("the next page does not come")
}

// Fill types into the field that has this name, in the place of what is there.
func (b *Browser) Fill(name, value string) {
	b.t.Helper()
	f := b.find("fill", name)
	if f.Date {
		look[bool](b, "set", name, value)
		return
	}
	b.press(f)
	look[bool](b, "selectAll", name)
	if value == "" {
		value = kb.Delete
	}
	b.do(chromedp.KeyEvent(value))
}

// Attach chooses files in the one field for files.
func (b *Browser) Attach(files ...string) {
	b.t.Helper()
	field := call(b, runtime.Evaluate, runtime.EvaluateParams{Expression: `document.querySelector("input[type=file]")`})
	if field.Result == nil || field.Result.ObjectID == "" {
		b.fail("there is no field for files")
	}
	call(b, dom.SetFileInputFiles, dom.SetFileInputFilesParams{Files: files, ObjectID: field.Result.ObjectID})
}

// Value is what is in the field that has this name.
func (b *Browser) Value(name string) string { b.t.Helper(); return b.find("fill", name).Value }

// Choose chooses from the list that has this name, what is called so or begins so.
func (b *Browser) Choose(name, option string) {
	b.t.Helper()
	if fault := look[string](b, "choose", name, option); fault != "" {
		b.fail("%s", fault)
	}
}

// Ticked reports whether the box that has this name is ticked.
func (b *Browser) Ticked(name string) bool { b.t.Helper(); return b.find("click", name).Ticked }

// Keys presses keys: "Tab", "Enter", "Space", "Escape".
func (b *Browser) Keys(names ...string) {
	b.t.Helper()
	keys := map[string]string{"Tab": kb.Tab, "Enter": kb.Enter, "Space": " ", "Escape": kb.Escape}
	for _, name := range names {
		b.do(chromedp.KeyEvent(keys[name]))
	}
}

// Focused is the name of what has the focus, "" if nothing.
func (b *Browser) Focused() string { b.t.Helper(); return look[string](b, "focused") }

// TabTo presses Tab until the thing that has this name has the focus.
func (b *Browser) TabTo(name string) {
	b.t.Helper()
	for range 200 {
		if focused := b.Focused(); focused == name || strings.HasPrefix(focused, name) {
			return
		}
		b.Keys("Tab")
	}
	b.fail("no keyboard gets to %q", name)
}

// Enter presses Enter on what has the focus, and waits for the page that it leads to.
func (b *Browser) Enter() {
	b.t.Helper()
	b.mark()
	b.Keys("Enter")
	b.arrive()
}

// Download clicks on what has this name, and returns the file that comes, and what it is called.
func (b *Browser) Download(name string) (content []byte, file string) {
	b.t.Helper()
	dir := b.t.TempDir()
	_, err := chromedp.CallBrowser(b.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir})
	b.must(err)
	b.clicks++
	b.press(b.find("click", name))
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		entries, err := os.ReadDir(dir)
		b.must(err)
		if len(entries) == 1 && !strings.HasSuffix(entries[0].Name(), ".crdownload") && !strings.HasPrefix(entries[0].Name(), ".") {
			content, err := os.ReadFile(filepath.Join(dir, entries[0].Name()))
			b.must(err)
			return content, entries[0].Name()
		}
	}
	b.fail("no file comes of %q", name)
	return nil, ""
}
