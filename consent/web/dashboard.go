package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/webui"
)

// pageSize is how many consents one page of the dashboard lists.
const pageSize = 20

// item is a consent, or a refusal, on the dashboard.
type item struct {
	consent.Item
	Sets []formats.Dataset
	Live bool
}

// dashboard is what the page shows.
type dashboard struct {
	Items    []item
	Tabs     []tab
	all      int // consents, of whatever standing
	Filter   consent.Filter
	Datasets []formats.Dataset
	Searched bool
	Total    int
	Earlier  string // address of the page with what changed before; "" if there is none
	Later    string
	News     consent.News
	Now      time.Time
	Done     *done
	Waiting  []waiting
	Overdue  int // reimbursements
}

// waiting is a consent that came with the person from another operator, to which they have still to say yes.
type waiting struct {
	consent.Followed
	Name string // of the service
	Why  string
	Sets []formats.Dataset
}

// waiting lists them.
func (w *Web) waiting(r *http.Request, v *webui.Visitor) (list []waiting, err error) {
	all, err := w.opt.Authority.Waiting(r.Context(), v.Person)
	for _, f := range all {
		list = append(list, waiting{f, f.Said.Service.Name, consent.Reasons()[f.Reason][v.Language], datasets(f.Said.Details)})
	}
	return list, err
}

// tab leads to the consents that stand in one way.
type tab struct {
	Standing consent.Standing
	Count    int
	Address  string
	Current  bool
}

// done says what a person just did.
type done struct {
	What    string // "withdrawn", "paused", …
	Service *consent.Service
}

// standings are the tabs, in their order.
var standings = []consent.Standing{consent.StandsActive, consent.StandsPaused, consent.StandsEnded, consent.StandsRefused}

// Consents shows a person all that they decided, and what is new.
func (w *Web) Consents(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	d, err := w.dashboard(r, v)
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	w.Render(rw, r, v, webui.Page{Template: "consents", Title: "consents.title", Section: "consents", Data: d})
}

func (w *Web) dashboard(r *http.Request, v *webui.Visitor) (*dashboard, error) {
	query := searched(r)
	d := &dashboard{Filter: filter(query), Datasets: formats.Datasets(), Now: time.Now()}
	d.Searched = d.Filter.Text != "" || d.Filter.Dataset != ""
	listing, err := w.opt.Authority.List(r.Context(), v.Person, d.Filter)
	if err != nil {
		return nil, err
	}
	d.Total = listing.Total
	for _, i := range listing.Items {
		d.Items = append(d.Items, item{i, datasets(i.Consent.Details), i.Consent.Valid(d.Now)})
	}
	for _, s := range standings {
		d.all += listing.Counts[s]
		d.Tabs = append(d.Tabs, tab{s, listing.Counts[s], address(query, "standing", string(s), "page", ""), s == d.Filter.Standing})
	}
	page := d.Filter.Offset/pageSize + 1
	if page > 1 {
		d.Later = address(query, "page", strconv.Itoa(page-1))
	}
	if d.Filter.Offset+len(d.Items) < d.Total {
		d.Earlier = address(query, "page", strconv.Itoa(page+1))
	}
	if d.Filter.Offset == 0 && !d.Searched {
		if d.News, err = w.opt.Authority.News(r.Context(), v.Person, 5); err != nil {
			return nil, err
		}
		if d.Waiting, err = w.waiting(r, v); err != nil {
			return nil, err
		}
		if w.opt.Overdue != nil {
			if d.Overdue, err = w.opt.Overdue(r.Context(), v.Person); err != nil {
				return nil, err
			}
		}
	}
	d.Done, err = w.done(r, v)
	return d, err
}

// few is how many consents nobody needs to search.
const few = 5

// Searchable reports whether there are more consents than one sees at a glance.
func (d dashboard) Searchable() bool { return d.all > few || d.Searched }

// maxSearch is how long what somebody looks for may be, in characters: no name is longer.
const maxSearch = 100

// searched is the query of a page without what nobody can look for.
func searched(r *http.Request) url.Values {
	query := r.URL.Query()
	if text := []rune(strings.ToValidUTF8(query.Get("q"), "")); len(text) > maxSearch {
		query.Set("q", string(text[:maxSearch]))
	}
	return query
}

// filter reads what somebody looks for. What cannot be looked for is left out.
func filter(query url.Values) consent.Filter {
	f := consent.Filter{Text: query.Get("q"), Standing: consent.StandsActive, Limit: pageSize}
	for _, s := range standings {
		if query.Get("standing") == string(s) {
			f.Standing = s
		}
	}
	if d, err := formats.ParseDataset(query.Get("dataset")); err == nil {
		f.Dataset = d
	}
	if page, err := strconv.Atoi(query.Get("page")); err == nil && page > 1 && page < 1_000_000 {
		f.Offset = (page - 1) * pageSize
	}
	return f
}

// address is the dashboard's with some of what is looked for changed.
func address(query url.Values, changes ...string) string {
	changed := url.Values{}
	for _, key := range []string{"q", "dataset", "standing", "page"} {
		if query.Get(key) != "" {
			changed.Set(key, query.Get(key))
		}
	}
	for i := 0; i+1 < len(changes); i += 2 {
		changed.Set(changes[i], changes[i+1])
		if changes[i+1] == "" {
			changed.Del(changes[i])
		}
	}
	return "/consents?" + changed.Encode()
}

// answers stands in the lists of datasets for those of which only answers are given; its text is "set.answers".
const answers formats.Dataset = "answers"

// datasets are all that details name, each once.
func datasets(details []consent.Detail) (list []formats.Dataset) {
	seen := map[formats.Dataset]bool{}
	for _, d := range details {
		sets := d.Datasets
		if d.Type == consent.Answer {
			sets = []formats.Dataset{answers}
		}
		for _, s := range sets {
			if !seen[s] {
				seen[s] = true
				list = append(list, s)
			}
		}
	}
	return list
}

// done finds out what was done just now, from the address; only what is true is said.
func (w *Web) done(r *http.Request, v *webui.Visitor) (*done, error) {
	for what, states := range map[string][]consent.State{"withdrawn": {consent.Withdrawn}} {
		id := searched(r).Get(what)
		if id == "" {
			continue
		}
		c, err := w.opt.Authority.OfPerson(r.Context(), id, v.Person)
		if err != nil || c.State != states[0] {
			return nil, nil // somebody made the address up
		}
		service, err := w.opt.Authority.Service(r.Context(), c.Service)
		return &done{what, service}, err
	}
	return nil, nil
}

// Seen notes that a person has seen what is new.
func (w *Web) Seen(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	at, err := time.Parse(time.RFC3339Nano, r.PostForm.Get("at"))
	if err != nil {
		w.Message(rw, r, v, http.StatusBadRequest, "bad-form")
		return
	}
	if err := w.opt.Authority.Seen(r.Context(), v.Person, at); err != nil {
		w.fail(rw, r, v, err)
		return
	}
	w.Redirect(rw, r, "/consents")
}
