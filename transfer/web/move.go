package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// MoveOptions are what the pages of moves need. All must be set.
type MoveOptions struct {
	Sender   *move.Sender
	Receiver *move.Receiver
	// Operators are those that are trusted here.
	Operators func() ([]Operator, error)
	// Ask asks an operator that the person may move here, and returns where they decide.
	Ask func(ctx context.Context, person, operator string) (string, error)
	// Arrive begins the move of somebody who comes back from there with a yes, and returns its id.
	Arrive func(ctx context.Context, query url.Values, person string) (string, error)
	// Waits reports whether an answer that comes back is to something that was not asked on a page: nobody is signed in then.
	Waits func(query url.Values) bool
}

// Operator is another operator, as people know it.
type Operator struct {
	ID, Name, URL string
}

// Errors of [MoveOptions] that people can do something about.
var (
	ErrDeclined = errors.New("the person, or the other operator, said no")
	ErrStranger = errors.New("the other operator does not know this one")
	ErrAnswer   = errors.New("this answers nothing that was asked here")
)

// moves is what the page shows.
type moves struct {
	Operators []Operator
	Chosen    string
	Arriving  []arriving
	Leaving   []leaving
	Busy      bool   // one is under way
	Fault     string // a text "move.fault-WHAT"
}

// arriving is a move to here.
type arriving struct {
	move.Arriving
	From  string // what the other operator is called
	Stops bool   // it can be stopped
	Rests bool   // it can be paused
	Left  string // how long the step takes still
	Rate  string // bytes a second, as text
	Part  int    // of a hundred
	Gaps  []*transfer.OmissionGroup
	// Declarable says that the operator whom they leave has been silent for so long that it can be declared gone.
	Declarable bool
}

// leaving is a move from here.
type leaving struct {
	move.Leaving
	To  string
	URL string
}

// Moves shows what a person can do to come here with everything, or to leave.
func (w *Web) Moves(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	w.moves(rw, r, v, moves{Chosen: r.URL.Query().Get("from")}, http.StatusOK)
}

func (w *Web) moves(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, page moves, status int) {
	if err := w.gather(r.Context(), v, &page); err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	var to []string // browsers hold a form that leads elsewhere against this list
	for _, o := range page.Operators {
		to = append(to, o.URL)
	}
	w.Render(rw, r, v, webui.Page{Template: "move", Title: "move.title", Section: "move", Status: status, FormsTo: to, Data: page})
}

func (w *Web) gather(ctx context.Context, v *webui.Visitor, page *moves) (err error) {
	if page.Operators, err = w.move.Operators(); err != nil {
		return err
	}
	to, err := w.move.Receiver.List(ctx, v.Person)
	if err != nil {
		return err
	}
	for i := range to {
		page.Arriving = append(page.Arriving, w.arriving(v, page.Operators, to[i]))
		page.Busy = page.Busy || !to[i].Ended()
	}
	from, err := w.move.Sender.List(ctx, v.Person)
	for i := range from {
		o := named(page.Operators, from[i].Peer)
		page.Leaving = append(page.Leaving, leaving{from[i], o.Name, o.URL})
		page.Busy = page.Busy || !from[i].Ended()
	}
	return err
}

// named is an operator with its name, or else with its id.
func named(list []Operator, id string) Operator {
	if at := slices.IndexFunc(list, func(o Operator) bool { return o.ID == id }); at >= 0 {
		return list[at]
	}
	return Operator{ID: id, Name: id}
}

func (w *Web) arriving(v *webui.Visitor, operators []Operator, m move.Arriving) arriving {
	a := arriving{Arriving: m, From: named(operators, m.Peer).Name, Gaps: transfer.Omissions(append(slices.Clone(m.Refused), m.Omitted...))}
	a.Stops = !m.Ended() && !m.Stopping
	a.Rests = a.Stops && m.Stage != move.Fenced && m.Stage != move.Accepted
	p, now := m.Progress, time.Now()
	a.Declarable = !m.Overridable.IsZero() && !now.Before(m.Overridable)
	if p.TotalBytes > 0 {
		a.Part = int(min(100, 100*p.Bytes/p.TotalBytes))
	} else if p.TotalRecords > 0 {
		a.Part = int(min(100, 100*p.Records/p.TotalRecords))
	}
	if took := now.Sub(p.Began); p.Bytes > 0 && took > time.Second {
		a.Rate = w.Size(v.Language, int64(float64(p.Bytes)/took.Seconds()))
	}
	a.Left = w.left(v.Language, p.Left(now))
	return a
}

