package web

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/passerelle-cloud/passerelle/formats/reconcile"
	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/transfer/money"
)

// bank is what the page of accounts and operations shows.
type bank struct {
	*money.Statement
	Query       money.Query
	Names       map[string]string // of accounts, by their ids
	Chart       *chart            // nil: there is nothing to draw
	Pages       pages
	Waiting     int
	Connects    bool // banks can be connected here
	Connections []connection
	Looked      bool // through everything, just now
}

// row is an operation with its bills.
type row struct {
	money.Entry
	Bills []billed
}

// billed is a bill that an operation is of.
type billed struct {
	money.Billed
	Path string
}

// Rows are the operations.
func (b bank) Rows() []row {
	list := make([]row, len(b.Entries))
	for i, e := range b.Entries {
		list[i] = row{Entry: e}
		for _, m := range e.Matches {
			if m.Issuer != "" {
				list[i].Bills = append(list[i].Bills, billed{m, billPath(m.Bill)})
			}
		}
	}
	return list
}

// pages leads to the page before and the one after.
type pages struct{ Before, After string }

func turn(path string, q money.Query, found int) (p pages) {
	at := func(page int) string {
		values := url.Values{"page": {strconv.Itoa(page)}}
		if q.Text != "" {
			values.Set("q", q.Text)
		}
		if q.Account != "" {
			values.Set("account", q.Account)
		}
		return path + "?" + values.Encode()
	}
	if q.Page > 0 {
		p.Before = at(q.Page - 1)
	}
	if (q.Page+1)*money.PageSize < found && q.Page+1 < money.MostPages {
		p.After = at(q.Page + 1)
	}
	return p
}

// maxSearch is how many bytes of what is searched for are looked at.
const maxSearch = 200

func query(r *http.Request) money.Query {
	values := r.URL.Query()
	q := money.Query{Text: values.Get("q"), Account: values.Get("account")}
	q.Page, _ = strconv.Atoi(values.Get("page")) // what is no number is the first page
	q.Page = min(max(q.Page, 0), money.MostPages-1)
	if len(q.Text) > maxSearch {
		q.Text = q.Text[:maxSearch]
	}
	return q
}

// Bank shows accounts and operations.
func (w *Web) Bank(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	page := bank{Query: query(r), Names: map[string]string{}, Looked: r.URL.Query().Has("looked")}
	var err error
	if page.Statement, err = w.opt.Money.Statement(r.Context(), v.Person, page.Query); err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	if page.Waiting, err = w.opt.Money.Waiting(r.Context(), v.Person); err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	page.Connects = w.opt.Bank.Banks != nil
	if page.Connections, err = w.connections(r.Context(), v.Person); err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	for _, a := range page.Accounts {
		page.Names[a.ID] = a.Name
	}
	page.Chart, page.Pages = drawMonths(page.Months), turn("/bank", page.Query, page.Found)
	w.Render(rw, r, v, webui.Page{Template: "bank", Title: "bank.title", Section: "bank", Data: page})
}

// Look has everything looked through now.
func (w *Web) Look(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	if _, err := w.opt.Money.Run(r.Context(), v.Person); err != nil {
		w.moneyFault(rw, r, v, err)
		return
	}
	w.Redirect(rw, r, "/bills?looked")
}

// chart is what came in and went out, month by month.
type chart struct {
	Width, Height, Base int
	Bars                []bar
	Most                reconcile.Total
}

// bar is a month of a chart.
type bar struct {
	money.Month
	X, Wide, InY, InHigh, OutX, OutY, OutHigh, TextX int
	Label, Year                                      string // of the axis; the year where a new one begins
}

// The measures of the chart, in its own units.
const (
	chartWidth  = 720
	chartHeight = 240
	chartTop    = 24
	chartBase   = 196
	barGap      = 4
)

// drawMonths places bars; nil if nothing moved.
func drawMonths(months []money.Month) *chart {
	c := &chart{Width: chartWidth, Height: chartHeight, Base: chartBase}
	for i := range months {
		for _, side := range []*reconcile.Total{&months[i].In, &months[i].Out} {
			if side.Exceeds(&c.Most) {
				c.Most = *side
			}
		}
	}
	if len(months) == 0 || c.Most == (reconcile.Total{}) {
		return nil
	}
	room := chartWidth / len(months)
	wide := min((room-3*barGap)/2, 28)
	year := ""
	for i, m := range months {
		b := bar{Month: m, X: i*room + (room-2*wide-barGap)/2, Wide: wide, TextX: i*room + room/2, Label: m.Month[len("2006-"):]}
		b.OutX = b.X + wide + barGap
		b.InHigh, b.OutHigh = m.In.Part(&c.Most, chartBase-chartTop), m.Out.Part(&c.Most, chartBase-chartTop)
		b.InY, b.OutY = chartBase-b.InHigh, chartBase-b.OutHigh
		if y := m.Month[:len("2006")]; y != year {
			b.Year, year = y, y
		}
		c.Bars = append(c.Bars, b)
	}
	return c
}
