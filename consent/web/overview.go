package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/consent"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/webui"
)

// overview is who reads what: a picture, and the same as a table.
type overview struct {
	Readings []consent.Reading
	Picture  *picture // nil: nobody reads anything
	Left     int      // services that the picture has no room for
	Looked   []Looked // authorities that looked
	AsIs     bool     // services get records only as they are kept
}

// picture is a drawing: datasets on the left, services on the right, a line for each that a service may read.
type picture struct {
	Width, Height int
	Left, Right   []box
	Flows         []flow
}

// box is a dataset, or a service.
type box struct {
	X, Y, W, H int
	Dataset    formats.Dataset
	Name       string
}

// flow is a line between two boxes.
type flow struct {
	X1, Y1, Middle, X2, Y2, Thick int
	Rest                          bool // nothing is read now: it is paused
}

// The measures of the picture, in its own units.
const (
	pictureWidth = 720
	boxWidth     = 250
	boxHeight    = 40
	boxGap       = 14
	mostServices = 15
	nameRoom     = 30 // characters
)

// Overview shows who reads what.
func (w *Web) Overview(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Visitor(rw, r, "")
	if !ok {
		return
	}
	readings, err := w.opt.Authority.Readings(r.Context(), v.Person)
	if err != nil {
		w.fail(rw, r, v, err)
		return
	}
	o := overview{Readings: readings, Left: max(0, len(readings)-mostServices)}
	if len(readings) > 0 {
		o.Picture = draw(readings[:min(len(readings), mostServices)])
	}
	if o.AsIs, err = w.opt.Authority.AsIs(r.Context(), v.Person); err != nil {
		w.fail(rw, r, v, err)
		return
	}
	if w.opt.Looked != nil {
		if o.Looked, err = w.opt.Looked(r.Context(), v.Person); err != nil {
			w.fail(rw, r, v, err)
			return
		}
	}
	w.Render(rw, r, v, webui.Page{Template: "overview", Title: "overview.title", Section: "overview", Data: o})
}

// Conversions says whether services may have records converted.
func (w *Web) Conversions(rw http.ResponseWriter, r *http.Request) {
	v, ok := w.Posted(rw, r)
	if !ok {
		return
	}
	what := r.PostForm.Get("what")
	if what != "refuse" && what != "allow" {
		w.Message(rw, r, v, http.StatusBadRequest, "bad-form")
		return
	}
	if err := w.opt.Authority.SetAsIs(r.Context(), v.Person, what == "refuse"); err != nil {
		w.fail(rw, r, v, err)
		return
	}
	w.Redirect(rw, r, "/overview")
}

// draw places boxes and lines.
func draw(readings []consent.Reading) *picture {
	p := &picture{Width: pictureWidth}
	var sets []formats.Dataset
	for _, r := range readings {
		for _, s := range r.Datasets {
			if !slices.Contains(sets, s) {
				sets = append(sets, s)
			}
		}
	}
	rows := max(len(sets), len(readings))
	p.Height = rows*(boxHeight+boxGap) + boxGap
	for i, s := range sets {
		p.Left = append(p.Left, box{X: 1, Y: place(i, len(sets), p.Height), W: boxWidth, H: boxHeight, Dataset: s})
	}
	for i, r := range readings {
		right := box{X: pictureWidth - boxWidth - 1, Y: place(i, len(readings), p.Height), W: boxWidth, H: boxHeight, Name: cut(r.Service.Name)}
		p.Right = append(p.Right, right)
		for _, s := range r.Datasets {
			left := p.Left[slices.Index(sets, s)]
			p.Flows = append(p.Flows, flow{X1: left.X + left.W, Y1: left.Y + left.H/2, Middle: pictureWidth / 2, X2: right.X, Y2: right.Y + right.H/2, Thick: thickness(r.Accesses), Rest: r.Paused})
		}
	}
	return p
}

// place spreads boxes over the height.
func place(i, n, height int) int {
	return (2*i+1)*height/(2*n) - boxHeight/2
}

// thickness grows by one for each ten times more accesses.
func thickness(accesses int64) int {
	thick := 2
	for n := accesses; n >= 1 && thick < 9; n /= 10 {
		thick++
	}
	return thick
}

func cut(name string) string {
	if letters := []rune(name); len(letters) > nameRoom {
		return strings.TrimSpace(string(letters[:nameRoom-1])) + "…"
	}
	return name
}

// TextX and TextY are where the name of a box begins.
func (b box) TextX() int { return b.X + 14 }

// TextY is the base line of the name.
func (b box) TextY() int { return b.Y + b.H/2 + 5 }
