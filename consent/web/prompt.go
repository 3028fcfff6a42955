package web

import (
	"context"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/webui"
)

// prompt is what the page shows on which a person decides.
type prompt struct {
	Request string
	Notice  template.HTML // exactly what is kept of what they were shown
	Hash    string
	Service *consent.Service
	Details []asked
	Until   []until
}

// asked is one thing that is asked for.
type asked struct {
	consent.Detail
	Index      int
	Purpose    string // in the language of the page, or in another one
	Language   string // which one
	Sets       []set
	Countries  []string
	Move       bool
	Continuous bool
}

// set is a dataset that can be ticked.
type set struct {
	Name     formats.Dataset
	Optional bool
	Fields   []string
}

// until is how long a person may allow it.
type until struct {
	Value string // days, or "" for as long as asked
	Days  int
	At    time.Time
}

// notice is what is kept of what a person was shown.
type notice struct {
	Service  *consent.Service
	Operator string
	Privacy  string
	Details  []asked
}

// Prompt shows what a service asks.
func (w *Web) Prompt(rw http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	locales, origin, err := w.opt.Locales(r.Context(), id)
	if err != nil {
		w.message(rw, r, &visitor{language: w.ui.Language(r, "")}, http.StatusNotFound, "unknown-request")
		return
	}
	v, ok := w.visitor(rw, r, locales)
	if !ok {
		return
	}
	p, err := w.prompt(r.Context(), id, v.language)
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	w.render(rw, r, v, webui.Page{Template: "prompt", Title: "prompt.title", FormsTo: []string{origin}, Data: p})
}

// prompt makes the page, and keeps what it says before anybody sees it.
func (w *Web) prompt(ctx context.Context, id, lang string) (*prompt, error) {
	request, err := w.opt.Authority.Request(ctx, id)
	if err != nil {
		return nil, err
	}
	if request.State != consent.Requested {
		return nil, consent.ErrState
	}
	service, err := w.opt.Authority.Service(ctx, request.Service)
	if err != nil {
		return nil, err
	}
	p := &prompt{Request: id, Service: service}
	for i, d := range request.Details {
		p.Details = append(p.Details, shown(d, i, lang))
	}
	p.Until = choices(request.Details, time.Now())
	text, err := w.ui.Fragment("notice", lang, notice{service, w.opt.Brand.Name, inLanguage(service.Notices, lang), p.Details})
	if err != nil {
		return nil, err
	}
	p.Notice = template.HTML(text) // rendered by html/template just above
	p.Hash, err = w.opt.Authority.Show(ctx, consent.Notice{Request: id, Language: lang, Version: version, Content: text})
	return p, err
}

func shown(d consent.Detail, index int, lang string) asked {
	a := asked{Detail: d, Index: index, Move: d.Type == consent.InstanceMove, Continuous: d.Frequency == "continuous", Language: lang, Purpose: d.Purpose.Text[lang]}
	for _, other := range []string{"en", "fr"} {
		if a.Purpose == "" {
			a.Language, a.Purpose = other, d.Purpose.Text[other]
		}
	}
	for _, name := range d.Datasets {
		a.Sets = append(a.Sets, set{name, slices.Contains(d.Optional, name), d.Fields[name]})
	}
	if d.ThirdCountry != nil {
		a.Countries = d.ThirdCountry.Countries
	}
	return a
}

// inLanguage chooses a text in a language, or else in any.
func inLanguage(texts map[string]string, lang string) string {
	for _, l := range []string{lang, "en", "fr"} {
		if texts[l] != "" {
			return texts[l]
		}
	}
	for _, text := range texts {
		return text
	}
	return ""
}

// choices are for how long a person may allow what is asked: as long as asked, or shorter.
func choices(details []consent.Detail, now time.Time) []until {
	var last time.Time
	for _, d := range details {
		if d.Expires.After(last) {
			last = d.Expires
		}
	}
	list := []until{{At: last}}
	for _, days := range []int{1, 7, 30, 90, 180, 365} {
		if at := now.AddDate(0, 0, days); at.Before(last) {
			list = append(list, until{Value: strconv.Itoa(days), Days: days, At: at})
		}
	}
	return list
}

// Decide takes a person's decision, and sends their browser back to the service.
func (w *Web) Decide(rw http.ResponseWriter, r *http.Request) {
	if !w.form(rw, r) {
		return
	}
	v, ok := w.visitor(rw, r, "")
	if !ok {
		return
	}
	location, err := w.decide(r, v)
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	webui.Protect(rw.Header())
	http.Redirect(rw, r, location, http.StatusSeeOther)
}

func (w *Web) decide(r *http.Request, v *visitor) (string, error) {
	d := consent.Decision{Request: r.PathValue("id"), Person: v.person, Notice: r.PostForm.Get("notice"), Session: v.session}
	if r.PostForm.Get("decision") != "grant" { // whatever is not a clear yes is a no
		return w.opt.Refuse(r.Context(), d)
	}
	request, err := w.opt.Authority.Request(r.Context(), d.Request)
	if err != nil {
		return "", err
	}
	d.Details = chosen(request.Details, r.PostForm, time.Now())
	location, _, err := w.opt.Grant(r.Context(), d)
	return location, err
}

// chosen is what of a request a person ticked.
func chosen(details []consent.Detail, form map[string][]string, now time.Time) []consent.Detail {
	list := make([]consent.Detail, len(details))
	for i, d := range details {
		ticked := form["sets-"+strconv.Itoa(i)]
		granted := d
		granted.Datasets, granted.Fields = nil, map[formats.Dataset][]string{}
		for _, name := range d.Datasets {
			if slices.Contains(ticked, string(name)) {
				granted.Datasets = append(granted.Datasets, name)
				if fields, limited := d.Fields[name]; limited {
					granted.Fields[name] = fields
				}
			}
		}
		if values := form["until"]; len(values) == 1 && values[0] != "" {
			if days, err := strconv.Atoi(values[0]); err == nil && days > 0 && days < 3660 {
				if at := now.AddDate(0, 0, days).UTC().Truncate(time.Second); at.Before(d.Expires) {
					granted.Expires = at
				}
			}
		}
		list[i] = granted
	}
	return list
}
