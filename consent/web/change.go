package web

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/internal/webui"
)

// Withdraw withdraws a consent: when the page is there, nothing flows any more.
func (w *Web) Withdraw(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	c, err := w.opt.Authority.Withdraw(r.Context(), consent.Ending{Consent: r.PathValue("id"), Person: v.Person, State: consent.Withdrawn, Session: session(v)})
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	w.Redirect(rw, r, "/consents?withdrawn="+url.QueryEscape(c.ID))
}

// Pause lets nothing be read until the person says so.
func (w *Web) Pause(rw http.ResponseWriter, r *http.Request) {
	if v, ok := w.Posted(rw, r); ok {
		c, err := w.opt.Authority.Pause(r.Context(), consent.Pausing{Consent: r.PathValue("id"), Person: v.Person, Session: session(v)})
		w.changed(rw, r, v, c, err, "paused")
	}
}

// Resume ends a pause.
func (w *Web) Resume(rw http.ResponseWriter, r *http.Request) {
	if v, ok := w.Posted(rw, r); ok {
		c, err := w.opt.Authority.Resume(r.Context(), consent.Pausing{Consent: r.PathValue("id"), Person: v.Person, Session: session(v)})
		w.changed(rw, r, v, c, err, "resumed")
	}
}

func (w *Web) changed(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, c consent.Consent, err error, what string) {
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	w.Redirect(rw, r, "/consents/"+url.PathEscape(c.ID)+"?done="+what)
}

// less is what the page shows on which a person allows less, or allows something again.
type less struct {
	consent.Consent
	Service *consent.Service
	Notice  template.HTML
	Hash    string
	Details []choosing
	Spans   []span
	Nothing bool
}

// Change shows what of a consent can be taken back.
func (w *Web) Change(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	l, err := w.less(r, v, false)
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	w.Render(rw, r, v, webui.Page{Template: "change", Title: "change.title", Section: "consents", Data: l})
}

// DoChange takes some of a consent back.
func (w *Web) DoChange(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	c, err := w.opt.Authority.OfPerson(r.Context(), r.PathValue("id"), v.Person)
	if err == nil {
		s := consent.Shortening{Consent: c.ID, Person: v.Person, Details: chosen(c.Details, r.PostForm, time.Now()), Session: session(v)}
		c, err = w.opt.Authority.Shorten(r.Context(), s)
	}
	if errors.Is(err, consent.ErrBeyond) {
		w.Redirect(rw, r, "/consents/"+url.PathEscape(r.PathValue("id"))+"/change?nothing")
		return
	}
	w.changed(rw, r, v, c, err, "changed")
}

// Again shows a consent that has ended, so that it can be given again.
func (w *Web) Again(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	l, err := w.less(r, v, true)
	if err == nil && sensitive(l.Consent.Details) && !v.Fresh(freshToSee) {
		w.Proven(rw, r, "", freshToSee)
		return
	}
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	w.Render(rw, r, v, webui.Page{Template: "again", Title: "again.title", Section: "consents", Data: l})
}

// DoAgain gives a consent again that has ended: all of it, or less.
func (w *Web) DoAgain(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	here := "/consents/" + url.PathEscape(r.PathValue("id"))
	if r.PostForm.Get("decision") != "grant" {
		w.Redirect(rw, r, here)
		return
	}
	c, err := w.opt.Authority.OfPerson(r.Context(), r.PathValue("id"), v.Person)
	if err == nil && sensitive(c.Details) && !v.Fresh(freshToDecide) {
		r.PostForm.Set("back", here+"/again")
		w.Proven(rw, r, "", freshToDecide)
		return
	}
	if err == nil {
		c, err = w.again(r, v, c)
	}
	if errors.Is(err, consent.ErrBeyond) {
		w.Redirect(rw, r, here+"/again?nothing")
		return
	}
	w.changed(rw, r, v, c, err, "again")
}

func (w *Web) again(r *http.Request, v *webui.Visitor, c consent.Consent) (consent.Consent, error) {
	last, err := w.renewable(r, c)
	if err != nil {
		return c, err
	}
	details := chosen(last.details, r.PostForm, time.Now())
	return w.opt.Authority.Renew(r.Context(), consent.Renewal{Consent: c.ID, Person: v.Person, Until: lastOf(details), Details: details,
		Notice: r.PostForm.Get("notice"), Session: session(v)})
}

// renewing is what can be given again of a consent.
type renewing struct {
	details []consent.Detail
	until   time.Time
}

// renewable returns the details of a consent that has ended, until the last day for which they can be given again: as
// long as it was given for at first.
func (w *Web) renewable(r *http.Request, c consent.Consent) (renewing, error) {
	if c.State != consent.Withdrawn && c.State != consent.Expired && c.State != consent.Requested {
		return renewing{}, consent.ErrState
	}
	revisions, err := w.opt.Authority.Revisions(r.Context(), c.ID)
	if err != nil {
		return renewing{}, err
	}
	// A minute less, so that it is still possible when the person has read the page.
	until := time.Now().Add(revisions[0].Expires.Sub(revisions[0].At)).UTC().Truncate(24 * time.Hour)
	if until.Before(time.Now()) {
		until = time.Now().Add(revisions[0].Expires.Sub(revisions[0].At) - time.Minute).UTC().Truncate(time.Second)
	}
	details := slices.Clone(c.Details)
	for i := range details {
		details[i].Expires = until
	}
	return renewing{details, until}, nil
}

// less makes the page on which something is taken back or, again, given again.
func (w *Web) less(r *http.Request, v *webui.Visitor, again bool) (*less, error) {
	ctx, a := r.Context(), w.opt.Authority
	c, err := a.OfPerson(ctx, r.PathValue("id"), v.Person)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	l := &less{Consent: c, Nothing: r.URL.Query().Has("nothing")}
	if l.Service, err = a.Service(ctx, c.Service); err != nil {
		return nil, err
	}
	details := c.Details
	if again {
		last, err := w.renewable(r, c)
		if err != nil {
			return nil, err
		}
		details = last.details
	} else if !c.Valid(now) {
		return nil, consent.ErrState
	}
	l.Spans = spans(lastOf(details), now)
	list := shown(details, v.Language)
	if again {
		l.Notice, l.Hash, err = w.keep(ctx, c.ID, v.Language, notice{Service: l.Service, Details: list, Advice: advise(details, now)})
		if err != nil {
			return nil, err
		}
	}
	for _, d := range list {
		one, err := w.choosing(ctx, v.Person, d)
		if err != nil {
			return nil, err
		}
		l.Details = append(l.Details, given(one))
	}
	return l, nil
}

// given ticks all of what was allowed: what is unticked is taken back.
func given(c choosing) choosing {
	for i := range c.Choices {
		c.Choices[i].Ticked = true
	}
	return c
}

// suffix names the form's members of one detail.
func (c choosing) Suffix() string { return "-" + strconv.Itoa(c.Index) }
