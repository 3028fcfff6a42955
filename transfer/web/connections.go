package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/internal/webui"
	atbank "github.com/passerelle-cloud/passerelle/operators/bank"
	banks "github.com/passerelle-cloud/passerelle/transfer/bank"
)

// BankOptions are what the pages on which persons connect their banks need.
type BankOptions struct {
	Banks    *banks.Banks                 // nil: no bank can be connected here
	Address  func(r *http.Request) string // of the person's device
	Operator string                       // the legal name of the operator who reads
}

// connection is a bank that a person has connected, as pages show it.
type connection struct {
	banks.Connection
	Name  string // of the bank
	Days  int    // left until they authenticate again
	Soon  bool   // those are few
	Ended bool
	Next  time.Time // of the next refresh that comes by itself; zero: none
}

// soonDays is how long before its end persons are told that they have to authenticate again.
const soonDays = 14

// profile is that of a bank; nil: it is not known any more.
func (w *Web) profile(id string) *atbank.Profile {
	for _, p := range w.opt.Bank.Banks.Profiles() {
		if p.ID == id {
			return &p
		}
	}
	return nil
}

func (w *Web) shown(c banks.Connection) connection {
	now := time.Now()
	s := connection{Connection: c, Name: c.Bank, Days: c.DaysLeft(now), Ended: c.State == banks.Declined || c.State == banks.Ending || c.State == banks.Disconnected}
	if p := w.profile(c.Bank); p != nil {
		s.Name = p.Name
	}
	s.Soon = c.State == banks.Connected && s.Days < soonDays
	if c.State == banks.Connected && c.Due.After(now) {
		s.Next = c.Due
	}
	s.Busy = c.Busy || c.State == banks.Connected && !c.Due.IsZero() && !c.Due.After(now) // it is about to be
	return s
}

// connections are those of a person, for the page of their accounts. Those that have ended are not worth a look.
func (w *Web) connections(ctx context.Context, person string) ([]connection, error) {
	if w.opt.Bank.Banks == nil {
		return nil, nil
	}
	all, err := w.opt.Bank.Banks.Of(ctx, person)
	var list []connection
	for _, c := range all {
		if s := w.shown(c); !s.Ended {
			list = append(list, s)
		}
	}
	return list, err
}

// connecting is what the page shows on which a bank is chosen, and then what it may be asked for.
type connecting struct {
	Query    string
	Banks    []atbank.Profile
	More     int // that were found and are not shown
	Bank     *atbank.Profile
	Operator string
	Periods  []period
	Trouble  banks.Trouble // why it did not work
	Nothing  bool          // nothing was ticked
}

// period is for how long a person can let a bank be read.
type period struct {
	Days  int
	Until time.Time
	On    bool
}

// periods are what is offered. Nobody may be let in for longer than 180 days without authenticating again (RTS 2018/389
// article 10a).
var periods = []int{30, 90, 180}

const (
	usualPeriod  = 90
	mostListed   = 50
	connectPlace = "/bank/connect"
)

// Choose shows the banks that can be connected; with ?bank= what that bank would be asked for.
func (w *Web) Choose(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	if w.opt.Bank.Banks == nil {
		w.Message(rw, r, v, http.StatusNotFound, "not-found")
		return
	}
	if id := r.URL.Query().Get("bank"); id != "" {
		w.wish(rw, r, v, id, connecting{}, http.StatusOK)
		return
	}
	page := connecting{Query: cut(r.URL.Query().Get("q"), maxSearch)}
	for _, p := range w.opt.Bank.Banks.Profiles() {
		if !matches(p, page.Query) {
			continue
		}
		if len(page.Banks) == mostListed {
			page.More++
			continue
		}
		page.Banks = append(page.Banks, p)
	}
	w.Render(rw, r, v, webui.Page{Template: "connect", Title: "connect.title", Section: "bank", Data: page})
}

func cut(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}

func matches(p atbank.Profile, query string) bool {
	for word := range strings.FieldsSeq(strings.ToLower(query)) {
		if !strings.Contains(strings.ToLower(p.Name+" "+p.BIC+" "+p.Country), word) {
			return false
		}
	}
	return true
}

