// Package api is the interface of those who run a gateway: services are registered, suspended and invited here, and what a
// person allowed ends here when their instance is removed. It must
// never know how the caller was authenticated: that is handed in.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/internal/problem"
	"github.com/passerelle-cloud/passerelle/internal/strict"
)

// Admin administers. Each of its handlers is for administrators only: see [Admin.Only].
type Admin struct {
	Authority *consent.Authority
	// Allowed says whether a request comes from an administrator, and answers where it does not.
	Allowed func(http.ResponseWriter, *http.Request) bool
	// Invite makes a token with which so many services may register themselves until a time.
	Invite func(ctx context.Context, note string, services int, until time.Time) (string, error)
	Log    *slog.Logger
}

// maxBody is the greatest size of a request, in bytes.
const maxBody = 128 << 10

// service is a service as administrators see it.
type service struct {
	*consent.Service
	Suspended string     `json:"suspended,omitempty"` // why
	Frequency *frequency `json:"agreed_frequency,omitempty"`
	Created   time.Time  `json:"created"`
	Changed   time.Time  `json:"changed"`
}

func shown(s *consent.Service) service {
	of := service{s, s.Suspended, nil, s.Created, s.Changed}
	if s.Agreed.Runs > 0 {
		of.Frequency = &frequency{s.Agreed.Runs, s.Agreed.Where}
	}
	return of
}

// Only lets administrators in.
func (a *Admin) Only(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if a.Allowed(w, r) {
			do(w, r)
		}
	}
}

// PutService registers a service, or replaces its registration.
func (a *Admin) PutService(w http.ResponseWriter, r *http.Request) {
	body, ok := read(w, r)
	if !ok {
		return
	}
	s, err := consent.ParseService(body, true)
	if err == nil && s.ID != r.PathValue("id") {
		err = fmt.Errorf("%w: client_id is %q, and the path names %q", consent.ErrRequest, s.ID, r.PathValue("id"))
	}
	if err == nil {
		err = a.Authority.AddService(r.Context(), s)
	}
	if err != nil {
		a.fail(w, err)
		return
	}
	a.GetService(w, r)
}

// GetService returns a service.
func (a *Admin) GetService(w http.ResponseWriter, r *http.Request) {
	s, err := a.Authority.Service(r.Context(), r.PathValue("id"))
	if err != nil {
		a.fail(w, err)
		return
	}
	answer(w, shown(s))
}

// GetServices returns all services.
func (a *Admin) GetServices(w http.ResponseWriter, r *http.Request) {
	list, err := a.Authority.Services(r.Context())
	if err != nil {
		a.fail(w, err)
		return
	}
	all := struct {
		Services []service `json:"services"`
	}{[]service{}}
	for _, s := range list {
		all.Services = append(all.Services, shown(s))
	}
	answer(w, all)
}

// suspension is the body of PutSuspension.
type suspension struct {
	Reason string `json:"reason"`
}

// PutSuspension suspends a service. When it answers nothing flows to the service any more.
func (a *Admin) PutSuspension(w http.ResponseWriter, r *http.Request) {
	body, ok := read(w, r)
	if !ok {
		return
	}
	var s suspension
	err := strict.Decode(body, &s)
	if err == nil && (s.Reason == "" || len(s.Reason) > 1000 || !strict.IsLine(s.Reason)) {
		err = errors.New("reason is one line of 1 to 1000 bytes; the service is told")
	}
	if err != nil {
		a.fail(w, fmt.Errorf("%w: %w", consent.ErrRequest, err))
		return
	}
	a.suspend(w, r, s.Reason)
}

// DeleteSuspension lets a service go on.
func (a *Admin) DeleteSuspension(w http.ResponseWriter, r *http.Request) { a.suspend(w, r, "") }

func (a *Admin) suspend(w http.ResponseWriter, r *http.Request, reason string) {
	if err := a.Authority.Suspend(r.Context(), r.PathValue("id"), reason); err != nil {
		a.fail(w, err)
		return
	}
	a.GetService(w, r)
}

// frequency is the body of PutFrequency.
type frequency struct {
	Runs      int    `json:"runs"`
	Agreement string `json:"agreement"` // where it is written
}

// PutFrequency records that the operator, as a bank, agreed with a service on more runs a day without the person.
func (a *Admin) PutFrequency(w http.ResponseWriter, r *http.Request) {
	body, ok := read(w, r)
	if !ok {
		return
	}
	var f frequency
	err := strict.Decode(body, &f)
	if err == nil && f.Runs == 0 {
		err = errors.New("runs is missing; to end what was agreed on, DELETE it")
	}
	if err != nil {
		a.fail(w, fmt.Errorf("%w: %w", consent.ErrRequest, err))
		return
	}
	a.agree(w, r, consent.Agreed{Runs: f.Runs, Where: f.Agreement})
}

