package dav

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// fault is an answer that is no success: a status, the precondition that did not hold (RFC 4918, section 16), and what a
// person reads.
type fault struct {
	status    int
	condition string // an element, such as "<D:lock-token-submitted/>"
	text      string
}

func (f *fault) Error() string { return f.text }

var (
	// errFence is 503 with Retry-After, not 423: the fence of a move lasts seconds, and synchronizing programs try again by
	// themselves after 503, whereas 423 tells a person that another program has the file open.
	errFence     = &fault{status: http.StatusServiceUnavailable, text: "This instance is read-only for now: it is being moved, or its operator has closed it. Reading works. Nothing was changed; your program tries again by itself."}
	errCondition = &fault{status: http.StatusPreconditionFailed, text: "It was changed meanwhile, or is there already. Fetch it anew, and then decide."}
	errDepth     = &fault{http.StatusForbidden, "<D:propfind-finite-depth/>", "Ask folder by folder: with Depth 0 or 1."}
	errXML       = &fault{status: http.StatusBadRequest, text: "The body is not the XML that this method takes (RFC 4918)."}
	errMethod    = &fault{status: http.StatusMethodNotAllowed, text: "That cannot be done with this."}
	errForbidden = &fault{status: http.StatusForbidden, text: "That cannot be done here."}
	errBusy      = &fault{status: http.StatusServiceUnavailable, text: "Too many uploads at once: the program tries again by itself."}
	errCut       = &fault{status: http.StatusBadRequest, text: "It did not arrive as a whole. Nothing was changed; send it again."}
	errSlash     = &fault{status: http.StatusMethodNotAllowed, text: "The address ends with a slash, as those of folders do; a file's does not."}
)

func badName(why string) error {
	return &fault{status: http.StatusBadRequest, text: "This name cannot be kept: " + why + ". Use another one."}
}

func badRequest(text string) error { return &fault{status: http.StatusBadRequest, text: text} }

// movedError says that the instance is with another operator now.
//
// It is 410, not a redirection: what a program would send there are the password that it has here, which opens nothing
// there, and a person who is only told that their password is wrong learns nothing.
type movedError struct{ to string }

func (e *movedError) Error() string {
	return "This instance has moved to " + e.to + ". Nothing is kept up to date here any more. Sign in there, make an app password, and enter both in this program."
}

// known are the errors of the home that clients understand.
var known = []struct {
	err       error
	status    int
	condition string
}{
	{operators.ErrReadOnly, http.StatusServiceUnavailable, ""},
	{operators.ErrNotFound, http.StatusNotFound, ""},
	{operators.ErrContentMissing, http.StatusInternalServerError, ""},
	{home.ErrQuota, http.StatusInsufficientStorage, "<D:quota-not-exceeded/>"},
	{home.ErrTaken, http.StatusPreconditionFailed, ""},
	{home.ErrNoFolder, http.StatusConflict, ""},
	{home.ErrFolder, http.StatusMethodNotAllowed, ""},
	{home.ErrNote, http.StatusForbidden, ""},
	{home.ErrInside, http.StatusForbidden, ""},
	{home.ErrTooMany, http.StatusForbidden, ""},
	{home.ErrTooManyLocks, http.StatusServiceUnavailable, ""},
	{home.ErrLocked, http.StatusLocked, "<D:no-conflicting-lock/>"},
	{home.ErrNoLock, http.StatusConflict, "<D:lock-token-matches-request-uri/>"},
	{formats.ErrInvalid, http.StatusBadRequest, ""},
	{syscall.ENOSPC, http.StatusInsufficientStorage, ""},
}

// faultOf says how an error is answered; nil for one that is nobody's business outside.
func faultOf(err error) *fault {
	var f *fault
	var moved *movedError
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &moved):
		return &fault{status: http.StatusGone, text: moved.Error()}
	case errors.As(err, &tooLong):
		return &fault{status: http.StatusRequestEntityTooLarge, text: "The body is too long."}
	case errors.Is(err, operators.ErrReadOnly):
		return errFence
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			return &fault{k.status, k.condition, sentence(k.err)}
		}
	}
	return nil
}

func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// fail answers with an error. Nothing must have been written before.
func (c *call) fail(err error) {
	var wait *WaitError
	h := c.w.Header()
	switch {
	case errors.Is(err, ErrUnknown):
		h.Set("WWW-Authenticate", `Basic realm="Passerelle", charset="UTF-8"`)
		c.write(&fault{status: http.StatusUnauthorized, text: "Sign in with the name of your account and an app password. You make app passwords on the page of your account, where they are also revoked."})
		return
	case errors.As(err, &wait):
		h.Set("Retry-After", seconds(wait.RetryAfter))
		c.write(&fault{status: http.StatusTooManyRequests, text: "Too many wrong app passwords: wait, and then enter the right one."})
		return
	}
	f := faultOf(err)
	if f == nil {
		f = &fault{status: http.StatusInternalServerError, text: "Something went wrong here. Nothing was changed; try again later."}
		if c.r.Context().Err() == nil && !errors.Is(err, context.Canceled) {
			c.opt.Log.Error("a request of a program that a person works with failed", "method", c.r.Method, "error", err)
		}
	}
	if f.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", seconds(fenceRetry))
	}
	c.write(f)
}

// write answers in the form that clients show to persons: that of DAV:error, with the message where SabreDAV's servers
// have it.
func (c *call) write(f *fault) {
	h := c.w.Header()
	h.Del("ETag")
	h.Del("Content-Disposition")
	h.Set("Content-Type", `application/xml; charset="utf-8"`)
	c.w.WriteHeader(f.status)
	if c.r.Method == http.MethodHead {
		return
	}
	var b strings.Builder
	b.WriteString(xml.Header + `<D:error xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:A="urn:ietf:params:xml:ns:carddav" xmlns:s="http://sabredav.org/ns">`)
	b.WriteString(f.condition + "<s:message>" + escape(f.text) + "</s:message></D:error>\n")
	io.WriteString(c.w, b.String()) // if the reader is gone there is nobody to tell
}

func escape(text string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(text)) // a Builder does not fail
	return b.String()
}
