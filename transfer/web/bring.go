package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"time"

	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// bringing is what the page shows of an archive that a person brings.
type bringing struct {
	transfer.Intake
	Refuse string // a text "bring.refuse-WHAT": why what was asked for just now is not done
	Begins bool   // files can be chosen
	Live   bool   // it is kept up to date
	Part   int    // of a hundred
	Gaps   []*transfer.OmissionGroup
	Lacks  bool // there was not room enough for all of it
}

// Brought shows the archive that a person brings, and lets them choose one.
func (w *Web) Brought(rw http.ResponseWriter, r *http.Request) {
	if v, ok := w.Visitor(rw, r, ""); ok {
		w.bring(rw, r, v, "", http.StatusOK)
	}
}

func (w *Web) bring(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, refuse string, status int) {
	page, err := w.bringing(r.Context(), v)
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	page.Refuse = refuse
	w.Render(rw, r, v, webui.Page{Template: "bring", Title: "bring.title", Section: "move", Script: "bring", Live: true, Status: status, Data: page})
}

func (w *Web) bringing(ctx context.Context, v *webui.Visitor) (b bringing, err error) {
	b.Intake, err = w.opt.Intakes.Get(ctx, v.Person)
	if errors.Is(err, transfer.ErrNoIntake) {
		return bringing{Begins: true}, nil
	}
	b.Live = b.State == transfer.IntakeChecking || b.State == transfer.IntakeLoading
	b.Begins = b.State == transfer.IntakeComing || b.State == transfer.IntakeRefused || b.State == transfer.IntakeLoaded
	if p := b.Progress; p.TotalBytes > 0 {
		b.Part = int(min(100, 100*p.Bytes/p.TotalBytes))
	} else if p.TotalRecords > 0 {
		b.Part = int(min(100, 100*p.Records/p.TotalRecords))
	}
	if report := b.Report; report != nil {
		b.Gaps, b.Lacks = transfer.Omissions(report.Refused), report.Lacks()
	}
	return b, err
}

// BringEvents tells how far an archive is that a person brings, as [Web.Events] does of a move.
func (w *Web) BringEvents(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	w.stream(rw, r, func(ctx context.Context) (shown, error) {
		b, err := w.bringing(ctx, v)
		if err != nil {
			return shown{}, err
		}
		text, err := w.Fragment("bringing", v.Language, b)
		if err != nil {
			return shown{}, err
		}
		spoken, err := w.Text(v.Language, "bring.is-"+string(b.State))
		if b.ID == "" {
			spoken, err = "", nil
		}
		return shown{text, spoken, b.Live}, err
	})
}

// refusals are the answers to what is wrong with what a person sends: the end of a text "bring.refuse-WHAT", and a status.
var refusals = []struct {
	err    error
	what   string
	status int
}{
	{transfer.ErrNoIntake, "gone", http.StatusNotFound},
	{transfer.ErrIntake, "other", http.StatusConflict},
	{transfer.ErrIntakeFiles, "files", http.StatusUnprocessableEntity},
	{transfer.ErrIntakeSize, "size", http.StatusRequestEntityTooLarge},
	{transfer.ErrIntakePart, "part", http.StatusConflict},
	{transfer.ErrIntakePlace, "place", http.StatusConflict},
}

func refusal(err error) (what string, status int) {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.what, r.status
		}
	}
	return "", http.StatusServiceUnavailable
}

// told answers a form: with the page, which says how it stands, or why it was not done.
func (w *Web) told(rw http.ResponseWriter, r *http.Request, v *webui.Visitor, err error) {
	if err == nil {
		w.Redirect(rw, r, "/bring")
		return
	}
	what, status := refusal(err)
	if what == "" {
		w.Fail(rw, r, v, err)
		return
	}
	w.bring(rw, r, v, what, status)
}

const (
	maxSecret = 1 << 10  // bytes of a passphrase or recovery key
	maxWhole  = 1 << 40  // bytes of a form; how many of them are kept is for the intake to say
	maxPart   = 16 << 20 // bytes of a part of a file
)

// BringWhole takes an archive in one form, from browsers without scripts.
func (w *Web) BringWhole(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.sent(rw, r, maxWhole)
	if !ok {
		return
	}
	form, err := r.MultipartReader()
	if err != nil {
		w.Message(rw, r, v, http.StatusBadRequest, "bad-form")
		return
	}
	secret := ""
	in, err := w.opt.Intakes.Take(r.Context(), v.Person, func() (string, io.Reader, error) { return nextFile(form, &secret) })
	if err == nil {
		err = w.opt.Intakes.Check(context.WithoutCancel(r.Context()), v.Person, in.ID, secret)
	}
	w.told(rw, r, v, err)
}

