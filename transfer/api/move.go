package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/statement"
	"github.com/passerelle-cloud/passerelle/internal/problem"
	"github.com/passerelle-cloud/passerelle/internal/strict"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// Moves is what an operator to whom a person moves asks of the one whom they leave, with the person's authorisation.
type Moves struct {
	*API
	Sender *move.Sender
}

const (
	maxMove  = 9 << 20          // bytes of a message
	packWait = 15 * time.Second // for an archive, before it is said that it is not ready
	packPoll = 25 * time.Millisecond
)

// moving is a request of a destination.
type moving struct {
	*reading
	move.Authorisation
	id string
}

// authorised finds out whose move a request is about, or answers why there is none.
func (m Moves) authorised(w http.ResponseWriter, r *http.Request) (*moving, bool) {
	w.Header().Set("Cache-Control", "private, no-store")
	c, err := m.opt.Caller(r)
	if err != nil {
		m.opt.Denied(w, r, err)
		return nil, false
	}
	q := &moving{reading: &reading{API: m.API, w: w, r: r, consent: c}, id: r.PathValue("id"),
		Authorisation: move.Authorisation{Consent: c.ID, Person: c.Person, Destination: c.Service, Until: c.Expires, Given: c.Created, Prolonged: c.State == consent.Renewed}}
	if !slices.ContainsFunc(c.Details, func(d consent.Detail) bool { return d.Type == consent.InstanceMove && d.Destination == c.Service }) {
		q.fail(consent.ErrDenied)
		return nil, false
	}
	return q, true
}

// message reads a body, or answers what is wrong with it.
func (q *moving) message(into any) bool {
	text, err := io.ReadAll(http.MaxBytesReader(q.w, q.r.Body, maxMove))
	if err == nil {
		err = strict.Decode(text, into)
	}
	if err != nil {
		q.bad(err.Error())
	}
	return err == nil
}

