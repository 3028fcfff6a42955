package move_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// noise is a text that no compression makes shorter.
func noise(seed uint64, size int) string {
	text := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 1))
	for n := range text {
		text[n] = byte(r.Uint32())
	}
	return string(text)
}

// TestResumeTransfersAtMost16MiB kills either side when three quarters of 48 MB have come, and counts what is transferred again.
func TestResumeTransfersAtMost16MiB(t *testing.T) {
	var small []string
	for n := range 160 {
		small = append(small, noise(uint64(n+10), 300_000))
	}
	for what, texts := range map[string][]string{"large files": {noise(1, 24_000_000), noise(2, 24_000_000)}, "small files": small} {
		for _, dies := range []string{"source", "destination"} {
			t.Run(what+", "+dies, func(t *testing.T) {
				a, b := pair(t)
				o := b
				if dies == "source" {
					o = a
				}
				p := name()
				a.lives(p, texts...)
				b.weather.set(func(r *http.Request) fate {
					if b.weather.bytes.Load() > 36_000_000 {
						o.running().stop()
					}
					return fair
				})
				j := begins(t, p, a, b)
				j.until("it is killed", func() bool { return o.running().ctx.Err() != nil })
				o.kill()
				b.weather.set(nil)
				o.start(0)
				j.arrives()
				if again := b.weather.bytes.Load() - 48_000_000; again > 16<<20 || again < 0 {
					t.Errorf("%d bytes were transferred besides the files", again)
				}
			})
		}
	}
}

// TestThroughAProxyOf10MB moves through something that lets bodies of 10 MB through at the most, and that cuts whatever takes
// long: here after 1.5 MB of each answer.
func TestThroughAProxyOf10MB(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p, noise(3, 13_000_000), noise(5, 3_000_000), noise(6, 2_500_000))
	b.weather.lie(func(r *http.Request, w *http.Response) {
		if w.ContentLength > 10_000_000 || r.ContentLength > 10_000_000 {
			*w = *reply(r, http.StatusRequestEntityTooLarge, "too large")
			return
		}
		w.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(w.Body, 1_500_000), whenLonger{w.Body}), w.Body}
	})
	begins(t, p, a, b).arrives()
}

// TestThroughAProxyThatCutsByTheClock moves over a slow link through something that cuts each answer after a while, long before a
// part of 4 MiB is through: as one that cuts after 30 seconds does on a line of 1 Mbit/s.
func TestThroughAProxyThatCutsByTheClock(t *testing.T) {
	a, b := pair(t)
	p := name()
	a.lives(p, noise(4, 9_000_000))
	var cuts atomic.Int64
	b.weather.lie(func(_ *http.Request, w *http.Response) {
		w.Body = &clocked{ReadCloser: w.Body, until: time.Now().Add(200 * time.Millisecond), cuts: &cuts}
	})
	begins(t, p, a, b).arrives()
	if cuts.Load() < 5 {
		t.Errorf("only %d answers were cut", cuts.Load())
	}
}

// clocked is an answer that comes slowly, and is cut after a time.
type clocked struct {
	io.ReadCloser
	until time.Time
	cuts  *atomic.Int64
}

func (c *clocked) Read(p []byte) (int, error) {
	if time.Now().After(c.until) {
		c.cuts.Add(1)
		return 0, errWeather
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), 16<<10)])
	time.Sleep(time.Duration(n) * 100 * time.Nanosecond) // 10 MB/s
	return n, err
}

// whenLonger breaks down where there is more to read.
type whenLonger struct{ io.Reader }

func (w whenLonger) Read(p []byte) (int, error) {
	if n, err := w.Reader.Read(p[:1]); n == 0 {
		return 0, err
	}
	return 0, errWeather
}

// TestLinkThatIsDownForLong goes on where it was when the network is there again.
func TestLinkThatIsDownForLong(t *testing.T) {
	a, b := pair(t)
	for stage := range stages {
		j := kept(t, a, b, stage)
		b.weather.set(func(*http.Request) fate { return lost })
		time.Sleep(30 * time.Millisecond)
		b.weather.set(nil)
		if err := b.running().Resume(t.Context(), j.person, j.id); err != nil {
			t.Fatal(err)
		}
		j.arrives()
	}
}

