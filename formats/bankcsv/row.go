package bankcsv

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// row is a row of a table that is written or read: an operation or an account.
type row interface {
	// cells returns every column in order, each with the place where its text is kept.
	cells() []cell
	// take takes the texts of all cells but those of the envelope from a record. It returns false if the table cannot
	// hold the record.
	take(r *formats.Record) (bool, error)
	// body returns the body that the cells say.
	body() (any, error)
	// complete adds what others say in columns of their own, and what every body must have.
	complete(f *foreign) error
	// id returns the id of a record from elsewhere, or "" if there is none.
	id() string
	// env returns what is the same in every table.
	env() *envelope
	// links returns the links that go without saying.
	links() []formats.Link
}

// cell is a place for the text of a cell.
type cell struct {
	name  string
	text  *string
	value value
}

// value says how a cell is read.
type value int

const (
	isText value = iota
	isDay
	isAmount
)

// envelope is what a row says of a record beside its body.
type envelope struct {
	recordID, created, modified, linked, other string
}

func (e *envelope) env() *envelope { return e }

func (e *envelope) last() []cell {
	return []cell{{"created", &e.created, isText}, {"modified", &e.modified, isText}, {"links", &e.linked, isText}, {"other", &e.other, isText}}
}

// takeEnvelope takes what r says beside its body.
func (e *envelope) takeEnvelope(r *formats.Record, usual []formats.Link) error {
	e.recordID = r.ID
	if !r.Created.IsZero() {
		e.created = r.Created.UTC().Format(time.RFC3339Nano)
	}
	if !r.Modified.IsZero() {
		e.modified = r.Modified.UTC().Format(time.RFC3339Nano)
	}
	if !slices.Equal(r.Links, usual) {
		links, err := formats.MarshalBody(append([]formats.Link{}, r.Links...))
		e.linked = string(links)
		return err
	}
	return nil
}

// record returns the record that a row says.
func (t table) record(w row) (formats.Record, error) {
	e := w.env()
	r := formats.Record{ID: e.recordID, Dataset: formats.Bank, Kind: t.kind, Links: w.links()}
	body, err := w.body()
	if err != nil {
		return r, err
	}
	if r.Body, err = formats.MarshalBody(body); err != nil {
		return r, err
	}
	for _, stamp := range []struct {
		name, text string
		at         *time.Time
	}{{"created", e.created, &r.Created}, {"modified", e.modified, &r.Modified}} {
		if stamp.text == "" {
			continue
		}
		if *stamp.at, err = time.Parse(time.RFC3339, stamp.text); err != nil {
			return r, fault("column %s: %q is not a time as in 2026-12-31T12:00:00Z", stamp.name, clip(stamp.text))
		}
	}
	if e.linked != "" {
		r.Links = nil
		if err := json.Unmarshal([]byte(e.linked), &r.Links); err != nil {
			return r, fault("column links: %v", err)
		}
	}
	if e.other != "" {
		var patch formats.PatchObject
		if err := json.Unmarshal([]byte(e.other), &patch); err != nil {
			return r, fault("column other: %v", err)
		}
		r.Body, err = patch.Apply(r.Body)
	}
	return r, err
}

func fault(format string, args ...any) error {
	return fmt.Errorf("%w: %s", formats.ErrInvalid, fmt.Sprintf(format, args...))
}
