package dav

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

// report is the body of REPORT, of whichever kind: its root element says of which.
type report struct {
	XMLName xml.Name
	All     *struct{} `xml:"DAV: allprop"`
	Names   *struct{} `xml:"DAV: propname"`
	Prop    *names    `xml:"DAV: prop"`
	Hrefs   []string  `xml:"DAV: href"`
	Token   string    `xml:"DAV: sync-token"`
	Limit   *limit    `xml:"limit"`
	Filter  filter    `xml:"filter"`
}

type limit struct {
	N int `xml:"nresults"`
}

func (r *report) asked() *propfind { return &propfind{All: r.All, Names: r.Names, Prop: r.Prop} }

// mostHrefs is how many resources one multiget fetches.
const mostHrefs = 5000

func (q *cards) report() error {
	var r report
	if some, err := q.readXML(&r); err != nil || !some {
		return errors.Join(err, errXML)
	}
	switch r.XMLName {
	case xml.Name{Space: q.book.space, Local: q.book.multiget}:
		return q.fetch(&r)
	case xml.Name{Space: q.book.space, Local: q.book.query}:
		return q.search(&r)
	case dav("sync-collection"):
		return q.synchronize(&r)
	}
	return &fault{http.StatusForbidden, "<D:supported-report/>", "This report is not made here."}
}

// self is the book as a resource.
func (q *cards) self() (*resource, error) {
	at, err := q.instance.Sight().Stand(q.r.Context(), q.book.codec.Dataset)
	if err != nil {
		return nil, err
	}
	r := q.folder(q.book.at, q.book.name)
	for name, p := range q.book.props {
		r.props[name] = p
	}
	r.props[dav("resourcetype")] = raw(q.book.types)
	r.props[dav("owner")] = href(q.principal())
	r.props[dav("sync-token")] = text(syncToken(at))
	r.props[xml.Name{Space: nsServer, Local: "getctag"}] = text(syncToken(at))
	r.props[dav("current-user-privilege-set")] = raw("<D:privilege><D:read/></D:privilege><D:privilege><D:write/></D:privilege><D:privilege><D:write-content/></D:privilege><D:privilege><D:bind/></D:privilege><D:privilege><D:unbind/></D:privilege>")
	reports := ""
	for _, name := range []xml.Name{dav("sync-collection"), {Space: q.book.space, Local: q.book.query}, {Space: q.book.space, Local: q.book.multiget}} {
		reports += "<D:supported-report><D:report>" + element(name, "") + "</D:report></D:supported-report>"
	}
	r.props[dav("supported-report-set")] = raw(reports)
	return r, nil
}

// propfind lists the book, one page after the other.
func (q *cards) propfind() error {
	depth, err := q.depth()
	if err != nil {
		return err
	}
	asked := &propfind{}
	if _, err := q.readXML(asked); err != nil {
		return err
	}
	if depth < 0 {
		return errDepth
	}
	self, err := q.self()
	if err != nil {
		return err
	}
	m := q.multistatus()
	if err := m.resource(self, asked); err != nil {
		return err
	}
	if depth == 0 {
		return m.end("")
	}
	for k, err := range q.all(q.r.Context()) {
		if err == nil {
			err = m.resource(q.resource(q.r.Context(), k.Record, k.hash), asked)
		}
		if err != nil {
			return q.cut(err)
		}
	}
	return m.end("")
}

// fetch answers a multiget.
func (q *cards) fetch(r *report) error {
	if len(r.Hrefs) > mostHrefs {
		return badRequest("Fetch at most 5000 at once.")
	}
	m := q.multistatus()
	for _, address := range r.Hrefs {
		err := q.fetchOne(m, address, r.asked())
		if f := faultOf(err); err != nil && f != nil {
			m.status(address, f.status, "")
		} else if err != nil && m.begun {
			return q.cut(err)
		} else if err != nil {
			return err
		}
	}
	return m.end("")
}

func (q *cards) fetchOne(m *multistatus, address string, asked *propfind) error {
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(u.Path, q.book.at) {
		return errNoCard
	}
	record, hash, err := q.record(q.r.Context(), q.book.idOf(u.Path[len(q.book.at):]))
	if err != nil {
		return err
	}
	res := q.resource(q.r.Context(), record, hash)
	res.href = address // as the client wrote it
	return m.resource(res, asked)
}

// search answers a query.
func (q *cards) search(r *report) error {
	match, err := q.book.matcher(&r.Filter)
	if err != nil {
		return err
	}
	m, n, ctx := q.multistatus(), 0, q.r.Context()
	for k, err := range q.all(ctx) {
		var ok bool
		if err == nil {
			ok, err = match(&k.Record, func() (string, error) {
				content, err := q.encode(ctx, k.Record)
				return string(content), err
			})
		}
		if err == nil && ok {
			if n++; r.Limit != nil && n > r.Limit.N {
				m.status(q.book.at, http.StatusInsufficientStorage, "<D:number-of-matches-within-limits/>")
				break
			}
			err = m.resource(q.resource(ctx, k.Record, k.hash), r.asked())
		}
		if err != nil && !m.begun {
			return err
		} else if err != nil {
			return q.cut(err)
		}
	}
	return m.end("")
}

// A token of synchronization (RFC 6578) is a position of the instance.

const syncPrefix = "urn:passerelle:sync:"

func syncToken(at operators.Position) string { return syncPrefix + strconv.FormatInt(int64(at), 10) }

func parseSyncToken(token string) (operators.Position, error) {
	if token = strings.TrimSpace(token); token == "" {
		return 0, nil
	}
	digits, ok := strings.CutPrefix(token, syncPrefix)
	at, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || at < 0 {
		return 0, errToken
	}
	return operators.Position(at), nil
}

var errToken = &fault{http.StatusForbidden, "<D:valid-sync-token/>", "This is no token of this collection: synchronize anew."}

// synchronize tells what changed after a token.
func (q *cards) synchronize(r *report) error {
	after, err := parseSyncToken(r.Token)
	if err != nil {
		return err
	}
	ctx, reader := q.r.Context(), q.instance.Reader()
	at, err := reader.Position(ctx)
	if err != nil {
		return err
	}
	m, n, last := q.multistatus(), 0, at
	for line, err := range reader.Changes(ctx, after, at, []formats.Dataset{q.book.codec.Dataset}) {
		if errors.Is(err, operators.ErrUnsupported) && !m.begun {
			return errToken // from before a backup was restored
		}
		if err == nil && r.Limit != nil && n >= max(r.Limit.N, 1) {
			m.status(q.book.at, http.StatusInsufficientStorage, "<D:number-of-matches-within-limits/>")
			break
		}
		if err == nil {
			n++
			last = line.Position
			err = q.changed(ctx, m, line, r.asked())
		}
		if err != nil && !m.begun {
			return err
		} else if err != nil {
			return q.cut(err)
		}
		if last == at {
			break
		}
	}
	if r.Limit == nil || n < max(r.Limit.N, 1) {
		last = at
	}
	return m.end("<D:sync-token>" + syncToken(last) + "</D:sync-token>")
}

func (q *cards) changed(ctx context.Context, m *multistatus, line operators.Line, asked *propfind) error {
	if line.Deleted {
		m.status(q.book.hrefOf(line.ID), http.StatusNotFound, "")
		return nil
	}
	r, err := line.Parse()
	if err != nil || !q.book.holds(&r) {
		return err
	}
	return m.resource(q.resource(ctx, r, line.Hash), asked)
}