// left says in words how long something takes still.
func (w *Web) left(language string, d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Minute:
		return w.Count(language, "move.left-seconds", int(d.Seconds())+1)
	case d < 2*time.Hour:
		return w.Count(language, "move.left-minutes", int(d.Minutes())+1)
	}
	return w.Count(language, "move.left-hours", int(d.Hours())+1)
}

// Bring sends a person to the operator whom they leave, to say yes there.
func (w *Web) Bring(rw http.ResponseWriter, r *http.Request) {
	if !w.Form(rw, r) {
		return
	}
	r.PostForm.Set("back", "/move")
	v, ok := w.Proven(rw, r, "", freshAsk)
	if !ok {
		return
	}
	operator := r.PostForm.Get("operator")
	at, err := w.move.Ask(r.Context(), v.Person, operator)
	if err != nil {
		w.Warn(r, "a person cannot be sent to another operator", err)
		fault := "unreachable"
		if errors.Is(err, ErrStranger) {
			fault = "stranger"
		} else if errors.Is(err, move.ErrOpen) {
			fault = "open"
		}
		w.moves(rw, r, v, moves{Chosen: operator, Fault: fault}, http.StatusConflict)
		return
	}
	w.Redirect(rw, r, at)
}

// Callback takes a person back from the operator whom they leave, and begins.
func (w *Web) Callback(rw http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	v := &webui.Visitor{Language: w.Language(r, "")}
	if !w.move.Waits(query) {
		var ok bool
		if v, ok = w.Visitor(rw, r, ""); !ok {
			return
		}
	}
	id, err := w.move.Arrive(r.Context(), query, v.Person)
	switch {
	case err == nil && v.Person == "":
		w.Message(rw, r, v, http.StatusOK, "move-begun")
	case err == nil:
		w.Redirect(rw, r, "/move/"+id)
	case errors.Is(err, ErrDeclined):
		w.Message(rw, r, v, http.StatusOK, "move-declined")
	case errors.Is(err, ErrAnswer):
		w.Message(rw, r, v, http.StatusBadRequest, "move-answer")
	case errors.Is(err, move.ErrOpen):
		w.Message(rw, r, v, http.StatusConflict, "move-open")
	case errors.Is(err, move.ErrRoom):
		w.Message(rw, r, v, http.StatusConflict, "move-room")
	default:
		w.Fail(rw, r, v, err)
	}
}

// moving is what the page of one move shows.
type moving struct {
	arriving
	Steps []stepping
	Live  bool // it is kept up to date
}

// stepping is one of the steps of a move.
type stepping struct {
	Name  string // a text "move.step-NAME"
	State string // "done", "now", "later"
}

// steps are those that people are told of, and until which stage each lasts.
var steps = []struct {
	name  string
	until []move.Stage
}{
	{"copy", []move.Stage{move.Planned}},
	{"check", []move.Stage{move.Copied}},
	{"follow", []move.Stage{move.CaughtUp}},
	{"switch", []move.Stage{move.Fenced, move.Accepted}},
	{"here", nil},
}

// stepsOf says which steps are done.
func stepsOf(m move.Arriving) (list []stepping) {
	state := "done"
	for _, s := range steps {
		one := stepping{s.name, state}
		switch {
		case slices.Contains(s.until, m.Stage), s.until == nil && m.Stage == move.Activated && !m.Done:
			one.State, state = "now", "later"
		case s.until == nil && m.Stage == move.Activated:
			one.State = "done"
		case s.until == nil:
			one.State = "later"
		}
		list = append(list, one)
	}
	return list
}

func (w *Web) moving(ctx context.Context, v *webui.Visitor, id string) (moving, error) {
	m, err := w.move.Receiver.Get(ctx, v.Person, id)
	if err != nil {
		return moving{}, err
	}
	operators, err := w.move.Operators()
	p := moving{arriving: w.arriving(v, operators, m), Live: m.Stage != move.Aborted && !m.Done && !m.Paused}
	if m.Stage != move.Aborted && (m.Declared == nil || m.Receipt != nil) { // both sign, as the steps say
		p.Steps = stepsOf(m)
	}
	return p, err
}

