package move_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What can become of a request on its way. Everything else goes through.
type fate string

const (
	fair       fate = ""
	lost       fate = "lost"       // it never arrives
	unanswered fate = "unanswered" // it takes effect, and the answer is lost
	busy       fate = "busy"       // something in between answers 503, 502 or 429
	cut        fate = "cut"        // the answer ends in its middle
	corrupt    fate = "corrupt"    // a bit of the answer is another one
	twice      fate = "twice"      // it arrives two times
	again      fate = "again"      // it arrives once more, later, when others have
	slow       fate = "slow"
)

var fates = []fate{lost, unanswered, busy, cut, corrupt, twice, again, slow}

// weather is a network between a destination and its sources. Any number of goroutines may send through it.
type weather struct {
	under http.RoundTripper
	late  sync.WaitGroup
	bytes atomic.Int64 // of answers' bodies that came through

	mu     sync.Mutex
	fate   func(r *http.Request) fate // nil: always fair
	answer func(r *http.Request, a *http.Response)
	path   func(string) string // nil: as it is
	as     string              // the consent with which the other path is asked for
}

var errWeather = errors.New("the network broke down")

func (w *weather) set(f func(*http.Request) fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fate = f
}

// lie lets a test change what is answered.
func (w *weather) lie(f func(*http.Request, *http.Response)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

// redirect has something else answered than what was asked for.
func (w *weather) redirect(path func(string) string, as string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.path, w.as = path, as
}

func (w *weather) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	will, lie, path, as := w.fate, w.answer, w.path, w.as
	w.mu.Unlock()
	if path != nil && path(r.URL.Path) != r.URL.Path {
		r = r.Clone(r.Context())
		r.URL.Path = path(r.URL.Path)
		r.Header.Set("X-Consent", as)
	}
	f := fair
	if will != nil {
		f = will(r)
	}
	answer, err := w.meet(r, f)
	if err != nil {
		return nil, err
	}
	if lie != nil {
		lie(r, answer)
	}
	answer.Body = &counting{ReadCloser: answer.Body, to: &w.bytes}
	return answer, nil
}

func (w *weather) meet(r *http.Request, f fate) (*http.Response, error) {
	switch f {
	case lost:
		return nil, errWeather
	case busy:
		return reply(r, []int{502, 503, 429}[time.Now().UnixNano()%3], "<html>not now</html>"), nil
	case slow:
		time.Sleep(15 * time.Millisecond)
	case twice, unanswered:
		if answer, err := w.under.RoundTrip(copyOf(r, r.Context())); err == nil {
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
		if f == unanswered {
			return nil, errWeather
		}
	case again:
		late := copyOf(r, context.WithoutCancel(r.Context()))
		w.late.Go(func() {
			time.Sleep(60 * time.Millisecond)
			if answer, err := w.under.RoundTrip(late); err == nil {
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
		})
	}
	answer, err := w.under.RoundTrip(r)
	if err == nil && (f == cut || f == corrupt) {
		err = spoil(answer, f)
	}
	return answer, err
}

// copyOf is a request that can be sent besides the first.
func copyOf(r *http.Request, ctx context.Context) *http.Request {
	c := r.Clone(ctx)
	if r.GetBody != nil {
		c.Body, _ = r.GetBody()
	}
	return c
}

func spoil(answer *http.Response, f fate) error {
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || len(text) == 0 {
		answer.Body = io.NopCloser(bytes.NewReader(text))
		return err
	}
	if f == corrupt {
		text[len(text)/2] ^= 1
		answer.Body = io.NopCloser(bytes.NewReader(text))
		return nil
	}
	answer.Body = io.NopCloser(io.MultiReader(bytes.NewReader(text[:len(text)/2]), broken{}))
	return nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errWeather }

type counting struct {
	io.ReadCloser
	to *atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.to.Add(int64(n))
	return n, err
}

// reply is an answer of something in between.
func reply(r *http.Request, status int, text string) *http.Response {
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text))}
}
