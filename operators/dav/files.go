package dav

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/home"
)

// file is a request about a file or a folder.
type file struct {
	*call
	path string // in the home
}

// files answers what is below [Files] and [Trash].
func (c *call) files() error {
	path, err := placeOf(c.r.URL.Path)
	if err != nil {
		return err
	}
	f := &file{call: c, path: path}
	if f.inTrash() && !trashAllows(c.r.Method) {
		return errForbidden
	}
	switch c.r.Method {
	case http.MethodOptions:
		return c.allow("1, 2, 3", "OPTIONS", "GET", "HEAD", "PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPFIND", "PROPPATCH", "LOCK", "UNLOCK")
	case http.MethodGet, http.MethodHead:
		return f.get()
	case http.MethodPut:
		return f.put()
	case http.MethodDelete:
		return f.delete()
	case "MKCOL":
		return f.makeFolder()
	case "COPY", "MOVE":
		return f.transfer()
	case "PROPFIND":
		return f.propfind()
	case "PROPPATCH":
		return f.proppatch()
	case "LOCK":
		return f.lock()
	case "UNLOCK":
		return f.unlock()
	}
	return errMethod
}

func (f *file) inTrash() bool {
	area, _ := formats.SplitPath(f.path)
	return area == formats.Trash
}

// trashAllows reports whether something can be done in the trash: look, take out, and throw away for good.
func trashAllows(method string) bool {
	switch method {
	case http.MethodPut, "MKCOL", "PROPPATCH", "LOCK":
		return false
	}
	return true
}

// isRoot reports whether it is about an area as a whole.
func (f *file) isRoot() bool { return !strings.Contains(f.path, "/") }

// etagOf is the entity tag of a file: the hash of its content. Folders have none.
func etagOf(e *home.Entry) string {
	if e.Folder || e.Record.Blob == nil {
		return ""
	}
	return tagOf(e.Record.Blob.SHA256)
}

func (f *file) delete() error {
	if f.isRoot() && !f.inTrash() {
		return errForbidden
	}
	if depth := f.r.Header.Get("Depth"); depth != "" && !strings.EqualFold(depth, "infinity") {
		return badRequest("What is deleted is deleted with all that is in it: leave out Depth, or say infinity.")
	}
	guard, err := f.guard(f.path, effect{path: f.path, member: true, below: true})
	if err != nil {
		return err
	}
	if err := f.instance.Discard(f.r.Context(), f.path, guard); err != nil {
		return err
	}
	f.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (f *file) makeFolder() error {
	var one [1]byte
	if n, _ := f.r.Body.Read(one[:]); n > 0 {
		return &fault{status: http.StatusUnsupportedMediaType, text: "A folder is made without a body."}
	}
	if err := checkName(f.path); err != nil {
		return err
	}
	guard, err := f.guard(f.path, effect{path: f.path, member: true})
	if err != nil {
		return err
	}
	if f.isRoot() {
		return errMethod
	}
	err = f.instance.MakeFolder(f.r.Context(), f.path, guard)
	if errors.Is(err, home.ErrTaken) {
		return &fault{status: http.StatusMethodNotAllowed, text: "Something of that name is there already."}
	}
	if err != nil {
		return err
	}
	f.w.WriteHeader(http.StatusCreated)
	return nil
}

// depth reads the header Depth: 0 or 1, or -1 for infinity, which is what is meant where there is none.
func (c *call) depth() (int, error) {
	switch d := c.r.Header.Get("Depth"); strings.ToLower(d) {
	case "0":
		return 0, nil
	case "1", "1,noroot":
		return 1, nil
	case "", "infinity":
		return -1, nil
	default:
		return 0, badRequest(fmt.Sprintf("The header Depth cannot be %.20q.", d))
	}
}

func (f *file) propfind() error {
	depth, err := f.depth()
	if err != nil {
		return err
	}
	asked := &propfind{}
	if _, err := f.readXML(asked); err != nil {
		return err
	}
	if depth < 0 {
		return errDepth
	}
	ctx, s := f.r.Context(), f.instance.Sight()
	e, err := s.Entry(ctx, f.path)
	if err != nil {
		return err
	}
	list := []home.Entry{e}
	if depth == 1 && e.Folder {
		inside, err := s.List(ctx, f.path)
		if err != nil {
			return err
		}
		list = append(list, inside...)
	}
	teller := &teller{call: f.call, ctx: ctx, sight: s}
	m := f.multistatus()
	for i := range list {
		if err := m.resource(teller.resource(&list[i]), asked); err != nil && !m.begun {
			return err
		} else if err != nil {
			return f.cut(err)
		}
	}
	return m.end("")
}

// cut ends an answer that has begun so that the client sees that it is not whole.
func (c *call) cut(err error) error {
	c.opt.Log.Error("an answer to a program that a person works with broke off", "method", c.r.Method, "error", err)
	panic(http.ErrAbortHandler)
}

// teller tells the properties of files and folders, and finds out once what is the same for all.
type teller struct {
	*call
	ctx         context.Context
	sight       *home.Sight
	locks       []home.Lock
	looked      bool
	used, quota int64
	counted     bool
}

func (t *teller) resource(e *home.Entry) *resource {
	r := &resource{href: hrefOf(e.Path, e.Folder), props: map[xml.Name]property{
		dav("resourcetype"):           raw(""),
		dav("displayname"):            text(e.Name()),
		dav("supportedlock"):          raw(supportedLock),
		dav("lockdiscovery"):          func() (string, error) { return t.lockdiscovery(e.Path) },
		dav("current-user-principal"): href(t.principal()),
	}}
	if at := e.Record.Modified; !at.IsZero() {
		r.props[dav("getlastmodified")] = httpTime(at)
	}
	if at := e.Record.Created; !at.IsZero() {
		r.props[dav("creationdate")] = isoTime(at)
	}
	if e.Folder {
		t.folder(r)
		return r
	}
	r.props[dav("getcontentlength")] = number(e.Size())
	r.props[dav("getcontenttype")] = text(typeOf(e))
	if etag := etagOf(e); etag != "" {
		r.props[dav("getetag")] = text(etag)
	}
	return r
}

func (t *teller) folder(r *resource) {
	r.props[dav("resourcetype")] = raw("<D:collection/>")
	r.named = map[xml.Name]property{dav("quota-used-bytes"): func() (string, error) {
		err := t.count()
		return fmt.Sprint(t.used), err
	}}
	if err := t.count(); err == nil && t.quota > 0 { // where there is no limit, RFC 4331 leaves it out
		r.named[dav("quota-available-bytes")] = number(max(t.quota-t.used, 0))
	}
}

func (t *teller) count() (err error) {
	if !t.counted {
		t.used, t.quota, err = t.instance.Room(t.ctx)
		t.counted = err == nil
	}
	return err
}

func (t *teller) lockdiscovery(path string) (inner string, err error) {
	if !t.looked {
		if t.locks, err = t.sight.Locks(t.ctx); err != nil {
			return "", err
		}
		t.looked = true
	}
	for i := range t.locks {
		if l := &t.locks[i]; l.Covers(path) {
			inner += activeLock(l)
		}
	}
	return inner, nil
}

// missing reports whether an error says that nothing is there.
func missing(err error) bool { return errors.Is(err, operators.ErrNotFound) }