// wish shows what one bank would be asked for.
func (w *Web) wish(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, id string, page connecting, status int) {
	p := w.profile(id)
	if p == nil {
		w.Message(rw, r, v, http.StatusNotFound, "not-found")
		return
	}
	page.Bank, page.Operator = p, w.opt.Bank.Operator
	for _, days := range periods {
		if most := p.Limits.SCADays; most == 0 || days <= most {
			page.Periods = append(page.Periods, period{days, time.Now().AddDate(0, 0, days), days == usualPeriod})
		}
	}
	if !slices.ContainsFunc(page.Periods, func(p period) bool { return p.On }) && len(page.Periods) > 0 {
		page.Periods[len(page.Periods)-1].On = true
	}
	w.Render(rw, r, v, webui.Page{Template: "wish", Title: "connect.wish", Section: "bank", Status: status, FormsTo: p.Places(), Data: page})
}

// presence is the evidence that the person asks.
func (w *Web) presence(r *http.Request, v *webui.Visitor) atbank.Presence {
	return atbank.Presence{Address: w.opt.Bank.Address(r), UserAgent: cut(r.UserAgent(), 500), Language: v.Language}
}

// Connect begins a connection: the person goes to their bank next.
func (w *Web) Connect(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	id, form := r.PostForm.Get("bank"), r.PostForm
	wish := banks.Wish{Person: v.Person, Bank: id, Information: []consent.Information{consent.AccountList}, PSU: cut(form.Get("psu"), 100)}
	for _, i := range []consent.Information{consent.Balances, consent.Transactions} {
		if form.Has(string(i)) {
			wish.Information = append(wish.Information, i)
		}
	}
	if len(wish.Information) == 1 {
		w.wish(rw, r, v, id, connecting{Nothing: true}, http.StatusUnprocessableEntity)
		return
	}
	days := usualPeriod
	for _, d := range periods {
		if form.Get("days") == strconv.Itoa(d) {
			days = d
		}
	}
	wish.Until = time.Now().AddDate(0, 0, days)
	purpose, err := w.Text(v.Language, "connect.purpose")
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	wish.Purpose = purpose
	step, err := w.opt.Bank.Banks.Connect(r.Context(), wish, w.presence(r, v))
	w.goes(rw, r, v, step, err, func(t banks.Trouble) { w.wish(rw, r, v, id, connecting{Trouble: t}, http.StatusBadGateway) })
}

// goes sends the person where they go next; failed shows a page on which the trouble is told.
func (w *Web) goes(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, step *banks.Step, err error, failed func(banks.Trouble)) {
	t, known := banks.TroubleOf(err)
	switch {
	case err == nil && step != nil && step.Go != "":
		http.Redirect(rw, r, step.Go, http.StatusSeeOther) // the client made sure that it is the bank's
	case err == nil && step != nil:
		w.Redirect(rw, r, "/bank/connections/"+step.Connection)
	case known:
		w.Warn(r, "a bank cannot be connected", err)
		failed(t)
	default:
		w.bankFault(rw, r, v, err)
	}
}

func (w *Web) bankFault(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, err error) {
	switch {
	case errors.Is(err, banks.ErrNotFound), errors.Is(err, banks.ErrNoBank):
		w.Message(rw, r, v, http.StatusNotFound, "not-found")
	case errors.Is(err, banks.ErrVisit):
		w.Message(rw, r, v, http.StatusBadRequest, "bank-answer")
	case errors.Is(err, banks.ErrState), errors.Is(err, banks.ErrBusy):
		w.Message(rw, r, v, http.StatusConflict, "bank-state")
	default:
		w.Fail(rw, r, v, err)
	}
}

// Back takes a person back from their bank.
func (w *Web) Back(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	c, step, err := w.opt.Bank.Banks.Back(r.Context(), v.Person, r.URL.Query(), w.presence(r, v))
	if err == nil && step == nil {
		step = &banks.Step{Connection: c.ID}
	}
	w.goes(rw, r, v, step, err, func(banks.Trouble) { w.Message(rw, r, v, http.StatusBadGateway, "bank-away") })
}
