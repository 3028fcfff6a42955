// Package web is the pages on which a person takes out what is theirs: an archive of everything, made in the background
// and kept for some days; on which they bring such an archive; on which they connect their banks, see their accounts and bills,
// and correct what was made of them; and on which they move here from another operator, or leave for one. It must never know
// what a person allowed to whom.
package web

import (
	"context"
	"embed"
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/money"
)

//go:embed templates scripts
var files embed.FS

// Options are what the pages need. All must be set but what says otherwise.
type Options struct {
	Money    *money.Money
	Bank     BankOptions
	Takeouts *transfer.Takeouts
	Intakes  *transfer.Intakes
	// RecoveryKey returns the public part of a key that the person has, "" if they have none.
	RecoveryKey func(ctx context.Context, person string) (string, error)
	Move        MoveOptions
	// Catalogue is what can be taken out here; its words are those of the pages.
	Catalogue func() (*transfer.Catalogue, error)
}

// Web is the pages.
type Web struct {
	*webui.UI
	opt  Options
	move MoveOptions
}

// New returns the pages.
func New(common webui.Options, opt Options) (*Web, error) {
	ui, err := webui.New(common, files)
	return &Web{ui, opt, opt.Move}, err
}

// How long ago somebody may have proved who they are who has everything packed, and who takes it away.
const (
	freshAsk  = 10 * time.Minute
	freshTake = time.Hour
)

// downloads is what the page shows.
type downloads struct {
	List   []transfer.Takeout
	Key    string // the person's recovery key
	Busy   bool   // one is being made
	Full   bool   // there are as many as there can be
	Done   bool   // one was removed just now
	Refuse bool   // one was refused just now
}

// Downloads shows the archives that a person asked for.
func (w *Web) Downloads(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	w.show(rw, r, v, downloads{Done: r.URL.Query().Has("removed")}, http.StatusOK)
}

func (w *Web) show(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, page downloads, status int) {
	var err error
	if page.List, err = w.opt.Takeouts.List(r.Context(), v.Person); err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	if page.Key, err = w.opt.RecoveryKey(r.Context(), v.Person); err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	for _, t := range page.List {
		page.Busy = page.Busy || t.State == transfer.TakeoutWaiting || t.State == transfer.TakeoutRunning
	}
	page.Full = len(page.List) >= transfer.MaxTakeouts
	w.Render(rw, r, v, webui.Page{Template: "download", Title: "download.title", Section: "download", Status: status, Data: page})
}

// Ask begins to make an archive.
func (w *Web) Ask(rw http.ResponseWriter, r *http.Request) {
	if !w.Form(rw, r) {
		return
	}
	r.PostForm.Set("back", "/download")
	v, ok := w.Proven(rw, r, "", freshAsk)
	if !ok {
		return
	}
	_, err := w.opt.Takeouts.Ask(r.Context(), v.Person, r.PostForm.Has("sealed"))
	switch {
	case errors.Is(err, transfer.ErrTakeouts):
		w.show(rw, r, v, downloads{Refuse: true}, http.StatusConflict)
	case err != nil:
		w.Fail(rw, r, v, err)
	default:
		w.Redirect(rw, r, "/download")
	}
}

// File sends an archive. It can be asked for in parts (RFC 9110, section 14), so that a download that broke off goes on.
func (w *Web) File(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	if !v.Fresh(freshTake) {
		w.Redirect(rw, r, "/sign-in?next=/download&again=1")
		return
	}
	f, t, err := w.opt.Takeouts.Open(r.Context(), v.Person, r.PathValue("id"))
	if errors.Is(err, transfer.ErrNoTakeout) {
		w.Message(rw, r, v, http.StatusNotFound, "not-found")
		return
	}
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	defer f.Close()
	webui.Protect(rw.Header())
	rw.Header().Set("Content-Type", "application/octet-stream")
	rw.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": t.Name}))
	rw.Header().Set("ETag", `"`+t.Root+`"`)
	http.ServeContent(rw, r, "", t.Ready, f)
}

// Remove removes an archive, or breaks off making it.
func (w *Web) Remove(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	err := w.opt.Takeouts.Remove(r.Context(), v.Person, r.PathValue("id"))
	switch {
	case errors.Is(err, transfer.ErrNoTakeout):
		w.Message(rw, r, v, http.StatusNotFound, "not-found")
	case err != nil:
		w.Fail(rw, r, v, err)
	default:
		w.Redirect(rw, r, "/download?removed")
	}
}
