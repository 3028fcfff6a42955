package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"net/http"
	"sync"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
)

// margin is how long before the end of a lease the last byte is handed to the kernel.
const margin = 100 * time.Millisecond

// flow is an answer under way. Its bytes reach the kernel only while the permit's lease lasts, also where the reader is
// so slow that they wait here: the connection's deadline is the lease's. When the consent ends it is cut.
type flow struct {
	http.ResponseWriter
	q        *reading
	permit   *consent.Permit
	datasets []formats.Dataset
	control  *http.ResponseController
	sum      hash.Hash
	form     string    // into which the records are converted; "": they are not
	source   hash.Hash // of what they were before
	bytes    int64
	records  int64

	settled bool // whether it is recorded what was sent

	mu    sync.Mutex
	ended bool
	stop  context.CancelFunc
	work  sync.WaitGroup
}

var errCut = errors.New("the consent ended while data was sent")

func (q *reading) flow(p *consent.Permit, datasets []formats.Dataset) *flow {
	ctx, stop := context.WithCancel(q.r.Context())
	f := &flow{ResponseWriter: q.w, q: q, permit: p, datasets: datasets, control: http.NewResponseController(q.w), sum: sha256.New(), stop: stop}
	q.open.Inc()
	f.deadline(p.Lease().Add(-margin))
	p.OnCut(func() { f.deadline(time.Now().Add(-time.Second)) })
	f.work.Go(func() { f.prolong(ctx) })
	return f
}

// deadline sets until when the kernel takes bytes.
func (f *flow) deadline(at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		_ = f.control.SetWriteDeadline(at) // where there is no connection there is no kernel: see Write
	}
}

// prolong asks again and again whether the consent stands, long before the lease ends.
func (f *flow) prolong(ctx context.Context) {
	for {
		pause := time.Until(f.permit.Lease()) / 3
		if pause <= 0 || f.permit.Cut() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if err := f.permit.Prolong(ctx); errors.Is(err, consent.ErrDenied) {
			return // the permit has cut us
		} else if err == nil {
			f.deadline(f.permit.Lease().Add(-margin))
		} // else the database is away: the lease runs out
	}
}

// Write hands bytes on while the lease lasts.
func (f *flow) Write(p []byte) (int, error) {
	if f.permit.Cut() || time.Now().After(f.permit.Lease().Add(-margin)) {
		return 0, errCut
	}
	n, err := f.ResponseWriter.Write(p)
	f.sum.Write(p[:n])
	f.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (f *flow) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// end sends what is still here, records what was sent, and closes the connection where that was not all: a reader must
// be able to tell.
func (f *flow) end(err error) {
	if err == nil {
		err = f.flush()
	}
	f.finish(err)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// settle is deferred by who has a flow: one that a fault in the program has ended is recorded too.
func (f *flow) settle() {
	if !f.settled {
		f.finish(errors.New("the program failed"))
	}
}

// finish ends the sending, for good or for bad, and records what was sent.
func (f *flow) finish(err error) {
	defer f.q.open.Dec()
	f.settled = true
	f.stop()
	f.work.Wait()
	f.mu.Lock()
	f.ended = true
	if err != nil {
		_ = f.control.SetWriteDeadline(time.Now().Add(-time.Second)) // what still waits here stays here
	} else {
		_ = f.control.SetWriteDeadline(time.Time{})
	}
	f.mu.Unlock()
	sent := consent.Sent{Records: f.records, Bytes: f.bytes, Outcome: consent.Complete}
	f.sum.Sum(sent.SHA256[:0])
	if f.form != "" {
		sent.Form = f.form
		f.source.Sum(sent.Source[:0])
	}
	switch {
	case err != nil && f.permit.Cut():
		sent.Outcome = consent.CutOff
	case err != nil:
		sent.Outcome = consent.Failed
		f.q.opt.Log.Info("an access ended early", "access", f.permit.ID(), "error", err)
	}
	for _, d := range f.datasets {
		f.q.sent.WithLabelValues(string(d)).Add(float64(f.bytes) / float64(len(f.datasets)))
	}
	if e := f.permit.Done(f.q.r.Context(), sent); e != nil {
		f.q.opt.Log.Error("what was sent could not be recorded", "access", f.permit.ID(), "error", e)
	}
}

// flush hands over what the server still holds, so that nothing of it is sent after the permit is done.
func (f *flow) flush() error {
	if f.permit.Cut() || time.Now().After(f.permit.Lease().Add(-margin)) {
		return errCut
	}
	if err := f.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// refuse is end for an access of which nothing was sent but a problem.
func (f *flow) refuse(err error) {
	p := f.q.problemOf(err)
	f.permitless(func() { p.Write(f.ResponseWriter) })
}

// permitless records that nothing of the data was sent, and answers without the permit.
func (f *flow) permitless(answer func()) {
	defer f.q.open.Dec()
	f.settled = true
	f.stop()
	f.work.Wait()
	f.mu.Lock()
	f.ended = true
	_ = f.control.SetWriteDeadline(time.Time{})
	f.mu.Unlock()
	sent := consent.Sent{Outcome: consent.Complete}
	f.sum.Sum(sent.SHA256[:0])
	if e := f.permit.Done(f.q.r.Context(), sent); e != nil {
		f.q.opt.Log.Error("what was sent could not be recorded", "access", f.permit.ID(), "error", e)
	}
	answer()
}
