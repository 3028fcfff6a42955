package camt

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

const (
	// ownNamespace is that of the element Record in SplmtryData.
	ownNamespace = "https://github.com/passerelle-cloud/passerelle/formats/camt"
	ownElement   = "Record"
	// ownProxy is the type of the proxy (Acct/Prxy) that is the id of an account's record, escaped as in a path of a
	// URL, since not every character of an id may stand in XML.
	ownProxy = "PASSERELLE-ID"
)

// aside is what a record says and the standard has no place for. It is written as JSON.
type aside struct {
	ID        string              `json:"id"`
	Statement int                 `json:"statement,omitempty"` // of an account: which Stmt of the message is its, from 1
	Absent    bool                `json:"absent,omitempty"`    // the account is only named: its record was not there
	Created   *time.Time          `json:"created,omitempty"`
	Modified  *time.Time          `json:"modified,omitempty"`
	Links     *[]formats.Link     `json:"links,omitempty"` // if they are not just the one to the account
	Body      formats.PatchObject `json:"body,omitempty"`  // from what the standard says to what the record says
}

// asideOf returns what of r somebody does not learn who reads body and links from the standard's elements.
func asideOf(r *formats.Record, body any, links []formats.Link) (aside, error) {
	a := aside{ID: r.ID}
	have, err := formats.MarshalBody(body)
	if err != nil {
		return a, err
	}
	if patch := formats.Difference(have, r.Body); len(patch) > 0 {
		a.Body = patch
	}
	if !slices.Equal(r.Links, links) {
		a.Links = new(append([]formats.Link{}, r.Links...))
	}
	if !r.Created.IsZero() {
		a.Created = &r.Created
	}
	if !r.Modified.IsZero() {
		a.Modified = &r.Modified
	}
	return a, nil
}

// apply gives r what the standard's elements did not say. The body of r is what they did say.
func (a *aside) apply(r *formats.Record) error {
	r.ID = a.ID
	if a.Created != nil {
		r.Created = *a.Created
	}
	if a.Modified != nil {
		r.Modified = *a.Modified
	}
	if a.Links != nil {
		r.Links = append([]formats.Link(nil), *a.Links...)
	}
	var err error
	r.Body, err = a.Body.Apply(r.Body)
	return err
}

// write writes SplmtryData. Place says what it is about, for people to read, and may be empty.
func (a *aside) write(x *writer, place string) error {
	text, err := formats.MarshalBody(a)
	if err != nil {
		return err
	}
	x.in("SplmtryData", func() {
		x.leaf("PlcAndNm", place)
		x.in("Envlp", func() {
			x.raw(`<` + ownElement + ` xmlns="` + ownNamespace + `">`)
			x.text(escapeJSON(string(text)))
			x.raw(`</` + ownElement + `>`)
		})
	})
	return nil
}

// escapeJSON writes the characters that no XML text may hold as JSON escapes. Control characters are escaped already.
func escapeJSON(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	return strings.NewReplacer("\ufffe", `\ufffe`, "\uffff", `\uffff`).Replace(s)
}

// readAside returns what stands in SplmtryData below n, and false if there is nothing of ours.
func readAside(n *node) (aside, bool, error) {
	var a aside
	for _, data := range n.all("SplmtryData") {
		own := data.at("Envlp", ownElement)
		if own == nil || own.space != ownNamespace {
			continue
		}
		if err := json.Unmarshal([]byte(own.text), &a); err != nil {
			return a, false, fmt.Errorf("%w: camt: line %d: SplmtryData: %v", formats.ErrInvalid, own.line, err)
		}
		return a, true, nil
	}
	return a, false, nil
}
