package dav

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/passerelle-cloud/passerelle/operators/home"
)

// transfer answers COPY and MOVE (RFC 4918, sections 9.8 and 9.9).
func (f *file) transfer() error {
	to, err := f.destination()
	if err != nil {
		return err
	}
	move := f.r.Method == "MOVE"
	depth := strings.ToLower(f.r.Header.Get("Depth"))
	if depth != "" && depth != "infinity" && (move || depth != "0") {
		return badRequest("The header Depth cannot be that here.")
	}
	effects := []effect{{path: to, member: true, below: true}}
	if move {
		effects = append(effects, effect{path: f.path, member: true, below: true})
	}
	guard, err := f.guard(f.path, effects...)
	if err != nil {
		return err
	}
	t := home.Transfer{From: f.path, To: to, Replace: !strings.EqualFold(f.r.Header.Get("Overwrite"), "F"), Shallow: depth == "0", Guard: guard}
	do := f.instance.Copy
	if move {
		do = f.instance.Move
	}
	created, err := do(f.r.Context(), t)
	if errors.Is(err, home.ErrTaken) {
		return &fault{status: http.StatusPreconditionFailed, text: "Something of that name is there already."}
	}
	if err != nil {
		return err
	}
	return f.done(created)
}

// destination returns the path that the header Destination means.
func (f *file) destination() (string, error) {
	u, err := url.Parse(f.r.Header.Get("Destination"))
	if err != nil || u.Path == "" || u.Opaque != "" {
		return "", badRequest("The header Destination must say where to, as a URL.")
	}
	if u.Host != "" && !strings.EqualFold(u.Host, f.r.Host) {
		return "", &fault{status: http.StatusBadGateway, text: "Nothing can be sent to another server that way: fetch it, and put it there."}
	}
	if strings.Contains(strings.ToLower(u.EscapedPath()), "%2f") {
		return "", badName("a name cannot hold a slash")
	}
	to, err := placeOf(u.Path)
	if err != nil {
		return "", err
	}
	return to, checkName(to)
}
