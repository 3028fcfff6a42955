package apitest

import (
	"bytes"
	"net/http"
)

// most is how much of a body is looked at, in bytes.
const most = 1 << 20

// answer is what is known of an answer.
type answer struct {
	status int // 0: there is none
	header http.Header
	body   bytes.Buffer // its first bytes
	longer bool         // there were more
	whole  bool         // nobody gave up
}

func (a *answer) begin(status int, h http.Header) {
	if a.status == 0 {
		a.status, a.header = status, h.Clone()
	}
}

func (a *answer) add(p []byte) {
	room := most - a.body.Len()
	if len(p) > room {
		a.longer = true
		p = p[:room]
	}
	a.body.Write(p)
}

func (a *answer) end() { a.whole = true }

// kind is the media type, which net/http guesses where the handler does not say it.
func (a *answer) kind() string {
	kind := a.header.Get("Content-Type")
	if kind == "" && a.body.Len() > 0 {
		return http.DetectContentType(a.body.Bytes())
	}
	return kind
}

// recorder remembers an answer as it passes.
type recorder struct {
	http.ResponseWriter
	a *answer
}

func (w *recorder) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.a.begin(status, w.Header())
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	w.a.begin(http.StatusOK, w.Header())
	n, err := w.ResponseWriter.Write(p)
	w.a.add(p[:n])
	return n, err
}

// Flush implements [http.Flusher].
func (w *recorder) Flush() { _ = w.FlushError() } // who wants to know uses http.ResponseController

// FlushError is for [http.ResponseController].
func (w *recorder) FlushError() error {
	w.a.begin(http.StatusOK, w.Header())
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for [http.ResponseController].
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
