package api

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/audit"
)

// Only lets administrators in.
func (a *API) Only(do func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if !a.Allowed(w, r) {
			return
		}
		if err := do(w, r); err != nil {
			a.fail(w, err)
		}
	}
}

// GetAuditors lists who was invited to audit.
func (a *API) GetAuditors(w http.ResponseWriter, r *http.Request) error {
	list, err := a.Desk.Auditors.Auditors(r.Context())
	if err != nil {
		return err
	}
	if list == nil {
		list = []*audit.Auditor{}
	}
	return answer(w, map[string]any{"auditors": list})
}

// PostAuditor invites somebody to audit.
func (a *API) PostAuditor(w http.ResponseWriter, r *http.Request) error {
	b := struct {
		Name      string `json:"name"`
		Authority string `json:"authority"`
		Days      int    `json:"days"`
	}{Days: 30}
	if err := read(w, r, &b); err != nil {
		return err
	}
	if b.Days < 1 || b.Days > 366 {
		return fmt.Errorf("%w: days is a number from 1 to 366", audit.ErrInvalid)
	}
	code, who, err := a.Desk.Invite(r.Context(), b.Name, b.Authority, time.Now().AddDate(0, 0, b.Days))
	if err != nil {
		return err
	}
	return answer(w, map[string]any{"code": code, "auditor": who})
}

// DeleteAuditor takes an invitation back.
func (a *API) DeleteAuditor(w http.ResponseWriter, r *http.Request) error {
	if err := a.Desk.Revoke(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	return a.GetAuditors(w, r)
}

// PostEvidence makes an evidence bundle for somebody who has no invitation: the person, or a court.
func (a *API) PostEvidence(w http.ResponseWriter, r *http.Request) error {
	var b struct {
		Person  string `json:"person"`
		Service string `json:"service"`
		To      string `json:"to"`
	}
	if err := read(w, r, &b); err != nil {
		return err
	}
	if b.Person == "" || b.Service == "" || b.To == "" || len(b.To) > 200 {
		return fmt.Errorf("%w: person, service and to are needed: of whom, with which service, for whom", audit.ErrInvalid)
	}
	var bundle bytes.Buffer
	if err := a.Desk.Make(r.Context(), audit.Asked{Person: b.Person, Subject: "the person who asked, or was asked about", Service: b.Service, To: b.To}, &bundle); err != nil {
		return err
	}
	Evidence(w, bundle.Bytes())
	return nil
}

// PostFindings looks again at what the law asks, and tells what was found.
func (a *API) PostFindings(w http.ResponseWriter, r *http.Request) error {
	for done := false; !done; {
		var err error
		if done, err = a.Desk.Evaluate(r.Context()); err != nil {
			return err
		}
	}
	list, err := a.Desk.Findings(r.Context())
	if err != nil {
		return err
	}
	return answer(w, map[string]any{"findings": list})
}

// GetProcessing returns the record of processing activities.
func (a *API) GetProcessing(w http.ResponseWriter, r *http.Request) error {
	p, err := a.Desk.Processing(r.Context())
	if err != nil {
		return err
	}
	return answer(w, p)
}

// GetMatters lists what the operator has to deal with.
func (a *API) GetMatters(w http.ResponseWriter, r *http.Request) error {
	list, err := a.Desk.Matters(r.Context(), true)
	if err != nil {
		return err
	}
	return answer(w, map[string]any{"matters": list})
}

// PostMatter enters a matter.
func (a *API) PostMatter(w http.ResponseWriter, r *http.Request) error {
	b := struct {
		Kind    audit.Kind `json:"kind"`
		Title   string     `json:"title"`
		Noticed time.Time  `json:"noticed"`
	}{Noticed: time.Now()}
	if err := read(w, r, &b); err != nil {
		return err
	}
	m, err := a.Desk.OpenMatter(r.Context(), b.Kind, b.Title, b.Noticed)
	if err != nil {
		return err
	}
	return answer(w, m)
}

// text is the body of a change to a matter.
type text struct {
	Text string `json:"text"`
}

// PutProlongation takes more time for a matter.
func (a *API) PutProlongation(w http.ResponseWriter, r *http.Request) error {
	var b text
	if err := read(w, r, &b); err != nil {
		return err
	}
	if err := a.Desk.ProlongMatter(r.Context(), r.PathValue("id"), b.Text); err != nil {
		return err
	}
	return a.GetMatters(w, r)
}

// PutOutcome closes a matter.
func (a *API) PutOutcome(w http.ResponseWriter, r *http.Request) error {
	var b text
	if err := read(w, r, &b); err != nil {
		return err
	}
	if err := a.Desk.CloseMatter(r.Context(), r.PathValue("id"), b.Text); err != nil {
		return err
	}
	return a.GetMatters(w, r)
}
