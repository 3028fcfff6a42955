package main

import (
	"net/http"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/dataact"
	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/transfer"
	"github.com/passerelle-cloud/passerelle/transfer/move"
)

// catalogue is what persons can take out here: what this program is made of, and nothing that somebody wrote down.
func (s *server) catalogue(operator string) (*transfer.Catalogue, error) {
	c, err := transfer.NewCatalogue(codecs(), formats.Schemas())
	if err != nil {
		return nil, err
	}
	c.Operator, c.Targets, c.Interfaces = operator, targets(), served(s.mux, interfaces())
	for _, stays := range move.NeverMoves() {
		c.Limits = append(c.Limits, transfer.Limit{What: stays.What})
	}
	for _, what := range []string{"codec", "destination", "unreadable"} {
		c.Limits = append(c.Limits, transfer.Limit{What: what})
	}
	c.Terms = transfer.Terms{Notice: s.switching.Notice, Transition: int(dataact.Transition / (24 * time.Hour)), Retained: s.switching.Retained, Charge: s.switching.Charge}
	return c, nil
}

// interfaces are the ways by which data leave, as far as a gateway serves them.
func interfaces() []transfer.Interface {
	services := []string{"OAuth 2.0 (FAPI 2.0)", "RFC 9396", "OpenAPI 3.1"}
	return []transfer.Interface{
		{Name: "download", Path: "/download", Standards: []string{"BagIt 1.0 (RFC 8493)"}},
		{Name: "moves", Path: "/moves/{id}", Standards: services},
		{Name: "data", Path: "/data/{dataset}", Standards: services},
		{Name: "changes", Path: "/data/changes", Standards: services},
		{Name: "webdav", Path: "/dav/files/", Standards: []string{"WebDAV (RFC 4918)"}},
		{Name: "carddav", Path: "/dav/contacts/default/", Standards: []string{"CardDAV (RFC 6352)"}},
		{Name: "caldav", Path: "/dav/calendars/default/", Standards: []string{"CalDAV (RFC 4791)"}},
	}
}

// served are those of the interfaces that a gateway has a route for.
func served(mux *http.ServeMux, list []transfer.Interface) (out []transfer.Interface) {
	for _, i := range list {
		r, err := http.NewRequest(http.MethodGet, strings.NewReplacer("{", "", "}", "").Replace(i.Path), nil)
		if err != nil {
			continue // not a path: it cannot be served
		}
		if _, pattern := mux.Handler(r); pattern != "" {
			out = append(out, i)
		}
	}
	return out
}