// DeleteFrequency ends what was agreed on.
func (a *Admin) DeleteFrequency(w http.ResponseWriter, r *http.Request) {
	a.agree(w, r, consent.Agreed{})
}

func (a *Admin) agree(w http.ResponseWriter, r *http.Request, to consent.Agreed) {
	if err := a.Authority.Agree(r.Context(), r.PathValue("id"), to); err != nil {
		a.fail(w, err)
		return
	}
	a.GetService(w, r)
}

// invitation is the body of PostInvitation.
type invitation struct {
	Note     string `json:"note"`
	Services int    `json:"services"` // how many may register
	Days     int    `json:"days"`     // for how long
}

// PostInvitation makes an initial access token (RFC 7591 section 3).
func (a *Admin) PostInvitation(w http.ResponseWriter, r *http.Request) {
	body, ok := read(w, r)
	if !ok {
		return
	}
	i := invitation{Services: 1, Days: 7}
	err := strict.Decode(body, &i)
	if err == nil && (i.Services < 1 || i.Services > 1000 || i.Days < 1 || i.Days > 366 || len(i.Note) > 1000) {
		err = errors.New("services is a number from 1 to 1000, days from 1 to 366, and note has at most 1000 bytes")
	}
	if err != nil {
		a.fail(w, fmt.Errorf("%w: %w", consent.ErrRequest, err))
		return
	}
	until := time.Now().AddDate(0, 0, i.Days).UTC().Truncate(time.Second)
	token, err := a.Invite(r.Context(), i.Note, i.Services, until)
	if err != nil {
		a.fail(w, err)
		return
	}
	answer(w, map[string]any{"initial_access_token": token, "expires": until})
}

// erased is the answer of Erase.
type erased struct {
	Ended    int       `json:"consents_ended"`
	Consents int       `json:"consents_deleted"`
	Requests int       `json:"requests_deleted"`
	Accesses int       `json:"accesses_deleted"`
	Leaf     int64     `json:"leaf"` // -1: none
	Hash     string    `json:"leaf_hash,omitempty"`
	Log      string    `json:"log,omitempty"`
	Until    time.Time `json:"until,omitzero"` // what proves the consents is kept so long
}

// Erase deletes what is kept of a person's decisions, and the key to their entries in the log.
func (a *Admin) Erase(w http.ResponseWriter, r *http.Request) {
	e, err := a.Authority.Erase(r.Context(), r.PathValue("name"))
	if err != nil {
		a.fail(w, err)
		return
	}
	shown := erased{e.Ended, e.Consents, e.Requests, e.Accesses, -1, "", "", e.Until}
	if e.Leaf != nil {
		entries, checkpoint, err := e.Leaf.Wait(r.Context())
		if err != nil {
			a.fail(w, err)
			return
		}
		shown.Leaf, shown.Hash, shown.Log = entries[0].Index, entries[0].Hash.String(), string(checkpoint.Note)
	}
	answer(w, shown)
}

// EndConsents ends all consents of a person, whose instance is about to be removed.
func (a *Admin) EndConsents(w http.ResponseWriter, r *http.Request) {
	n, err := a.Authority.EndAll(r.Context(), r.PathValue("name"), "the instance was removed")
	if err != nil {
		a.fail(w, err)
		return
	}
	answer(w, map[string]int{"ended": n})
}

func read(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		problem.Problem{Type: "too-large", Title: "The body is too large", Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("At most %d bytes.", maxBody)}.Write(w)
	}
	return body, err == nil
}

func answer(w http.ResponseWriter, what any) {
	text, err := json.Marshal(what)
	if err != nil {
		http.Error(w, "the answer cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(text, '\n')) // if the reader is gone there is nobody to tell
}

func (a *Admin) fail(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, consent.ErrRequest):
		problem.Problem{Type: "bad-request", Title: "The request is not understood", Status: http.StatusBadRequest, Detail: err.Error()}.Write(w)
	case errors.Is(err, consent.ErrNotFound):
		problem.Problem{Type: "not-found", Title: "There is no such service", Status: http.StatusNotFound, Detail: err.Error()}.Write(w)
	case errors.Is(err, consent.ErrTaken):
		problem.Problem{Type: "taken", Title: "The name is taken", Status: http.StatusConflict, Detail: err.Error()}.Write(w)
	case errors.Is(err, consent.ErrState):
		problem.Problem{Type: "state", Title: "It cannot follow from how things stand", Status: http.StatusConflict, Detail: err.Error()}.Write(w)
	default:
		a.Log.Error("administration failed", "error", err)
		problem.Problem{Type: "unavailable", Title: "It cannot be done now", Status: http.StatusServiceUnavailable, Detail: "Try again in a moment."}.Write(w)
	}
}
