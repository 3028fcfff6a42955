package web

import (
	"context"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/consent/events"
	"github.com/passerelle-cloud/passerelle/internal/webui"
)

// mostAccesses is how many accesses the page of a consent lists at a time.
const mostAccesses = 25

// whole is what the page of one consent shows.
type whole struct {
	consent.Consent
	Service   *consent.Service
	Live      bool
	Again     bool // it can be given again
	Details   []asked
	Revisions []revision
	Accesses  []consent.AccessRecord
	More      string // cursor of the accesses before these
	Told      []events.Event
	Done      string // what was done just now: "paused", "resumed", "changed", "again"
}

// revision is one thing that happened to a consent.
type revision struct {
	consent.Revision
	Pause   *consent.Interval // then there is no revision
	HasText bool              // a notice was kept
}

// Consent shows a consent with everything that was decided about it, read by it, and told of it.
func (w *Web) Consent(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	o, err := w.whole(r.Context(), r.PathValue("id"), v, r.URL.Query().Get("before"))
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	switch what := r.URL.Query().Get("done"); {
	case what == "paused" && !o.Paused.IsZero(), what == "resumed" && o.Live && o.Paused.IsZero(), what == "changed" && o.Live, what == "again" && o.Live:
		o.Done = what
	}
	w.Render(rw, r, v, webui.Page{Template: "consent", Title: "consent.title", Section: "consents", Data: o})
}

func (w *Web) whole(ctx context.Context, id string, v *webui.Visitor, before string) (*whole, error) {
	a := w.opt.Authority
	c, err := a.OfPerson(ctx, id, v.Person)
	if err != nil {
		return nil, err
	}
	o := &whole{Consent: c, Live: c.Valid(time.Now()), Again: c.State == consent.Withdrawn || c.State == consent.Expired || c.State == consent.Requested, Details: shown(c.Details, v.Language)}
	if o.Service, err = a.Service(ctx, c.Service); err != nil {
		return nil, err
	}
	if o.Revisions, err = w.revisions(ctx, c.ID); err != nil {
		return nil, err
	}
	if o.Accesses, o.More, err = a.Accesses(ctx, c.ID, v.Person, before, mostAccesses); err != nil {
		return nil, err
	}
	o.Told, err = w.opt.Told(ctx, c.ID)
	return o, err
}

// revisions are the decisions about a consent, and when it was paused, in the order of time.
func (w *Web) revisions(ctx context.Context, id string) (list []revision, err error) {
	revisions, err := w.opt.Authority.Revisions(ctx, id)
	if err != nil {
		return nil, err
	}
	pauses, err := w.opt.Authority.Pauses(ctx, id)
	for _, r := range revisions {
		for len(pauses) > 0 && pauses[0].Begun.Before(r.At) {
			list = append(list, revision{Pause: &pauses[0]})
			pauses = pauses[1:]
		}
		list = append(list, revision{Revision: r, HasText: r.Notice != ""})
	}
	for i := range pauses {
		list = append(list, revision{Pause: &pauses[i]})
	}
	return list, err
}

// Notice shows exactly what a person was shown when they decided.
func (w *Web) Notice(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	n, err := w.shownWith(r.Context(), v.Person, r.PathValue("id"), r.PathValue("revision"))
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	w.Render(rw, r, v, webui.Page{Template: "kept", Title: "kept.title", Section: "consents", Data: n})
}

// kept is a notice as it was shown.
type kept struct {
	consent.Notice
	Consent string
	HTML    template.HTML
}

func (w *Web) shownWith(ctx context.Context, person, id, number string) (*kept, error) {
	if _, err := w.opt.Authority.OfPerson(ctx, id, person); err != nil {
		return nil, err
	}
	revisions, err := w.opt.Authority.Revisions(ctx, id)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(revisions) || revisions[n-1].Notice == "" {
		return nil, consent.ErrNotFound
	}
	revision := revisions[n-1]
	about := revision.Request
	if about == "" { // given again, without a request
		about = id
	}
	text, err := w.opt.Authority.Notice(ctx, about, revision.Notice)
	return &kept{text, id, template.HTML(text.Content)}, err // as html/template rendered it then
}

// Receipt gives a person their signed copy of everything that was decided about a consent.
func (w *Web) Receipt(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	c, err := w.opt.Authority.OfPerson(r.Context(), r.PathValue("id"), v.Person)
	var text []byte
	if err == nil {
		text, err = w.opt.Receipt(r.Context(), c)
	}
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	webui.Protect(rw.Header())
	rw.Header().Set("Content-Type", "application/jose")
	rw.Header().Set("Content-Disposition", `attachment; filename="receipt-`+c.ID+`.jws"`)
	rw.Write(text) // if the reader is gone there is nobody to tell
}

// Print shows the same to be read, printed and put away.
func (w *Web) Print(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	o, err := w.whole(r.Context(), r.PathValue("id"), v, "")
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	w.Render(rw, r, v, webui.Page{Template: "print", Title: "print.title", Section: "consents", Data: o})
}