// TestHostileAnswers gives answers that no source gives. Each is refused, with words, nothing is written outside of the
// move's own folder, and when the source answers as it should the move goes on.
func TestHostileAnswers(t *testing.T) {
	a, b := pair(t)
	files := func(list string) string {
		return `{"sequence":0,"ready":true,"records":1,"bytes":1,"files":[` + list + `]}`
	}
	for what, k := range map[string]struct {
		path, text, says string
		status           int
	}{
		"a name that climbs":            {"/archives/0", files(`{"name":"../../evil","size":1}`), "names a file", 200},
		"an absolute name":              {"/archives/0", files(`{"name":"/tmp/evil","size":1}`), "names a file", 200},
		"a name of nothing":             {"/archives/0", files(`{"name":"","size":1}`), "names a file", 200},
		"a name with a question":        {"/archives/0", files(`{"name":"a?b","size":1}`), "names a file", 200},
		"a name that is ours":           {"/archives/0", files(`{"name":"a.new","size":1}`), "names a file", 200},
		"the same name twice":           {"/archives/0", files(`{"name":"a","size":1},{"name":"a","size":1}`), "names a file", 200},
		"a name that is too long":       {"/archives/0", files(`{"name":"` + strings.Repeat("a", 300) + `","size":1}`), "names a file", 200},
		"a size below nothing":          {"/archives/0", files(`{"name":"a","size":-1}`), "names a file", 200},
		"more than fits on any disk":    {"/archives/0", files(`{"name":"a","size":4611686018427387904}`), "much more than it announced", 200},
		"sums that overflow":            {"/archives/0", files(`{"name":"a","size":9223372036854775807},{"name":"b","size":9223372036854775807}`), "much more than it announced", 200},
		"very many files":               {"/archives/0", files(manyFiles(5000)), "has 5000 files", 200},
		"no files":                      {"/archives/0", files(""), "not there any more", 200},
		"a nested bomb":                 {"/archives/0", strings.Repeat("[", 1<<20), "not understood", 200},
		"an answer without an end":      {"/archives/0", `{"sequence":0,"x":"` + strings.Repeat("y", 17<<20), "longer than", 200},
		"another place":                 {"/archives/0", "", "sends us elsewhere", 307},
		"something else than was asked": {"/archives/0", "[]", "not understood", 200},
		"accepted, and nothing more":    {"/archives/0", "{}", "it answers 202", 202},
	} {
		t.Run(what, func(t *testing.T) {
			b.weather.lie(func(r *http.Request, w *http.Response) {
				if strings.HasSuffix(r.URL.Path, k.path) {
					*w = *reply(r, k.status, k.text)
					w.Header.Set("Location", "http://127.0.0.1:1/")
				}
			})
			p := name()
			a.lives(p)
			j := begins(t, p, a, b)
			j.until("it is refused", func() bool { return j.logs(k.says) })
			j.troubled(move.Unsound)
			if left, _ := filepath.Glob(filepath.Join(b.dir, "*evil*")); len(left) > 0 || exists("/tmp/evil") {
				t.Error("something was written where it must not be")
			}
			b.weather.lie(nil)
			j.arrives()
		})
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func manyFiles(n int) string {
	var list []string
	for i := range n {
		list = append(list, `{"name":"f`+string(rune('a'+i%26))+strings.Repeat("x", i%50)+"-"+time.Duration(i).String()+`","size":1}`)
	}
	return strings.ReplaceAll(strings.Join(list, ","), "µ", "u")
}

// TestHostilePlans gives plans that no source makes: nothing begins, and nobody else's move or folder is touched.
func TestHostilePlans(t *testing.T) {
	a, b := pair(t)
	other := kept(t, a, b, "before the fence")
	b.weather.set(nil)
	if err := b.running().Pause(t.Context(), other.person, other.id); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(plan string) string{
		"an id that climbs":     func(p string) string { return swap(p, "move", "../../../../../../tmp/victim") },
		"an id of another move": func(p string) string { return swap(p, "move", other.id) },
		"another source":        func(p string) string { return swap(p, "source", "c.example") },
		"nobody":                func(p string) string { return swap(p, "person", "") },
		"money":                 func(p string) string { return strings.Replace(p, `"charge":0`, `"charge":5`, 1) },
		"less than nothing":     func(p string) string { return strings.Replace(p, `"bytes":`, `"bytes":-`, 1) },
	} {
		t.Run(what, func(t *testing.T) {
			b.weather.lie(func(r *http.Request, w *http.Response) {
				if strings.HasSuffix(r.URL.Path, "/moves") {
					text, _ := io.ReadAll(w.Body)
					w.Body = io.NopCloser(bytes.NewReader([]byte(change(string(text)))))
				}
			})
			defer b.weather.lie(nil)
			p := name()
			a.lives(p)
			_, err := b.running().Receiver.Begin(t.Context(), move.Arrival{Person: p, Peer: a.id, Tokens: a.leaves(p, b)})
			if err == nil {
				t.Error("it began")
			}
			if list, _ := b.running().Receiver.List(t.Context(), p); len(list) > 0 {
				t.Errorf("%+v", list)
			}
		})
	}
	if err := b.running().Resume(t.Context(), other.person, other.id); err != nil {
		t.Fatal(err)
	}
	other.arrives()
}

// swap gives a member of a JSON object another text.
func swap(object, member, text string) string {
	begin := strings.Index(object, `"`+member+`":"`) + len(member) + 4
	end := begin + strings.Index(object[begin:], `"`)
	return object[:begin] + text + object[end:]
}

// TestFolderThatCannotBeWritten moves while the disk of the destination takes no more, and goes on when it does.
func TestFolderThatCannotBeWritten(t *testing.T) {
	a, b := pair(t)
	if err := os.WriteFile(filepath.Join(b.dir, "arriving"), nil, 0o600); err != nil { // as good as a full disk
		t.Fatal(err)
	}
	p := name()
	a.lives(p)
	j := begins(t, p, a, b)
	j.troubled(move.HereAils)
	if err := os.Remove(filepath.Join(b.dir, "arriving")); err != nil {
		t.Fatal(err)
	}
	j.arrives()
}