// nextFile finds the next file of a form, and notes the secret where it comes by.
func nextFile(form *multipart.Reader, secret *string) (string, io.Reader, error) {
	for {
		part, err := form.NextPart()
		switch {
		case err != nil:
			return "", nil, err
		case part.FormName() == "secret":
			text, err := io.ReadAll(io.LimitReader(part, maxSecret))
			if err != nil {
				return "", nil, err
			}
			*secret = string(text)
		case part.FormName() == "archive" && part.FileName() != "":
			return part.FileName(), part, nil
		}
	}
}

// sent finds out who sends something that is no small form, from a page of ours.
func (w *Web) sent(rw http.ResponseWriter, r *http.Request, most int64) (*webui.Visitor, bool) {
	if !w.Ours(rw, r) {
		return nil, false
	}
	r.Body = http.MaxBytesReader(rw, r.Body, most)
	return w.Visitor(rw, r, "")
}

// BringBegin is told by the page's script which files come, and says which there are already, and how much of them.
func (w *Web) BringBegin(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.sent(rw, r, maxPart)
	if !ok {
		return
	}
	var asked struct {
		Files []transfer.IntakeFile `json:"files"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		w.answer(rw, r, nil, transfer.ErrIntakeFiles)
		return
	}
	in, err := w.opt.Intakes.Begin(r.Context(), v.Person, asked.Files)
	w.answer(rw, r, map[string]any{"id": in.ID, "files": in.Files}, err)
}

// BringPart takes a part of a file, which goes on where it ends.
func (w *Web) BringPart(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.sent(rw, r, maxPart)
	if !ok {
		return
	}
	from, err := strconv.ParseInt(r.URL.Query().Get("from"), 10, 64)
	if err != nil {
		from = -1 // nowhere: the answer says where
	}
	got, err := w.opt.Intakes.Put(r.Context(), v.Person, r.PathValue("id"), r.PathValue("name"), from, r.Body)
	w.answer(rw, r, part{Got: got}, err)
}

// part is what is said of a part of a file.
type part struct {
	Got    int64  `json:"got"` // bytes of the file that are here
	Refuse string `json:"refuse,omitempty"`
}

// answer answers the script: what was asked for, or besides it which text of the page says why it is not done.
func (w *Web) answer(rw http.ResponseWriter, r *http.Request, with any, err error) {
	status := http.StatusOK
	if err != nil {
		var what string
		if what, status = refusal(err); what == "" {
			w.Warn(r, "a part of an archive cannot be taken", err)
			what = "fault"
		}
		p, _ := with.(part)
		with = part{Got: p.Got, Refuse: what}
	}
	text, err := json.Marshal(with)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte("{}")
	}
	webui.Protect(rw.Header())
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	rw.Write(append(text, '\n')) // if the reader is gone there is nobody to tell
}

// BringCheck has an archive verified that is here.
func (w *Web) BringCheck(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	secret := r.PostForm.Get("secret")
	// Who closes the browser while a passphrase is tried finds out later what came of it.
	w.told(rw, r, v, w.opt.Intakes.Check(context.WithoutCancel(r.Context()), v.Person, r.PathValue("id"), secret[:min(len(secret), maxSecret)]))
}

// BringLoad has an archive loaded that the person has seen.
func (w *Web) BringLoad(rw http.ResponseWriter, r *http.Request) {
	if !w.Form(rw, r) {
		return
	}
	r.PostForm.Set("back", "/bring")
	if v, ok := w.Proven(rw, r, "", freshTake); ok {
		w.told(rw, r, v, w.opt.Intakes.Load(r.Context(), v.Person, r.PathValue("id")))
	}
}

// BringRemove removes what a person brings.
func (w *Web) BringRemove(rw http.ResponseWriter, r *http.Request) {
	if v, ok := w.Posted(rw, r); ok {
		w.told(rw, r, v, w.opt.Intakes.Remove(r.Context(), v.Person, r.PathValue("id")))
	}
}

// shown is what a page that is kept up to date says now.
type shown struct {
	text   []byte // a part of the page
	spoken string // what is read out of it where it changes
	live   bool   // it goes on
}

// stream sends what a page shows each time that it has changed (server-sent events). A browser comes back by itself.
func (w *Web) stream(rw http.ResponseWriter, r *http.Request, look func(context.Context) (shown, error)) {
	h := rw.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // what proxies hold back comes late
	out := http.NewResponseController(rw)
	clock := time.NewTicker(tellEvery)
	defer clock.Stop()
	end := time.After(tellFor)
	var last, step string
	for {
		now, err := look(r.Context())
		if err != nil {
			if r.Context().Err() == nil {
				w.Warn(r, "what a page shows cannot be told", err)
			}
			return // the browser asks again, and is told then
		}
		if string(now.text) != last {
			last = string(now.text)
			event(rw, "state", last)
		}
		if now.spoken != step {
			step = now.spoken
			event(rw, "step", step)
		}
		if !now.live {
			event(rw, "end", "")
		}
		if err := out.Flush(); err != nil || !now.live {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-end:
			return
		case <-clock.C:
		}
	}
}
