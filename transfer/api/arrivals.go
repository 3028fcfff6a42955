package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/problem"
	"github.com/passerelle-cloud/passerelle/internal/strict"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// Arrivals is how those who run a gateway bring persons here, for those who do not do it on the pages.
type Arrivals struct {
	Receiver *move.Receiver
	// Ask asks an operator that a person may move here, and returns where they decide.
	Ask func(ctx context.Context, person, operator string) (string, error)
	// Allowed says whether a request comes from an administrator, and answers where it does not.
	Allowed func(http.ResponseWriter, *http.Request) bool
	Log     *slog.Logger
}

// Arriving is a move to here, as administrators see it.
type Arriving struct {
	ID       string        `json:"id"`
	Person   string        `json:"person"`
	Operator string        `json:"operator"` // whom they leave
	Stage    move.Stage    `json:"stage"`
	Begun    time.Time     `json:"begun"`
	Changed  time.Time     `json:"changed"`
	Progress move.Progress `json:"progress"`
	Total    formats.Count `json:"total"` // what the source said at the beginning
	Paused   bool          `json:"paused"`
	Stopping bool          `json:"stopping"`
	Done     bool          `json:"done"` // also what is to be cleared up
	Trouble  move.Trouble  `json:"trouble,omitempty"`
	Next     time.Time     `json:"next_try,omitzero"` // where there is trouble, and it is tried again by itself
	Why      string        `json:"why,omitempty"`     // it was aborted
	Held     move.Tally    `json:"held,omitempty"`
	// Refused is what could not be held here, Omitted what the source left out.
	Refused []formats.Omission `json:"refused,omitempty"`
	Omitted []formats.Omission `json:"omitted,omitempty"`
	Receipt *move.Receipt      `json:"receipt,omitempty"`
}

func shownArrival(m move.Arriving) Arriving {
	next := m.Due
	if m.Trouble == "" {
		next = time.Time{}
	}
	return Arriving{ID: m.ID, Person: m.Person, Operator: m.Peer, Stage: m.Stage, Begun: m.Begun, Changed: m.Changed, Progress: m.Progress, Total: m.Plan.Total, Paused: m.Paused,
		Stopping: m.Stopping, Done: m.Done, Trouble: m.Trouble, Next: next, Why: m.Why, Held: m.Held, Refused: m.Refused, Omitted: m.Omitted, Receipt: m.Receipt}
}

// Only lets administrators in.
func (a *Arrivals) Only(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if a.Allowed(w, r) {
			do(w, r)
		}
	}
}

// Post asks another operator that a person may move here. The answer is where the person decides, within an hour.
func (a *Arrivals) Post(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Person   string `json:"person"`
		Operator string `json:"operator"`
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err == nil {
		err = strict.Decode(text, &asked)
	}
	if err != nil {
		problem.Problem{Type: "bad-request", Title: "The request is not understood", Status: http.StatusBadRequest, Detail: err.Error()}.Write(w)
		return
	}
	at, err := a.Ask(r.Context(), asked.Person, asked.Operator)
	a.answer(w, map[string]string{"url": at}, err)
}

// List lists the moves of a person to here, the last one first.
func (a *Arrivals) List(w http.ResponseWriter, r *http.Request) {
	all, err := a.Receiver.List(r.Context(), r.URL.Query().Get("person"))
	list := []Arriving{}
	for _, m := range all {
		list = append(list, shownArrival(m))
	}
	a.answer(w, list, err)
}

// Change pauses a move, lets it go on, or stops it.
func (a *Arrivals) Change(do func(ctx context.Context, person, id string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		person, id := r.URL.Query().Get("person"), r.PathValue("id")
		if err := do(r.Context(), person, id); err != nil {
			a.answer(w, nil, err)
			return
		}
		m, err := a.Receiver.Get(r.Context(), person, id)
		a.answer(w, shownArrival(m), err)
	}
}

func (a *Arrivals) answer(w http.ResponseWriter, what any, err error) {
	if err != nil {
		a.problemOf(err).Write(w)
		return
	}
	text, err := json.Marshal(what)
	if err != nil {
		a.problemOf(err).Write(w)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	w.Write(append(text, '\n')) // if the reader is gone there is nobody to tell
}

func (a *Arrivals) problemOf(err error) problem.Problem {
	for name, known := range move.Problems() {
		if errors.Is(err, known) {
			return problem.Problem{Type: name, Title: "The move cannot go on like that", Status: http.StatusConflict, Detail: err.Error()}
		}
	}
	switch {
	case errors.Is(err, move.ErrNotFound):
		return problem.Problem{Type: "not-found", Title: "There is no such move", Status: http.StatusNotFound, Detail: err.Error()}
	case errors.Is(err, statement.ErrUnknown):
		return problem.Problem{Type: "operator-unknown", Title: "The operator is not trusted here", Status: http.StatusConflict, Detail: err.Error()}
	case errors.Is(err, formats.ErrInvalid):
		return problem.Problem{Type: "bad-request", Title: "The request is not understood", Status: http.StatusBadRequest, Detail: err.Error()}
	}
	a.Log.Error("a move cannot be administered", "error", err)
	return problem.Problem{Type: "unavailable", Title: "It cannot be done now", Status: http.StatusServiceUnavailable, Detail: err.Error()}
}
