package icalendar

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// taken are names of components that mean something else than a document. One of a document gets a prefix.
var taken = []string{"VCALENDAR", "VEVENT", "VTODO", "VTIMEZONE"}

// header are properties of a calendar that say nothing of its owner's.
var header = []string{"VERSION", "PRODID", "METHOD", "CALSCALE"}

// documentOf reads a component that is neither an event nor a task, such as a journal entry.
func documentOf(c *component) (envelope, formats.ICalComponent) {
	var v envelope
	var kept []property
	for i := range c.properties {
		p := c.properties[i].clone()
		ours := c.name == "VCALENDAR" && slices.Contains(header, p.name)
		if !ours && !v.own(&p) {
			kept = append(kept, p)
		}
	}
	all := toJCal(&component{properties: kept, components: c.components})
	name := strings.ToLower(strings.TrimPrefix(c.name, ownPrefix))
	return v, formats.ICalComponent{Name: name, Properties: all.Properties, Components: all.Components}
}

// readDocument returns the body of a document, and what its component says beside it.
func readDocument(c *component) (envelope, json.RawMessage, error) {
	v, document := documentOf(c)
	body, err := formats.MarshalBody(document)
	if err != nil {
		return v, nil, err
	}
	return v, v.patched(formats.KindDocument, body), nil
}

// writeDocument returns the component of a document. It returns false for one that is no component of a calendar.
func writeDocument(r *formats.Record) (component, bool) {
	var document formats.ICalComponent
	if json.Unmarshal(r.Body, &document) != nil || !token.MatchString(document.Name) {
		return component{}, false
	}
	c := component{name: strings.ToUpper(document.Name)}
	if slices.Contains(taken, c.name) || strings.HasPrefix(c.name, ownPrefix) {
		c.name = ownPrefix + c.name
	}
	c.merge(document.Properties, document.Components)
	return c, true
}

// isHeader reports whether a document is what a calendar says of itself.
func isHeader(c *component) bool {
	return c.name == ownPrefix+"VCALENDAR" && len(c.components) == 0 &&
		!slices.ContainsFunc(c.properties, func(p property) bool { return slices.Contains(header, p.name) })
}
