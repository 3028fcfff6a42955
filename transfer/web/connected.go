package web

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/webui"
	banks "github.com/passerelle-cloud/passerelle/transfer/bank"
)

// connected is what the page of one connection shows.
type connected struct {
	connection
	Failed banks.Trouble // what was just tried
	Live   bool          // something goes on
	Offers bool          // to authenticate again
}

// waits reports whether the bank is to be asked how far the person is.
func (p *connected) waits() bool {
	return len(p.Methods) == 0 && (p.State == banks.Waiting || p.Pending)
}

func (w *Web) connected(ctx context.Context, person, id string) (connected, error) {
	c, err := w.opt.Bank.Banks.Connection(ctx, person, id)
	if err != nil {
		return connected{}, err
	}
	page := connected{connection: w.shown(*c)}
	page.Live = page.Busy || c.State == banks.Waiting || c.Pending && len(c.Methods) == 0
	page.Offers = !page.Ended
	return page, nil
}

// Connection shows how a connection with a bank stands.
func (w *Web) Connection(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	w.connectionPage(rw, r, v, banks.None, http.StatusOK)
}

func (w *Web) connectionPage(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, t banks.Trouble, status int) {
	id := r.PathValue("id")
	page, err := w.connected(r.Context(), v.Person, id)
	if err == nil && page.waits() {
		page, err = w.look(r, v, page)
	}
	if err != nil {
		w.bankFault(rw, r, v, err)
		return
	}
	page.Failed = t
	var to []string
	if p := w.profile(page.Bank); p != nil {
		to = p.Places()
	}
	w.Render(rw, r, v, webui.Page{Template: "connection", Title: "connection.title", Section: "bank", Status: status, Script: "connection", Live: true, FormsTo: to, Data: page})
}

// look asks the bank how far somebody is who authenticates in its app. What it cannot say now it says later.
func (w *Web) look(r *http.Request, v *webui.Visitor, page connected) (connected, error) {
	_, err := w.opt.Bank.Banks.Look(r.Context(), v.Person, page.ID, w.presence(r, v))
	if _, known := banks.TroubleOf(err); known && err != nil || errors.Is(err, banks.ErrState) {
		return page, nil
	}
	if err != nil {
		return page, err
	}
	return w.connected(r.Context(), v.Person, page.ID)
}

// lookEach is how many times an event is told between two looks at the bank, which has others to answer.
const lookEach = 3

// ConnectionEvents tells how far a refresh is, as it goes (server-sent events).
func (w *Web) ConnectionEvents(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // what proxies hold back comes late
	out := http.NewResponseController(rw)
	clock := time.NewTicker(tellEvery)
	defer clock.Stop()
	end := time.After(tellFor)
	var last []byte
	for n := 0; ; n++ {
		page, err := w.connected(r.Context(), v.Person, r.PathValue("id"))
		if err == nil && page.waits() && n%lookEach == lookEach-1 {
			page, err = w.look(r, v, page) // in the bank's app, say
		}
		if err != nil {
			return // the browser asks again, and is told then
		}
		text, err := w.Fragment("connected", v.Language, page)
		if err != nil {
			return
		}
		if !bytes.Equal(text, last) {
			last = text
			event(rw, "state", string(text))
		}
		if !page.Live {
			event(rw, "end", "")
		}
		if err := out.Flush(); err != nil || !page.Live {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-end:
			return
		case <-clock.C:
		}
	}
}

// at has something done with a connection of the person who asks, and goes back to its page.
func (w *Web) at(rw http.ResponseWriter, r *http.Request, do func(v *webui.Visitor, id string) (*banks.Step, error)) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	step, err := do(v, r.PathValue("id"))
	if step == nil {
		step = &banks.Step{Connection: r.PathValue("id")}
	}
	w.goes(rw, r, v, step, err, func(t banks.Trouble) { w.connectionPage(rw, r, v, t, http.StatusBadGateway) })
}

// Accounts takes which accounts are to be read.
func (w *Web) Accounts(rw http.ResponseWriter, r *http.Request) {
	w.at(rw, r, func(v *webui.Visitor, id string) (*banks.Step, error) {
		return nil, w.opt.Bank.Banks.Choose(r.Context(), v.Person, id, r.PostForm["account"])
	})
}

// Refresh reads at the bank now.
func (w *Web) Refresh(rw http.ResponseWriter, r *http.Request) {
	w.at(rw, r, func(v *webui.Visitor, id string) (*banks.Step, error) {
		err := w.opt.Bank.Banks.Ask(r.Context(), v.Person, id, w.presence(r, v))
		if errors.Is(err, banks.ErrBusy) {
			err = nil // it is what they want
		}
		return nil, err
	})
}

// Again sends the person to their bank, to authenticate again.
func (w *Web) Again(rw http.ResponseWriter, r *http.Request) {
	w.at(rw, r, func(v *webui.Visitor, id string) (*banks.Step, error) {
		return w.opt.Bank.Banks.Again(r.Context(), v.Person, id, time.Now().AddDate(0, 0, usualPeriod), w.presence(r, v))
	})
}

// Method tells the bank by which of its methods they authenticate.
func (w *Web) Method(rw http.ResponseWriter, r *http.Request) {
	w.at(rw, r, func(v *webui.Visitor, id string) (*banks.Step, error) {
		return w.opt.Bank.Banks.Method(r.Context(), v.Person, id, cut(r.PostForm.Get("method"), 200), w.presence(r, v))
	})
}

// Disconnect ends a connection, here and at the bank.
func (w *Web) Disconnect(rw http.ResponseWriter, r *http.Request) {
	w.at(rw, r, func(v *webui.Visitor, id string) (*banks.Step, error) {
		return nil, w.opt.Bank.Banks.Disconnect(r.Context(), v.Person, id)
	})
}
