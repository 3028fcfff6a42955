package dav

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/operators/home"
)

// For how long things are locked: what clients ask for, within bounds. A program that crashed must not lock its person
// out for long; one that works refreshes its locks.
const (
	usualLock   = 10 * time.Minute
	longestLock = time.Hour
	maxOwner    = 1000 // bytes
)

const supportedLock = "<D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>" +
	"<D:lockentry><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"

// lockinfo is the body of LOCK (RFC 4918, section 14.11).
type lockinfo struct {
	XMLName   xml.Name  `xml:"DAV: lockinfo"`
	Exclusive *struct{} `xml:"DAV: lockscope>exclusive"`
	Shared    *struct{} `xml:"DAV: lockscope>shared"`
	Write     *struct{} `xml:"DAV: locktype>write"`
	Owner     struct {
		Href string `xml:"DAV: href"`
		Text string `xml:",chardata"`
	} `xml:"DAV: owner"`
}

func (i *lockinfo) owner() string {
	text := strings.TrimSpace(i.Owner.Text)
	if i.Owner.Href != "" {
		text = i.Owner.Href
	}
	if len(text) > maxOwner {
		return ""
	}
	if i.Owner.Href != "" {
		return "<D:href>" + escape(text) + "</D:href>"
	}
	return escape(text)
}

func (f *file) lock() error {
	var info lockinfo
	some, err := f.readXML(&info)
	if err != nil {
		return err
	}
	expires := time.Now().Add(timeout(f.r.Header.Get("Timeout")))
	if !some {
		return f.refresh(expires)
	}
	if (info.Exclusive == nil) == (info.Shared == nil) || info.Write == nil {
		return errXML
	}
	depth, err := f.depth()
	if err != nil || depth == 1 {
		return errors.Join(err, badRequest("The header Depth of a lock is 0 or infinity."))
	}
	if err := checkName(f.path); err != nil {
		return err
	}
	guard, err := f.guard(f.path, effect{path: f.path, member: true, lock: true})
	if err != nil {
		return err
	}
	l, created, err := f.instance.Lock(f.r.Context(), home.Lock{Path: f.path, Deep: depth < 0, Exclusive: info.Exclusive != nil, Owner: info.owner(), Expires: expires}, guard)
	if err != nil {
		return err
	}
	f.w.Header().Set("Lock-Token", "<"+l.Token+">")
	return f.locked(&l, created)
}

// refresh makes a lock last longer, whose token the header If has.
func (f *file) refresh(expires time.Time) error {
	h, ok := parseIf(strings.Join(f.r.Header.Values("If"), " "))
	if !ok || len(h) != 1 || len(h[0].conditions) != 1 || h[0].conditions[0].token == "" {
		return badRequest("A lock is refreshed with its token, alone, in the header If (RFC 4918, section 9.10.2).")
	}
	l, err := f.instance.Refresh(f.r.Context(), f.path, h[0].conditions[0].token, expires)
	if errors.Is(err, home.ErrNoLock) {
		return &fault{http.StatusPreconditionFailed, "<D:lock-token-matches-request-uri/>", sentence(home.ErrNoLock)}
	}
	if err != nil {
		return err
	}
	return f.locked(&l, false)
}

func (f *file) locked(l *home.Lock, created bool) error {
	f.w.Header().Set("Content-Type", `application/xml; charset="utf-8"`)
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	f.w.WriteHeader(status)
	io.WriteString(f.w, xml.Header+`<D:prop xmlns:D="DAV:"><D:lockdiscovery>`+activeLock(l)+"</D:lockdiscovery></D:prop>\n") // if the reader is gone there is nobody to tell
	return nil
}

func (f *file) unlock() error {
	token := f.r.Header.Get("Lock-Token")
	if len(token) < 3 || token[0] != '<' || token[len(token)-1] != '>' {
		return badRequest("The header Lock-Token must say which lock, between < and >.")
	}
	if err := f.instance.Unlock(f.r.Context(), f.path, token[1:len(token)-1]); err != nil {
		return err
	}
	f.w.WriteHeader(http.StatusNoContent)
	return nil
}

// activeLock describes a lock (RFC 4918, section 14.1).
func activeLock(l *home.Lock) string {
	scope, depth := "shared", "0"
	if l.Exclusive {
		scope = "exclusive"
	}
	if l.Deep {
		depth = "infinity"
	}
	owner := ""
	if l.Owner != "" {
		owner = "<D:owner>" + l.Owner + "</D:owner>"
	}
	left := strconv.Itoa(max(int(time.Until(l.Expires)/time.Second), 0))
	return "<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:" + scope + "/></D:lockscope><D:depth>" + depth + "</D:depth>" + owner +
		"<D:timeout>Second-" + left + "</D:timeout><D:locktoken><D:href>" + escape(l.Token) + "</D:href></D:locktoken><D:lockroot><D:href>" +
		escape(hrefOf(l.Path, false)) + "</D:href></D:lockroot></D:activelock>"
}

// timeout reads the header Timeout: the first that can be understood.
func timeout(header string) time.Duration {
	for _, one := range strings.Split(header, ",") {
		one = strings.TrimSpace(one)
		if strings.EqualFold(one, "infinite") {
			return longestLock
		}
		if n, ok := strings.CutPrefix(one, "Second-"); ok {
			if s, err := strconv.ParseUint(n, 10, 32); err == nil && s > 0 {
				return min(time.Duration(s)*time.Second, longestLock)
			}
		}
	}
	return usualLock
}
