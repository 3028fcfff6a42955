package dav

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

const anyType = "application/octet-stream"

func typeOf(e *home.Entry) string {
	if e.Record.Blob != nil && e.Record.Blob.Type != "" {
		return e.Record.Blob.Type
	}
	if byName := mime.TypeByExtension(path.Ext(e.Path)); byName != "" {
		return byName
	}
	return anyType
}

// get gives the bytes of a file, or ranges of them. A browser must not run what somebody keeps: it would run as one of our
// pages.
func (f *file) get() error {
	e, content, err := f.open()
	if err != nil {
		return err
	}
	defer content.Close()
	h := f.w.Header()
	h.Set("Content-Type", anyType)
	if t := typeOf(&e); safeHeader(t) {
		h.Set("Content-Type", t)
	}
	if etag := etagOf(&e); etag != "" {
		h.Set("ETag", etag)
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Content-Disposition", "attachment")
	h.Set("Cache-Control", "private, no-cache")
	http.ServeContent(f.w, f.r, "", e.Record.Modified, content)
	return nil
}

// mostLooks is how often a file is looked for whose bytes go while they are about to be opened.
const mostLooks = 10

// open opens the bytes of a file. What an archive brought without any is empty.
func (f *file) open() (e home.Entry, content io.ReadSeekCloser, err error) {
	for range mostLooks {
		if e, err = f.instance.Sight().Entry(f.r.Context(), f.path); err != nil {
			return e, nil, err
		}
		if e.Folder {
			f.w.Header().Set("Allow", "OPTIONS, PROPFIND")
			return e, nil, &fault{status: http.StatusMethodNotAllowed, text: "This is a folder: open this address with a program for WebDAV."}
		}
		if e.Record.Blob == nil {
			return e, empty{strings.NewReader("")}, nil
		}
		content, err = f.instance.Reader().Content(f.r.Context(), *e.Record.Blob)
		if !errors.Is(err, operators.ErrChanged) {
			break
		}
	}
	return e, content, err
}

type empty struct{ *strings.Reader }

func (empty) Close() error { return nil }

func safeHeader(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' })
}

// put takes a file as a whole or not at all: it is received first, and takes its place in one transaction.
func (f *file) put() error {
	switch {
	case f.isRoot(), strings.HasSuffix(f.r.URL.Path, "/"):
		return errSlash
	case f.r.Header.Get("Content-Range") != "":
		return badRequest("A file is put as a whole, not in parts (RFC 9110, section 14.5).")
	}
	if err := checkName(f.path); err != nil {
		return err
	}
	guard, err := f.guard(f.path, effect{path: f.path, member: true})
	if err != nil {
		return err
	}
	ctx := f.r.Context()
	if err := guard(ctx, f.instance.Sight()); err != nil {
		return err // before anything is sent
	}
	upload, err := f.receive()
	if err != nil {
		return err
	}
	e, created, err := f.instance.PutFile(ctx, home.PutFile{Path: f.path, Upload: upload, Type: f.mediaType(), Modified: f.modified(), Guard: guard})
	if err := errors.Join(err, upload.Discard()); err != nil {
		return err
	}
	f.w.Header().Set("ETag", etagOf(&e))
	return f.done(created)
}

func (c *call) done(created bool) error {
	if created {
		c.w.WriteHeader(http.StatusCreated)
	} else {
		c.w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

// receive takes the body in, of no more bytes than the quota has as a whole.
func (f *file) receive() (*home.Upload, error) {
	leave, ok := f.sending.enter(f.person)
	if !ok {
		return nil, errBusy
	}
	defer leave()
	_, most, err := f.instance.Room(f.r.Context())
	if err != nil {
		return nil, err
	}
	if most == 0 {
		most = -1
	}
	if most > 0 && f.r.ContentLength > most {
		return nil, home.ErrQuota
	}
	upload, err := f.instance.Receive(f.r.Context(), f.patient(), most)
	if err != nil {
		return nil, err
	}
	if err := f.stillIn(); err != nil {
		return nil, errors.Join(err, upload.Discard())
	}
	return upload, nil
}

// longestPause is for how long a body may bring nothing.
const longestPause = 2 * time.Minute

// patient reads the body as long as something comes.
func (c *call) patient() io.Reader { return &patient{c.r.Body, http.NewResponseController(c.w)} }

type patient struct {
	body io.Reader
	conn *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(longestPause)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := p.body.Read(b)
	if err == nil {
		return n, nil
	}
	p.conn.SetReadDeadline(time.Time{}) // what comes next has its own time
	var tooLong *http.MaxBytesError
	if err != io.EOF && !errors.As(err, &tooLong) {
		err = errCut
	}
	return n, err
}

// mediaType is what the client says that the file is, or what its name says.
func (f *file) mediaType() string {
	said := f.r.Header.Get("Content-Type")
	if base, _, err := mime.ParseMediaType(said); err == nil && base != anyType && base != "application/x-www-form-urlencoded" && len(said) <= 255 && safeHeader(said) {
		return said
	}
	if byName := mime.TypeByExtension(path.Ext(f.path)); byName != "" {
		return byName
	}
	return anyType
}

// modified is when the file was changed on the client's side, as programs for ownCloud and Nextcloud say it.
func (f *file) modified() time.Time {
	at, err := strconv.ParseInt(f.r.Header.Get("X-OC-Mtime"), 10, 64)
	if err != nil || at <= 0 || at >= 1<<37 {
		return time.Time{}
	}
	f.w.Header().Set("X-OC-Mtime", "accepted")
	return time.Unix(at, 0).UTC()
}
