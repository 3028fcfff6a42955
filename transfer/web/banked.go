package web

import "net/http"

// Banked is for pages that need banks: where none can be connected there is no such page.
func (w *Web) Banked(show http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if w.opt.Bank.Banks != nil {
			show(rw, r)
			return
		}
		if v, ok := w.Visitor(rw, r, ""); ok {
			w.Message(rw, r, v, http.StatusNotFound, "not-found")
		}
	}
}