// answer answers with a message, or says why there is none.
func (m Moves) answer(w http.ResponseWriter, message any, err error) {
	if err != nil {
		m.moveProblem(err).Write(w)
		return
	}
	text, err := json.Marshal(message)
	if err != nil {
		m.moveProblem(err).Write(w)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	w.Write(append(text, '\n')) // if the reader is gone there is nobody to tell
}

func (m Moves) moveProblem(err error) problem.Problem {
	for name, known := range move.Problems() {
		if errors.Is(err, known) {
			return problem.Problem{Type: name, Title: "The move cannot go on like that", Status: http.StatusConflict, Detail: err.Error()}
		}
	}
	switch {
	case errors.Is(err, move.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return problem.Problem{Type: "not-found", Title: "There is no such move", Status: http.StatusNotFound, Detail: "There is no such move, or it is not yours."}
	case errors.Is(err, statement.ErrUnknown):
		return problem.Problem{Type: "operator-unknown", Title: "The operator is not trusted here", Status: http.StatusForbidden, Detail: err.Error()}
	case errors.Is(err, operators.ErrNotFound):
		return problem.Problem{Type: "gone", Title: "The instance is not here any more", Status: http.StatusGone, Detail: "The person has left this operator."}
	}
	m.opt.Log.Error("a move does not go on", "error", err)
	if move.Full(err) {
		return problem.Problem{Type: "no-space", Title: "There is no room left here", Status: http.StatusInsufficientStorage, Detail: "Those who run this gateway have to make some. It can be asked for again."}
	}
	return problem.Problem{Type: "unavailable", Title: "It cannot be done now", Status: http.StatusServiceUnavailable, Detail: "Try again in a moment."}
}

// Begin begins a move, or finds the one that is under way.
func (m Moves) Begin(w http.ResponseWriter, r *http.Request) {
	q, ok := m.authorised(w, r)
	if !ok || !q.message(&struct{}{}) {
		return
	}
	plan, err := m.Sender.Begin(r.Context(), q.Authorisation)
	m.answer(w, plan, err)
}

// Archive says how far an archive is, and has it made if it was not asked for before. It answers as soon as it is ready, or
// after a while.
func (m Moves) Archive(w http.ResponseWriter, r *http.Request) {
	q, ok := m.authorised(w, r)
	var message struct {
		Whole bool `json:"whole"`
	}
	if !ok || !q.message(&message) {
		return
	}
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || message.Whole && n != 0 {
		q.bad("archives have numbers, from 0; number 0 alone can be asked for whole.")
		return
	}
	if message.Whole {
		if err := m.Sender.Whole(r.Context(), q.Authorisation, q.id); err != nil {
			m.answer(w, nil, err)
			return
		}
	}
	packed, err := m.packed(r.Context(), q, n)
	m.answer(w, packed, err)
}

func (m Moves) packed(ctx context.Context, q *moving, n int) (move.Packed, error) {
	ctx, stop := context.WithTimeout(ctx, packWait)
	defer stop()
	for {
		p, err := m.Sender.Pack(ctx, q.Authorisation, q.id, n)
		switch {
		case err != nil && ctx.Err() != nil && q.r.Context().Err() == nil:
			return move.Packed{Sequence: n}, nil // the time was over while it was looked
		case err != nil || p.Ready || p.Ails != "":
			return p, err
		}
		select {
		case <-ctx.Done():
			return p, nil
		case <-time.After(packPoll):
		}
	}
}

// File sends a file of an archive, or ranges of it. Each is an access that is logged before a byte moves, and cut where the
// authorisation ends meanwhile.
func (m Moves) File(w http.ResponseWriter, r *http.Request) {
	q, ok := m.authorised(w, r)
	if !ok {
		return
	}
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil {
		q.bad("archives have numbers, from 0.")
		return
	}
	f, err := m.Sender.Open(r.Context(), q.Authorisation, q.id, n, r.PathValue("file"))
	if err != nil {
		m.moveProblem(err).Write(w)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		m.moveProblem(err).Write(w)
		return
	}
	out, _, ok := q.permit(consent.Carry)
	if !ok {
		return
	}
	defer out.settle()
	w.Header().Set("Content-Type", "application/octet-stream")
	seen := &outcome{flow: out}
	http.ServeContent(seen, r, "", info.ModTime(), f)
	out.end(seen.err)
}

// Blobs lists the blobs of the instance, a page at a time. Each is an access as that of a file is.
func (m Moves) Blobs(w http.ResponseWriter, r *http.Request) {
	q, ok := m.authorised(w, r)
	if !ok {
		return
	}
	var after formats.Hash
	if text := r.URL.Query().Get("after"); text != "" {
		if err := after.UnmarshalText([]byte(text)); err != nil {
			q.bad("after: " + err.Error())
			return
		}
	}
	page, err := m.Sender.Blobs(r.Context(), q.Authorisation, q.id, after)
	if err != nil {
		m.answer(w, nil, err)
		return
	}
	text, err := json.Marshal(page)
	if err != nil {
		m.answer(w, nil, err)
		return
	}
	out, _, ok := q.permit(consent.Carry)
	if !ok {
		return
	}
	defer out.settle()
	w.Header().Set("Content-Type", typeJSON)
	_, err = out.Write(append(text, '\n'))
	out.end(err)
}

// Parcel sends the bytes of some blobs. Each is an access as that of a file is.
func (m Moves) Parcel(w http.ResponseWriter, r *http.Request) {
	q, ok := m.authorised(w, r)
	if !ok {
		return
	}
	var wanted move.Wanted
	if !q.message(&wanted) {
		return
	}
	if err := wanted.Check(); err != nil {
		q.bad(err.Error())
		return
	}
	parcel, err := m.Sender.Parcel(r.Context(), q.Authorisation, q.id, wanted)
	if err != nil {
		m.answer(w, nil, err)
		return
	}
	defer parcel.Close()
	out, _, ok := q.permit(consent.Carry)
	if !ok {
		return
	}
	defer out.settle()
	w.Header().Set("Content-Type", "application/octet-stream")
	out.end(parcel.Send(r.Context(), out))
}

// Spare takes which of these blobs the destination holds already.
func (m Moves) Spare(w http.ResponseWriter, r *http.Request) {
	q, ok := m.authorised(w, r)
	if !ok {
		return
	}
	var message struct {
		Held []formats.Hash `json:"held"`
	}
	if !q.message(&message) {
		return
	}
	if len(message.Held) > move.MostListed {
		q.bad("held: at most " + strconv.Itoa(move.MostListed) + " at once.")
		return
	}
	m.answer(w, struct{}{}, m.Sender.Spare(r.Context(), q.Authorisation, q.id, message.Held))
}

// Fence makes the instance read-only, and says at which state it stands.
func (m Moves) Fence(w http.ResponseWriter, r *http.Request) {
	q, ok := m.authorised(w, r)
	if !ok {
		return
	}
	var message struct {
		Epoch int `json:"epoch"`
	}
	if !q.message(&message) {
		return
	}
	at, err := m.Sender.Fence(r.Context(), q.Authorisation, q.id, message.Epoch)
	m.answer(w, at, err)
}

// Follows says what follows the person besides the instance, while that is fenced: their consents.
func (m Moves) Follows(w http.ResponseWriter, r *http.Request) {
	q, ok := m.authorised(w, r)
	if !ok {
		return
	}
	text, err := m.Sender.Follows(r.Context(), q.Authorisation, q.id)
	m.answer(w, text, err)
}

// Accept takes what the destination signs, and answers with the receipt: this operator has retired then, and nothing flows
// any more on the consents that followed.
func (m Moves) Accept(w http.ResponseWriter, r *http.Request) {
	q, ok := m.authorised(w, r)
	if !ok {
		return
	}
	var message struct {
		Acceptance string `json:"acceptance"`
	}
	if !q.message(&message) {
		return
	}
	receipt, err := m.Sender.Commit(r.Context(), q.Authorisation, q.id, message.Acceptance)
	if err == nil {
		err = m.opt.Authority.Quiet(r.Context(), q.Person, q.id)
	}
	m.answer(w, receipt, err)
}

// Abort ends a move before it has happened.
func (m Moves) Abort(w http.ResponseWriter, r *http.Request) {
	q, ok := m.authorised(w, r)
	if !ok {
		return
	}
	var message struct {
		Why string `json:"why"`
	}
	if !q.message(&message) {
		return
	}
	if len(message.Why) > 1000 {
		message.Why = message.Why[:1000]
	}
	m.answer(w, struct{}{}, m.Sender.Abort(r.Context(), q.Authorisation, q.id, message.Why))
}

// Standing says, signed, how a move stands, to whoever knows its id.
func (m Moves) Standing(w http.ResponseWriter, r *http.Request) {
	compact, err := m.Sender.Say(r.Context(), r.PathValue("id"))
	if err != nil {
		m.answer(w, nil, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/jose")
	io.WriteString(w, compact) // if the reader is gone there is nobody to tell
}

// Receipt gives what both operators signed, to whoever knows the move's id, from its commit on.
func (m Moves) Receipt(w http.ResponseWriter, r *http.Request) {
	receipt, err := m.Sender.Receipt(r.Context(), r.PathValue("id"))
	m.answer(w, receipt, err)
}

// Certificate gives what says, signed, that the instance was erased after the move, to whoever knows the move's id.
func (m Moves) Certificate(w http.ResponseWriter, r *http.Request) {
	compact, err := m.Sender.Certificate(r.Context(), r.PathValue("id"))
	if err != nil {
		m.answer(w, nil, err)
		return
	}
	w.Header().Set("Content-Type", "application/jose")
	io.WriteString(w, compact) // if the reader is gone there is nobody to tell
}
