package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/reconcile"
	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer/money"
)

// bills is what the page of bills shows.
type bills struct {
	*money.Page
	Query  money.Query
	Alerts []alert
	Past   []alert // dismissed or settled
	Pages  pages
	Looked bool
	Done   bool // an alert was dismissed just now
}

// alert is an alert, and where its bills are.
type alert struct {
	money.Alert
	Bills []string // paths
}

// billPath is where a bill is shown.
func billPath(ref reconcile.Ref) string {
	return "/bills/" + string(ref.Dataset) + "/" + url.PathEscape(ref.ID)
}

// invoice is a bill as a page lists it.
type invoice struct {
	money.Invoice
	Path string
}

// List are the bills with their paths.
func (b bills) List() []invoice {
	list := make([]invoice, len(b.Page.Bills))
	for i, one := range b.Page.Bills {
		list[i] = invoice{one, billPath(one.Ref)}
	}
	return list
}

// Bills shows bills with their links, and what is late.
func (w *Web) Bills(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	page := bills{Query: query(r), Looked: r.URL.Query().Has("looked"), Done: r.URL.Query().Has("dismissed")}
	alerts, err := w.opt.Money.Alerts(r.Context(), v.Person)
	if err == nil {
		page.Page, err = w.opt.Money.Bills(r.Context(), v.Person, page.Query)
	}
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	for _, a := range alerts {
		one := alert{Alert: a}
		for _, b := range a.Bills {
			one.Bills = append(one.Bills, billPath(b))
		}
		if a.State == "open" {
			page.Alerts = append(page.Alerts, one)
		} else {
			page.Past = append(page.Past, one)
		}
	}
	page.Pages = turn("/bills", page.Query, page.Found)
	w.Render(rw, r, v, webui.Page{Template: "bills", Title: "bills.title", Section: "bills", Data: page})
}

// bill is what the page of one bill shows.
type bill struct {
	*money.Invoice
	Path  string
	Query money.Query
	Near  []choice
	Fault string // a text "bill.fault-WHAT"
}

// choice is an operation that could be linked by hand, and as what.
type choice struct {
	money.Entry
	Role reconcile.Role
}

// Bill shows a bill, and lets its links be corrected.
func (w *Web) Bill(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	w.bill(rw, r, v, "", http.StatusOK)
}

func (w *Web) bill(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, fault string, status int) {
	ref := refOf(r)
	page := bill{Path: billPath(ref), Query: query(r), Fault: fault}
	page.Query.Account = ""
	var near []money.Entry
	var err error
	if page.Invoice, near, err = w.opt.Money.Bill(r.Context(), v.Person, ref, page.Query); err != nil {
		w.moneyFault(rw, r, v, err)
		return
	}
	for _, e := range near {
		role := reconcile.Credit
		if e.TransactionAmount.Amount.Negative() {
			role = reconcile.Debit
		}
		page.Near = append(page.Near, choice{e, role})
	}
	w.Render(rw, r, v, webui.Page{Template: "bill", Title: "bill.title", Section: "bills", Status: status, Data: page})
}

func refOf(r *http.Request) reconcile.Ref {
	return reconcile.Ref{Dataset: formats.Dataset(r.PathValue("dataset")), ID: r.PathValue("id")}
}

// CorrectLink keeps what a person says about a bill and an operation.
func (w *Web) CorrectLink(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	c := reconcile.Correction{Bill: refOf(r), Operation: r.PostForm.Get("operation"), Role: reconcile.Role(r.PostForm.Get("role")), Verdict: reconcile.Verdict(r.PostForm.Get("say"))}
	if c.Verdict == "back" {
		c.Verdict = money.TakenBack
	} else if !slices.Contains([]reconcile.Verdict{reconcile.Confirmed, reconcile.Rejected, reconcile.ByHand}, c.Verdict) {
		w.Message(rw, r, v, http.StatusBadRequest, "bad-form")
		return
	}
	if err := w.opt.Money.Correct(r.Context(), v.Person, c); err != nil {
		w.moneyFault(rw, r, v, err)
		return
	}
	w.Redirect(rw, r, billPath(c.Bill)+"#links")
}

// DismissAlert has a person told no more of an alert.
func (w *Web) DismissAlert(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	if err := w.opt.Money.Dismiss(r.Context(), v.Person, r.PathValue("id")); err != nil {
		w.moneyFault(rw, r, v, err)
		return
	}
	w.Redirect(rw, r, "/bills?dismissed")
}

func (w *Web) moneyFault(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, err error) {
	switch {
	case errors.Is(err, money.ErrNoSuch):
		w.Message(rw, r, v, http.StatusNotFound, "not-found")
	case errors.Is(err, operators.ErrReadOnly):
		w.Message(rw, r, v, http.StatusConflict, "read-only")
	case errors.Is(err, money.ErrMeanwhile):
		w.Message(rw, r, v, http.StatusConflict, "meanwhile")
	default:
		w.Fail(rw, r, v, err)
	}
}
