package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// maxWait is how long a request may wait for something to change.
const maxWait = 55 * time.Second

// changesOf is what a request for changes wants.
type changesOf struct {
	since    operators.Position
	datasets []formats.Dataset
	wait     time.Duration
	limit    int
}

// changes reads the parameters, or answers what is wrong with them.
func (q *reading) changes() (c changesOf, ok bool) {
	query := q.r.URL.Query()
	if text := query.Get("since"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			q.bad("since is a position that an earlier answer gave.")
			return c, false
		}
		c.since = operators.Position(n)
	}
	if text := query.Get("wait"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > int(maxWait.Seconds()) {
			q.bad(fmt.Sprintf("wait is a number of seconds from 0 to %d.", int(maxWait.Seconds())))
			return c, false
		}
		c.wait = time.Duration(n) * time.Second
	}
	for _, name := range strings.FieldsFunc(query.Get("datasets"), func(r rune) bool { return r == ',' || r == ' ' }) {
		d, err := formats.ParseDataset(name)
		if err != nil {
			q.bad(err.Error())
			return c, false
		}
		c.datasets = append(c.datasets, d)
	}
	if len(c.datasets) == 0 {
		c.datasets = subscribed(q.consent)
	}
	c.limit, ok = q.limit()
	return c, ok
}

// subscribed are the datasets of a consent whose changes may be told.
func subscribed(c *consent.Consent) (list []formats.Dataset) {
	for _, d := range c.Details {
		for _, set := range d.Datasets {
			if slices.Contains(d.Actions, consent.Subscribe) && !slices.Contains(list, set) {
				list = append(list, set)
			}
		}
	}
	return list
}

// between is how often a request that waits looks whether its consent still stands.
const between = 2 * time.Second

// reached returns the position up to which changes are told, having waited for one if there was none. Nobody waits on a
// consent that has ended.
func (q *reading) reached(c changesOf) (operators.Position, error) {
	at, err := q.from.Position(q.r.Context())
	for until := time.Now().Add(c.wait); err == nil && at == c.since && time.Now().Before(until); {
		if at, err = q.wait(c.since, min(between, time.Until(until))); err != nil || at != c.since {
			break
		}
		standing, e := q.opt.Authority.OfService(q.r.Context(), q.consent.ID, q.consent.Service)
		if e == nil && !standing.State.Valid() {
			e = fmt.Errorf("%w: it ended while you waited", consent.ErrDenied)
		}
		if e == nil && !standing.Paused.IsZero() {
			e = consent.ErrPaused
		}
		err = e
	}
	return at, err
}

func (q *reading) wait(since operators.Position, atMost time.Duration) (operators.Position, error) {
	ctx, stop := context.WithTimeout(q.r.Context(), atMost)
	defer stop()
	at, err := q.from.Wait(ctx, since)
	if errors.Is(err, context.DeadlineExceeded) && q.r.Context().Err() == nil {
		return since, nil
	}
	return at, err
}

// changes sends a page of changes, with the position that the next request begins at.
func (f *flow) changes(lines iter.Seq2[operators.Line, error], limit int, reached operators.Position) {
	text := []byte(`{"changes":[`)
	more := false
	at := reached
	for line, err := range lines {
		if err != nil {
			f.refuse(err)
			return
		}
		if f.records == int64(limit) {
			more = true
			break
		}
		if f.records > 0 {
			text = append(text, ',')
		}
		text = append(text, line.Bytes...)
		if f.records++; f.records == int64(limit) {
			at = line.Position
		}
	}
	if !more {
		at = reached
	}
	text = fmt.Appendf(text, `],"position":%d,"more":%t}`, at, more)
	f.body(typeJSON, append(text, '\n'))
}

// serve sends the bytes of a file, or what of them is asked for.
func (f *flow) serve(record formats.Record, content io.ReadSeeker) {
	kind := record.Blob.Type
	if kind == "" {
		kind = "application/octet-stream"
	}
	h := f.Header()
	h.Set("Content-Type", kind)
	h.Set("ETag", `"`+record.Blob.SHA256.String()+`"`)
	h.Set("Content-Disposition", "attachment")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox")
	h.Set("Cache-Control", "private, no-cache")
	seen := &outcome{flow: f}
	http.ServeContent(seen, f.q.r, "", time.Time{}, content)
	f.end(seen.err)
}

// outcome remembers whether everything was sent, which http.ServeContent does not tell.
type outcome struct {
	*flow
	err error
}

func (o *outcome) Write(p []byte) (int, error) {
	n, err := o.flow.Write(p)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}
