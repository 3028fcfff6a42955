package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/internal/problem"
	"github.com/passerelle-cloud/passerelle/transfer/money"
)

// answered is an answer, and to what.
type answered struct {
	Question consent.Question `json:"question"`
	money.Overdue
}

// Answer computes what a service asks from a person's data, and serves nothing else of them. It is permitted and logged as every
// access is.
func (a *API) Answer(w http.ResponseWriter, r *http.Request) {
	q, ok := a.begin(w, r)
	if !ok {
		return
	}
	q.question = consent.Question(r.PathValue("question"))
	sources := q.question.Sources()
	if len(sources) == 0 || a.opt.Overdue == nil {
		problem.Problem{Type: "not-found", Title: "There is no such question", Status: http.StatusNotFound, Detail: fmt.Sprintf("The questions are %s.", consent.ReimbursementsOverdue)}.Write(w)
		return
	}
	if _, ok := q.negotiate([]string{typeJSON}); !ok {
		return
	}
	f, _, ok := q.permit(consent.Compute, slices.Clone(sources)...)
	if !ok {
		return
	}
	defer f.settle()
	overdue, err := a.opt.Overdue(r.Context(), q.consent.Person)
	if err != nil {
		f.refuse(err)
		return
	}
	text, err := json.Marshal(answered{q.question, overdue})
	if err != nil {
		f.refuse(err)
		return
	}
	f.records = 1
	f.body(typeJSON, append(text, '\n'))
}
