package browsertest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

const first = `<!doctype html><html lang="en"><head><title>First</title><meta name="viewport" content="width=device-width"></head><body><main><h1>First</h1>
<form method="post" action="/say"><label for="n">Name</label><input id="n" name="n" value="old"><label><input type="checkbox" name="yes"> Really</label>
<label>Day <input type="date" name="day"></label><label>Size <select name="size"><option>small<option>large</select></label><button>Say it<span class="h"> (now)</span></button></form>
<a href="/file">The file</a> <a href="/wide">Wide</a> <a href="/covered">Covered</a></main></body></html>`

func serve(t *testing.T) string {
	pages := map[string]string{
		"/":        first,
		"/wide":    `<!doctype html><html lang="en"><title>Wide</title><main><h1>Wide</h1><p style="width:3000px">far</p><img src="https://elsewhere.example/x.png"><button style="height:8px;padding:0">tiny</button></main>`,
		"/covered": `<!doctype html><html lang="en"><title>Covered</title><main><h1>Covered</h1><button>Press me</button><div style="position:fixed;inset:0;background:red"></div></main>`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/file":
			w.Header().Set("Content-Disposition", `attachment; filename="a.txt"`)
			io.WriteString(w, "content")
		case r.Method == http.MethodPost:
			http.Redirect(w, r, fmt.Sprintf("/said?%s,%s,%s,%s,%s", r.PostFormValue("n"), r.PostFormValue("yes"), r.PostFormValue("day"), r.PostFormValue("size"), r.Header.Get("Accept-Language")), http.StatusSeeOther)
		case r.URL.Path == "/said":
			fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Said</title><main><h1>Said</h1><p>%s</p>`, strings.ReplaceAll(r.URL.RawQuery, ",", " | "))
		default:
			io.WriteString(w, pages[r.URL.Path])
		}
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}

func TestUse(t *testing.T) {
	at := serve(t)
	for name, o := range map[string]Options{"desktop": {Language: "fr"}, "phone": {Width: 360, Height: 740, Phone: true, Language: "fr"}, "no script": {NoScript: true, Language: "fr"}, "dark": {Dark: true, Language: "fr"}} {
		t.Run(name, func(t *testing.T) {
			b := Open(t, o)
			b.Go(at)
			if b.Title() != "First" || b.Value("Name") != "old" || b.Ticked("Really") {
				t.Error(b.Title(), b.Value("Name"), b.Ticked("Really"))
			}
			b.Fill("Name", "Zoe")
			b.Click("Really")
			b.Fill("Day", "2026-03-01")
			b.Choose("Size", "large")
			b.Click("Say it")
			b.See("Zoe | on | 2026-03-01 | large | fr")
			if b.Clicks() != 2 || b.Status() != 200 || b.Weight() == 0 {
				t.Error(b.Clicks(), b.Status(), b.Weight())
			}
			b.Back()
			b.See("First")
			b.TabTo("The file")
			if content, file := b.Download("The file"); string(content) != "content" || file != "a.txt" {
				t.Errorf("%q %q", content, file)
			}
		})
	}
}

func TestWide(t *testing.T) {
	b := Open(t, Options{})
	b.Go(serve(t) + "/wide")
	if len(b.Overflowing()) == 0 || len(b.Small()) != 1 {
		t.Error(b.Overflowing(), b.Small())
	}
	asked := false
	for _, r := range b.Requests() {
		asked = asked || strings.HasPrefix(r.URL, "https://elsewhere.example/")
	}
	if !asked {
		t.Errorf("nobody saw that somebody else is asked: %v", b.Requests())
	}
	b.NotSee("near")
}

// watched is a test that is expected to fail.
type watched struct {
	testing.TB
	said []string
}

func (w *watched) Errorf(format string, a ...any) { w.said = append(w.said, fmt.Sprintf(format, a...)) }
func (w *watched) Fatalf(format string, a ...any) {
	w.Errorf(format, a...)
	runtime.Goexit()
}

// fails returns what a test says that fails.
func fails(b *Browser, do func()) string {
	w := &watched{TB: b.t}
	b.t = w
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	<-done
	b.t = w.TB
	return strings.Join(w.said, "\n")
}

func TestFaults(t *testing.T) {
	b := Open(t, Options{})
	b.Go(serve(t) + "/covered")
	for want, do := range map[string]func(){
		"is covered by <div":  func() { b.Click("Press me") },
		`there are "Press me`: func() { b.Click("Press you") },
		"nothing to fill":     func() { b.Fill("Name", "x") },
		`says "Covered"`:      func() { b.NotSee("Covered") },
	} {
		if got := fails(b, do); !strings.Contains(got, want) {
			t.Errorf("it says %q, not %q", got, want)
		}
	}
}

func TestAxe(t *testing.T) {
	NeedAxe(t)
	b := Open(t, Options{})
	at := serve(t)
	b.Go(at)
	b.Axe()
	b.Go(at + "/wide")
	if got := fails(b, b.Axe); !strings.Contains(got, "image-alt") {
		t.Errorf("axe finds %q", got)
	}
}