// Move shows how far a move to here is.
func (w *Web) Move(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	p, err := w.moving(r.Context(), v, r.PathValue("id"))
	if err != nil {
		w.moveFault(rw, r, v, err)
		return
	}
	w.Render(rw, r, v, webui.Page{Template: "moving", Title: "move.moving", Section: "move", Script: "move", Live: true, Data: p})
}

func (w *Web) moveFault(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, err error) {
	switch {
	case errors.Is(err, move.ErrNotFound):
		w.Message(rw, r, v, http.StatusNotFound, "not-found")
	case errors.Is(err, move.ErrTooLate), errors.Is(err, move.ErrEnded), errors.Is(err, move.ErrOrder):
		w.Message(rw, r, v, http.StatusConflict, "move-too-late")
	default:
		w.Fail(rw, r, v, err)
	}
}

// How often it is looked how far a move is, and for how long one connection is told. A browser comes back by itself.
const (
	tellEvery = time.Second
	tellFor   = 10 * time.Minute
)

// Events tells how far a move is, as it goes (server-sent events): a page's section each time that something has changed.
func (w *Web) Events(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	w.stream(rw, r, func(ctx context.Context) (shown, error) {
		p, err := w.moving(ctx, v, r.PathValue("id"))
		if err != nil {
			return shown{}, err
		}
		text, err := w.Fragment("state", v.Language, p)
		return shown{text, w.spoken(v.Language, p), p.Live}, err
	})
}

// spoken is what is read out of a move: its step, not each number.
func (w *Web) spoken(language string, p moving) string {
	for _, s := range p.Steps {
		if s.State == "now" {
			text, err := w.Text(language, "move.step-"+s.Name)
			if err == nil {
				return text
			}
		}
	}
	return ""
}

func event(rw http.ResponseWriter, name, text string) {
	line, err := json.Marshal(text)
	if err == nil {
		fmt.Fprintf(rw, "event: %s\ndata: %s\n\n", name, line) // if the reader is gone there is nobody to tell
	}
}

// ask has something done with a move to here, and goes back to its page.
func (w *Web) ask(rw http.ResponseWriter, r *http.Request, do func(ctx context.Context, person, id string) error) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	if err := do(r.Context(), v.Person, r.PathValue("id")); err != nil {
		w.moveFault(rw, r, v, err)
		return
	}
	w.Redirect(rw, r, "/move/"+r.PathValue("id"))
}

// Pause has a move wait.
func (w *Web) Pause(rw http.ResponseWriter, r *http.Request) { w.ask(rw, r, w.move.Receiver.Pause) }

// Resume lets it go on.
func (w *Web) Resume(rw http.ResponseWriter, r *http.Request) { w.ask(rw, r, w.move.Receiver.Resume) }

// Stop ends it: the person stays where they were.
func (w *Web) Stop(rw http.ResponseWriter, r *http.Request) { w.ask(rw, r, w.move.Receiver.Stop) }

// Stay ends a move from here before it has happened.
func (w *Web) Stay(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	if err := w.move.Sender.Stop(r.Context(), v.Person, r.PathValue("id"), "the person stays"); err != nil {
		w.moveFault(rw, r, v, err)
		return
	}
	w.Redirect(rw, r, "/move")
}

// Kept gives what both operators signed, for the person to keep: at the one whom they came to, or left.
func (w *Web) Kept(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	receipt, err := w.receipt(r.Context(), v.Person, r.PathValue("id"))
	if err != nil {
		w.moveFault(rw, r, v, err)
		return
	}
	text, err := json.MarshalIndent(receipt, "", "  ")
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	webui.Protect(rw.Header())
	rw.Header().Set("Content-Type", "application/jose+json")
	rw.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": "move-" + r.PathValue("id") + ".json"}))
	rw.Write(append(text, '\n')) // if the reader is gone there is nobody to tell
}

func (w *Web) receipt(ctx context.Context, person, id string) (*move.Receipt, error) {
	to, err := w.move.Receiver.Get(ctx, person, id)
	if err == nil && to.Receipt != nil {
		return to.Receipt, nil
	}
	if err != nil && !errors.Is(err, move.ErrNotFound) {
		return nil, err
	}
	from, err := w.move.Sender.List(ctx, person)
	if err != nil {
		return nil, err
	}
	for _, m := range from {
		if m.ID == id && m.Receipt != nil {
			return m.Receipt, nil
		}
	}
	return nil, move.ErrNotFound
}
