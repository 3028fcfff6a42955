// Package dav lets a person work in their home with the programs that they have: files by WebDAV (RFC 4918), contacts by
// CardDAV (RFC 6352), the calendar by CalDAV (RFC 4791), with quotas (RFC 4331) and collection synchronization (RFC 6578).
//
// It speaks the protocols itself, on net/http and encoding/xml alone. Two libraries were looked at. golang.org/x/net/webdav
// 0.61 writes a PUT piece by piece into the file that is there, knows no If-Match, answers every fault with 404 or 405, so
// that nobody learns of a quota or a fence, and keeps locks in the memory of one process, whereas replicas here share a
// database. github.com/emersion/go-webdav 0.6 has no locks, without which neither macOS nor Windows writes, and no
// synchronization, and passes every card through a value that does not keep it: "Doe\; Sons" comes back as "Doe\\; Sons".
// What is needed of a protocol is little where a change is one transaction of the home's: conditions and locks are looked
// at inside it (see [home.Guard]).
//
// It must never know how somebody signs in, a consent, or an archive.
package dav

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/operators/home"
)

// Where things are.
const (
	Root       = "/dav/"
	Files      = "/dav/files/"
	Trash      = "/dav/trash/"
	Contacts   = "/dav/contacts/"
	Calendars  = "/dav/calendars/"
	principals = "/dav/principals/"
)

// ErrUnknown is what SignIn returns for a name and a password that open nothing.
var ErrUnknown = errors.New("the name or the app password is wrong, or it was revoked")

// WaitError is what SignIn returns for one who was wrong too often.
type WaitError struct{ RetryAfter time.Duration }

func (e *WaitError) Error() string { return "too many wrong app passwords: wait" }

// Options of a [Handler].
type Options struct {
	// SignIn returns the instance that a name and an app password open. The error wraps [ErrUnknown] or is a [WaitError].
	SignIn func(r *http.Request, name, password string) (instance string, err error)
	// Instance opens an instance.
	Instance func(ctx context.Context, name string) (*home.Instance, error)
	// Moved returns where an instance is now that was moved to another operator. Nil: none was.
	Moved func(ctx context.Context, instance string) (newURL string, ok bool)
	Log   *slog.Logger
}

// Handler answers everything below [Root].
type Handler struct {
	opt     Options
	sending gate
}

// New returns a handler.
func New(o Options) *Handler { return &Handler{opt: o} }

// call is one request of a person.
type call struct {
	*Handler
	w        http.ResponseWriter
	r        *http.Request
	person   string
	instance *home.Instance
}

const (
	maxBody = 1 << 20 // bytes, of what is no content
	// fenceRetry is after how long clients try again what a fence refused.
	fenceRetry = 30 * time.Second
)

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	c := &call{Handler: h, w: w, r: r}
	if err := c.admit(); err != nil {
		c.fail(err)
		return
	}
	if r.Method != http.MethodPut {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	}
	if err := c.route(); err != nil {
		c.fail(err)
	}
}

// admit finds out who asks, and whether their instance is here and can do what is asked.
func (c *call) admit() error {
	if !plainURL(c.r) {
		return badName("a name cannot hold a slash, and must be UTF-8")
	}
	if err := c.signIn(); err != nil {
		return err
	}
	ctx := c.r.Context()
	if c.opt.Moved != nil {
		if to, ok := c.opt.Moved(ctx, c.person); ok {
			return &movedError{to}
		}
	}
	var err error
	if c.instance, err = c.opt.Instance(ctx, c.person); err != nil {
		return err
	}
	if !writes(c.r.Method) {
		return nil
	}
	readOnly, err := c.instance.ReadOnly(ctx)
	if err == nil && readOnly {
		err = errFence
	}
	return err
}

// signIn takes a name and an app password (RFC 7617).
func (c *call) signIn() (err error) {
	name, password, ok := c.r.BasicAuth()
	if !ok || !utf8.ValidString(name) || !utf8.ValidString(password) || strings.ContainsRune(name+password, 0) {
		return ErrUnknown
	}
	c.person, err = c.opt.SignIn(c.r, name, password)
	return err
}

// stillIn asks again, before something is written that took long to arrive: the app password may have been revoked.
func (c *call) stillIn() error { return c.signIn() }

// writes reports whether a method changes something.
func writes(method string) bool {
	switch method {
	case http.MethodPut, http.MethodDelete, "MKCOL", "MKCALENDAR", "COPY", "MOVE", "PROPPATCH", "LOCK":
		return true
	}
	return false
}

// plainURL reports whether the path means what it says: escaped slashes are names that cannot be, and would be taken for
// folders.
func plainURL(r *http.Request) bool {
	escaped := strings.ToLower(r.URL.EscapedPath())
	return !strings.Contains(escaped, "%2f") && utf8.ValidString(r.URL.Path)
}

func (c *call) route() error {
	p := c.r.URL.Path
	switch {
	case strings.HasPrefix(p, Files), p+"/" == Files, strings.HasPrefix(p, Trash), p+"/" == Trash:
		return c.files()
	case strings.HasPrefix(p, Contacts), p+"/" == Contacts:
		return c.cards(&contacts)
	case strings.HasPrefix(p, Calendars), p+"/" == Calendars:
		return c.cards(&calendar)
	}
	return c.around()
}

// allow answers OPTIONS.
func (c *call) allow(classes string, methods ...string) error {
	h := c.w.Header()
	h.Set("DAV", classes)
	h.Set("MS-Author-Via", "DAV") // without which Windows does not write
	h.Set("Allow", strings.Join(methods, ", "))
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }
