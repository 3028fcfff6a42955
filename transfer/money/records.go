package money

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/formats/reconcile"
	"github.com/passerelle-cloud/passerelle/operators"
)

// The relations of a match and an alert. Which records it is about is in its links and nowhere else, since ids can change where an
// archive is loaded, and links follow.
const (
	relBill      = "bill"
	relOperation = "operation"
	relSameAs    = "same-as"
)

// The states of a match.
const (
	stateLinked   = "linked"
	stateProposed = "proposed"
	stateRejected = "rejected"
)

// The states of an alert.
const (
	alertOpen      = "open"
	alertDismissed = "dismissed"
	alertSettled   = "settled"
)

// place is what a match is about.
type place struct {
	Bill      reconcile.Ref
	Operation string
	Role      reconcile.Role
}

func (p place) compare(other place) int {
	return cmp.Or(cmp.Compare(p.Bill.Dataset, other.Bill.Dataset), cmp.Compare(p.Bill.ID, other.Bill.ID), cmp.Compare(p.Role, other.Role), cmp.Compare(p.Operation, other.Operation))
}

// id is that of the record of a match that is new.
func (p place) id() string {
	sum := sha256.Sum256([]byte("match\n" + string(p.Bill.Dataset) + "\n" + p.Bill.ID + "\n" + string(p.Role) + "\n" + p.Operation))
	return "match-" + hex.EncodeToString(sum[:12])
}

// Match is a match, and what it is about.
type Match struct {
	Bill      reconcile.Ref
	Operation string
	SameAs    string // the bill of the same purchase that stands for its amount; "" if it does itself
	formats.Match

	id   string
	hash formats.Hash
}

func (m *Match) place() place { return place{m.Bill, m.Operation, reconcile.Role(m.Role)} }

// readMatch reads a match; false if it is about nothing.
func readMatch(line operators.Line, r formats.Record) (Match, bool) {
	m := Match{id: r.ID, hash: line.Hash}
	for _, l := range r.Links {
		switch l.Rel {
		case relBill:
			m.Bill = reconcile.Ref{Dataset: l.Dataset, ID: l.ID}
		case relOperation:
			m.Operation = l.ID
		case relSameAs:
			m.SameAs = l.ID
		}
	}
	var err error
	m.Match, err = formats.BodyAs[formats.Match](r)
	return m, err == nil && m.Bill.ID != "" && m.Operation != ""
}

// record writes a match. It has no times of its own: what is the same has the same bytes.
func (m *Match) record() (formats.Record, error) {
	r := formats.Record{ID: cmp.Or(m.id, m.place().id()), Dataset: m.Bill.Dataset, Kind: formats.KindMatch, Links: []formats.Link{
		{Rel: relBill, Dataset: m.Bill.Dataset, ID: m.Bill.ID}, {Rel: relOperation, Dataset: formats.Bank, ID: m.Operation}}}
	if m.SameAs != "" {
		r.Links = append(r.Links, formats.Link{Rel: relSameAs, Dataset: m.Bill.Dataset, ID: m.SameAs})
	}
	var err error
	r.Body, err = formats.MarshalBody(m.Match)
	return r, err
}

// found is the match of a link that was found.
func found(l *reconcile.Link, state, day string) Match {
	m := Match{Bill: l.Bill, Operation: l.Operation, SameAs: l.SameAs.ID, Match: formats.Match{Role: string(l.Role), State: state, Date: day, Rule: string(l.Rule),
		Evidence: string(l.Evidence), Words: l.Words, Days: l.Days, Partial: l.Partial, Verdict: string(l.Verdict)}}
	amount := l.Amount
	m.Amount = &amount
	return m
}

// Alert is an alert, and what it is about.
type Alert struct {
	ID        string
	Bills     []reconcile.Ref
	Operation string
	formats.Alert

	hash formats.Hash
}

// readAlert reads an alert; false if it is none.
func readAlert(line operators.Line, r formats.Record) (Alert, bool) {
	a := Alert{ID: r.ID, hash: line.Hash}
	for _, l := range r.Links {
		switch l.Rel {
		case relBill:
			a.Bills = append(a.Bills, reconcile.Ref{Dataset: l.Dataset, ID: l.ID})
		case relOperation:
			a.Operation = l.ID
		}
	}
	var err error
	a.Alert, err = formats.BodyAs[formats.Alert](r)
	return a, err == nil
}

func (a *Alert) record() (formats.Record, error) {
	r := formats.Record{ID: a.ID, Dataset: formats.Health, Kind: formats.KindAlert}
	slices.SortFunc(a.Bills, func(x, y reconcile.Ref) int {
		return cmp.Or(cmp.Compare(x.Dataset, y.Dataset), cmp.Compare(x.ID, y.ID))
	})
	for _, b := range a.Bills {
		r.Links = append(r.Links, formats.Link{Rel: relBill, Dataset: b.Dataset, ID: b.ID})
	}
	if a.Operation != "" {
		r.Links = append(r.Links, formats.Link{Rel: relOperation, Dataset: formats.Bank, ID: a.Operation})
	}
	var err error
	r.Body, err = formats.MarshalBody(a.Alert)
	return r, err
}

// raised is the alert as it is now: what was told before keeps its day, and what was dismissed stays so.
func raised(now *reconcile.Alert, before *Alert, today string) Alert {
	a := Alert{ID: now.ID, Bills: slices.Clone(now.Bills), Operation: now.Operation, Alert: formats.Alert{Type: string(now.Kind), State: alertOpen, Payer: string(now.Payer),
		Issuer: now.Issuer, Who: now.Who, Date: now.Day, Due: now.Due, Raised: today, Paid: now.Paid, Missing: now.Missing, Announced: now.Announced, Advice: string(now.Advice)}}
	if before != nil {
		a.Raised = before.Raised
		if before.State == alertDismissed {
			a.State, a.Ended = before.State, before.Ended
		}
	}
	return a
}
