package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/internal/webui"
	"github.com/passerelle-cloud/passerelle/transfer"
)

// PathFormats is where programs read what can be taken out.
const PathFormats = "/.well-known/passerelle-formats"

// worded fills in the words of a catalogue in every language.
func (w *Web) worded(c *transfer.Catalogue) error {
	say := func(key string) (map[string]string, error) {
		says := map[string]string{}
		for _, lang := range w.Languages() {
			text, err := w.Text(lang, key)
			if err != nil {
				return nil, err
			}
			says[lang] = text
		}
		return says, nil
	}
	var err error
	for i := range c.Interfaces {
		if c.Interfaces[i].Says, err = say("formats.by-" + c.Interfaces[i].Name); err != nil {
			return err
		}
	}
	for i := range c.Limits {
		if c.Limits[i].Says, err = say("formats.limit-" + c.Limits[i].What); err != nil {
			return err
		}
	}
	return nil
}

// catalogue is what can be taken out, in words.
func (w *Web) catalogue() (*transfer.Catalogue, error) {
	c, err := w.opt.Catalogue()
	if err != nil {
		return nil, err
	}
	return c, w.worded(c)
}

// Formats shows everybody what can be taken out, in which formats, and how.
func (w *Web) Formats(rw http.ResponseWriter, r *http.Request) {
	v, err := w.Guest(r, "")
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	c, err := w.catalogue()
	if err != nil {
		w.Fail(rw, r, v, err)
		return
	}
	w.Render(rw, r, v, webui.Page{Template: "formats", Title: "formats.title", Data: c})
}

// FormatsJSON says the same to programs.
func (w *Web) FormatsJSON(rw http.ResponseWriter, r *http.Request) {
	c, err := w.catalogue()
	if err != nil {
		w.Warn(r, "what can be taken out cannot be said", err)
		http.Error(rw, "It cannot be answered now. Try again in a moment.", http.StatusServiceUnavailable)
		return
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		w.Warn(r, "what can be taken out cannot be said", err)
		http.Error(rw, "It cannot be answered now. Try again in a moment.", http.StatusServiceUnavailable)
		return
	}
	public(rw, r, "application/json", append(text, '\n'))
}

// Schema serves the JSON Schema of a kind of record.
func (w *Web) Schema(rw http.ResponseWriter, r *http.Request) {
	text, err := fs.ReadFile(formats.Schemas(), r.PathValue("name"))
	if err != nil {
		http.Error(rw, "There is no such schema. "+PathFormats+" lists all of them.", http.StatusNotFound)
		return
	}
	public(rw, r, "application/schema+json", text)
}

func public(rw http.ResponseWriter, r *http.Request, mime string, text []byte) {
	h := rw.Header()
	h.Set("Content-Type", mime)
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(text)))
	http.ServeContent(rw, r, "", time.Time{}, bytes.NewReader(text))
}
