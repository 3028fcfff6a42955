package web

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// declaring is what the page shows on which a person declares the operator whom they leave to be gone.
type declaring struct {
	arriving
	Fault bool // the box was not ticked
}

// declaration are the texts that make the declaration, one paragraph each.
var declaration = []string{"move.gone-what", "move.gone-fork", "move.gone-consents", "move.gone-log"}

// Gone shows what a person declares, where it can be declared.
func (w *Web) Gone(rw http.ResponseWriter, r *http.Request) {
	if v, ok := w.Proven(rw, r, "", freshAsk); ok {
		w.gone(rw, r, v, false)
	}
}

func (w *Web) gone(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, fault bool) {
	p, err := w.moving(r.Context(), v, r.PathValue("id"))
	switch {
	case err != nil:
		w.moveFault(rw, r, v, err)
		return
	case !p.Declarable:
		w.Redirect(rw, r, "/move/"+r.PathValue("id"))
		return
	}
	status := http.StatusOK
	if fault {
		status = http.StatusUnprocessableEntity
	}
	w.Render(rw, r, v, webui.Page{Template: "gone", Title: "move.gone", Section: "move", Status: status, Data: declaring{p.arriving, fault}})
}

// Declare takes the declaration: from then on the person works here without the receipt of the operator whom they leave.
func (w *Web) Declare(rw http.ResponseWriter, r *http.Request) {
	if !w.Form(rw, r) {
		return
	}
	id := r.PathValue("id")
	r.PostForm.Set("back", "/move/"+id+"/gone")
	v, ok := w.Proven(rw, r, "", freshAsk)
	if !ok {
		return
	}
	if r.PostForm.Get("declared") != "yes" {
		w.gone(rw, r, v, true)
		return
	}
	text, err := w.declared(r, v, id)
	if err == nil {
		err = w.move.Receiver.Override(r.Context(), v.Person, id, text)
	}
	if err != nil && !errors.Is(err, move.ErrNotSilent) {
		w.moveFault(rw, r, v, err)
		return
	}
	w.Redirect(rw, r, "/move/"+id) // which says what is
}

// declared is the text as the person read it.
func (w *Web) declared(r *http.Request, v *webui.Visitor, id string) (string, error) {
	m, err := w.move.Receiver.Get(r.Context(), v.Person, id)
	if err != nil {
		return "", err
	}
	operators, err := w.move.Operators()
	if err != nil {
		return "", err
	}
	from := named(operators, m.Peer).Name
	lines := []string{time.Now().UTC().Format(time.RFC3339), m.Peer}
	for _, name := range declaration {
		line, err := w.Text(v.Language, name, from)
		if err != nil {
			return "", err
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"), nil
}
