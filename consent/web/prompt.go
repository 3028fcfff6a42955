package web

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/webui"
)

// How long ago somebody may have proved who they are who gives what is sensitive: before they see it, and when they
// have read it.
const (
	freshToSee    = 10 * time.Minute
	freshToDecide = 40 * time.Minute
)

// prompt is what the page shows on which a person decides.
type prompt struct {
	Request string
	Notice  template.HTML // exactly what is kept of what they were shown
	Hash    string
	Service *consent.Service
	Details []choosing
	Spans   []span
	Before  []consent.Item
	Nothing bool // nothing was ticked the last time
	Move    bool // everything goes to another operator
}

// Prompt shows what a service asks.
func (w *Web) Prompt(rw http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	locales, origin, err := w.opt.Locales(r.Context(), id)
	if err != nil {
		w.Message(rw, r, &webui.Visitor{Language: w.Language(r, "")}, http.StatusNotFound, "unknown-request")
		return
	}
	v, ok := w.Visitor(rw, r, locales)
	if !ok {
		return
	}
	request, err := w.opt.Authority.Request(r.Context(), id)
	if err == nil && request.State != consent.Requested {
		err = consent.ErrState
	}
	if err == nil && sensitive(request.Details) && !v.Fresh(freshToSee) {
		w.Proven(rw, r, locales, freshToSee)
		return
	}
	var p *prompt
	if err == nil {
		p, err = w.prompt(r.Context(), v, request)
	}
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	p.Nothing = r.URL.Query().Has("nothing")
	w.Render(rw, r, v, webui.Page{Template: "prompt", Title: "prompt.title", FormsTo: []string{origin}, Data: p})
}

// prompt makes the page, and keeps what it says before anybody sees it.
func (w *Web) prompt(ctx context.Context, v *webui.Visitor, request consent.Request) (*prompt, error) {
	service, err := w.opt.Authority.Service(ctx, request.Service)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	p := &prompt{Request: request.ID, Service: service, Spans: spans(lastOf(request.Details), now)}
	details := shown(request.Details, v.Language)
	told := notice{Service: service, Details: details, Advice: advise(request.Details, now)}
	if p.Move = service.Operator; p.Move && w.opt.Moving != nil {
		moving, err := w.opt.Moving(ctx, v.Person)
		if err != nil {
			return nil, err
		}
		told.Moving = &moving
	}
	p.Notice, p.Hash, err = w.keep(ctx, request.ID, v.Language, told)
	if err != nil {
		return nil, err
	}
	if p.Before, err = w.opt.Authority.Before(ctx, v.Person, request.Service); err != nil {
		return nil, err
	}
	for _, d := range details {
		c, err := w.choosing(ctx, v.Person, d)
		if err != nil {
			return nil, err
		}
		p.Details = append(p.Details, c)
	}
	return p, nil
}

// choosing is a detail with what can be chosen of it, and examples.
func (w *Web) choosing(ctx context.Context, person string, d asked) (choosing, error) {
	c := choosing{asked: d}
	for _, s := range d.Sets {
		one := choice{set: s, Ticked: !s.Optional}
		one.Choose, one.Limited = fieldsOf(&d.Detail, s.Name)
		c.Period = c.Period || s.Name == formats.Bank || s.Name == formats.Calendar || s.Name == formats.Bills || s.Name == formats.Health || s.Name == formats.Energy
		if err := w.exemplify(ctx, person, &d.Detail, &one); err != nil {
			return c, err
		}
		if s.Name == formats.Bank {
			var err error
			if one.Accounts, err = w.accounts(ctx, person, d.Accounts); err != nil {
				return c, err
			}
		}
		c.Choices = append(c.Choices, one)
	}
	return c, nil
}

// sampled is how many records are looked at for an example, and mostAccounts how many accounts can be chosen among.
const (
	sampled      = 20
	mostAccounts = 100
)

// exemplify finds a record of the person's own of which the service would see something, and shows just that.
func (w *Web) exemplify(ctx context.Context, person string, d *consent.Detail, c *choice) error {
	records, err := w.opt.Sample(ctx, person, c.Name, exampleKind[c.Name], sampled)
	if err != nil {
		return err
	}
	for i := range records {
		seen, ok, err := d.Preview(records[i])
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		lines, err := exemplify(&seen)
		if err != nil {
			return err
		}
		if len(lines) > len(c.Example) {
			c.Example = lines
		}
		c.More++
	}
	c.More--
	c.Empty = c.More < 0
	return nil
}

// exampleKind is what makes the best example of a dataset that holds records of several kinds.
var exampleKind = map[formats.Dataset]formats.Kind{formats.Bank: formats.KindOperation, formats.Files: formats.KindFile, formats.Photos: formats.KindFile, formats.Calendar: formats.KindEvent}

// accounts are the person's bank accounts among which they can choose: all, or those that are asked for.
func (w *Web) accounts(ctx context.Context, person string, asked []string) ([]account, error) {
	records, err := w.opt.Sample(ctx, person, formats.Bank, formats.KindAccount, mostAccounts)
	if err != nil {
		return nil, err
	}
	var list []account
	for i := range records {
		if len(asked) > 0 && !slices.Contains(asked, records[i].ID) {
			continue
		}
		name, err := accountName(&records[i])
		if err != nil {
			return nil, err
		}
		list = append(list, account{records[i].ID, name, true})
	}
	for _, id := range asked { // one that is not there now can be allowed all the same
		if !slices.ContainsFunc(list, func(a account) bool { return a.ID == id }) {
			list = append(list, account{id, id, true})
		}
	}
	return list, nil
}

// Decide takes a person's decision, and sends their browser back to the service.
func (w *Web) Decide(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	here := "/consent/requests/" + r.PathValue("id")
	d := consent.Decision{Request: r.PathValue("id"), Person: v.Person, Notice: r.PostForm.Get("notice"), Session: session(v)}
	var location string
	var err error
	if r.PostForm.Get("decision") == "grant" {
		var request consent.Request
		if request, err = w.opt.Authority.Request(r.Context(), d.Request); err == nil {
			if sensitive(request.Details) && !v.Fresh(freshToDecide) {
				r.PostForm.Set("back", here)
				w.Proven(rw, r, "", freshToDecide)
				return
			}
			d.Details = chosen(request.Details, r.PostForm, time.Now())
			location, _, err = w.opt.Grant(r.Context(), d)
		}
	} else { // whatever is not a clear yes is a no
		location, err = w.opt.Refuse(r.Context(), d)
	}
	switch {
	case errors.Is(err, consent.ErrBeyond): // nothing is left of it: they may choose again
		w.Redirect(rw, r, here+"?nothing")
	case err != nil:
		w.fail(rw, r, v, err)
	default:
		w.Redirect(rw, r, location)
	}
}
