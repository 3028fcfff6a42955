package web

import (
	"net/http"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/webui"
)

// listed is a consent on the dashboard.
type listed struct {
	consent.Consent
	Service *consent.Service
	Sets    []formats.Dataset
	Live    bool
}

// dashboard is what the page shows.
type dashboard struct {
	Live, Ended []listed
	Withdrawn   string // the name of a service whose consent was withdrawn just now
}

// Consents shows a person all that they decided.
func (w *Web) Consents(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.visitor(rw, r, "")
	if !ok {
		return
	}
	list, err := w.opt.Authority.Consents(r.Context(), v.person)
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	var d dashboard
	for _, c := range list {
		l, err := w.listed(r, c)
		if err != nil {
			w.fail(rw, r, v, err)
			return
		}
		if l.Live {
			d.Live = append(d.Live, l)
		} else {
			d.Ended = append(d.Ended, l)
		}
		if c.ID == r.URL.Query().Get("withdrawn") && c.State == consent.Withdrawn {
			d.Withdrawn = l.Service.Name
		}
	}
	w.render(rw, r, v, webui.Page{Template: "consents", Title: "consents.title", Data: d})
}

func (w *Web) listed(r *http.Request, c consent.Consent) (listed, error) {
	service, err := w.opt.Authority.Service(r.Context(), c.Service)
	l := listed{Consent: c, Service: service, Live: c.Valid(time.Now())}
	for _, d := range c.Details {
		l.Sets = append(l.Sets, d.Datasets...)
	}
	return l, err
}

// one is what the page of one consent shows.
type one struct {
	listed
	Details   []asked
	Revisions []consent.Revision
}

// Consent shows a consent with everything that was decided about it.
func (w *Web) Consent(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.visitor(rw, r, "")
	if !ok {
		return
	}
	o, err := w.one(r, v)
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	w.render(rw, r, v, webui.Page{Template: "consent", Title: "consent.title", Data: o})
}

func (w *Web) one(r *http.Request, v *visitor) (o one, err error) {
	c, err := w.opt.Authority.OfPerson(r.Context(), r.PathValue("id"), v.person)
	if err != nil {
		return o, err
	}
	if o.listed, err = w.listed(r, c); err != nil {
		return o, err
	}
	for i, d := range c.Details {
		o.Details = append(o.Details, shown(d, i, v.language))
	}
	o.Revisions, err = w.opt.Authority.Revisions(r.Context(), c.ID)
	return o, err
}

// Receipt gives a person their signed copy of everything that was decided about a consent.
func (w *Web) Receipt(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.visitor(rw, r, "")
	if !ok {
		return
	}
	c, err := w.opt.Authority.OfPerson(r.Context(), r.PathValue("id"), v.person)
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

// Withdraw withdraws a consent: when the page is there, nothing flows any more.
func (w *Web) Withdraw(rw http.ResponseWriter, r *http.Request) {
	if !w.form(rw, r) {
		return
	}
	v, ok := w.visitor(rw, r, "")
	if !ok {
		return
	}
	c, err := w.opt.Authority.Withdraw(r.Context(), consent.Ending{Consent: r.PathValue("id"), Person: v.person, State: consent.Withdrawn, Session: v.session})
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	webui.Protect(rw.Header())
	http.Redirect(rw, r, "/consents?withdrawn="+c.ID, http.StatusSeeOther)
}
