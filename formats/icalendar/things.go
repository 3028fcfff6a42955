package icalendar

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// thing takes the properties that point to places and documents.
func (d *decoded) thing(p *property) bool {
	switch p.name {
	case "LOCATION", "GEO":
		return d.location(p)
	case "CONFERENCE":
		return d.conference(p)
	}
	return d.link(p)
}

var geoForm = regexp.MustCompile(`^([+-]?[0-9]+(?:\.[0-9]+)?);([+-]?[0-9]+(?:\.[0-9]+)?)$`)

// location takes LOCATION and GEO, which mean one place.
func (d *decoded) location(p *property) bool {
	place, known := d.event.Locations[d.place]
	switch {
	case p.name == "LOCATION":
		if !text(p, &place.Name) {
			return false
		}
	default:
		m := geoForm.FindStringSubmatch(strings.ReplaceAll(p.value, " ", ""))
		if m == nil || place.Coordinates != "" {
			return false
		}
		place.Coordinates = "geo:" + m[1] + "," + m[2]
	}
	if !known {
		d.place = nextID(d.event.Locations, p)
	}
	put(&d.event.Locations, d.place, place)
	return true
}

// conference takes CONFERENCE (RFC 7986 section 5.11).
func (d *decoded) conference(p *property) bool {
	v := formats.CalendarVirtualLocation{URI: p.value, Name: p.take("label")}
	for _, feature := range p.params["feature"] {
		put((*map[string]bool)(&v.Features), strings.ToLower(feature), true)
	}
	delete(p.params, "feature")
	uri(p)
	put(&d.event.VirtualLocations, nextID(d.event.VirtualLocations, p), v)
	return true
}

// uri takes the parameter that says that a value is a URI.
func uri(p *property) {
	if strings.EqualFold(p.param("value"), "uri") {
		delete(p.params, "value")
	}
}

// Relations of the links that have a property of their own; others are LINK (RFC 9253 section 8.2).
var linkNames = map[string]string{"describedby": "URL", "enclosure": "ATTACH", "icon": "IMAGE"}

// link takes the properties that are links.
func (d *decoded) link(p *property) bool {
	v := formats.CalendarLink{Href: p.value}
	for rel, name := range linkNames {
		if name == p.name {
			v.Rel = rel
		}
	}
	if p.name == "LINK" {
		if v.Rel = p.param("linkrel"); v.Rel == "" || linkNames[v.Rel] != "" || !strings.EqualFold(p.param("value"), "uri") {
			return false
		}
		delete(p.params, "linkrel")
	}
	if p.name != "URL" {
		v.ContentType = p.take("fmttype")
		v.Title = p.take(titleParam(p.name))
	}
	if strings.EqualFold(p.param("encoding"), "base64") && len(p.params["encoding"]) == 1 {
		v.Href = "data:" + v.ContentType + ";base64," + p.value
		delete(p.params, "encoding")
		delete(p.params, "value")
	}
	if size, err := strconv.ParseInt(p.param("size"), 10, 64); err == nil && size > 0 && strconv.FormatInt(size, 10) == p.param("size") {
		v.Size = size
		delete(p.params, "size")
	}
	if display := p.param("display"); p.name == "IMAGE" && display != "" && len(p.params["display"]) == 1 {
		v.Display = strings.ToLower(p.take("display"))
	}
	uri(p)
	put(&d.event.Links, nextID(d.event.Links, p), v)
	return true
}

// titleParam is the parameter that names what a link leads to.
func titleParam(name string) string {
	if name == "ATTACH" {
		return "filename" // RFC 8607 section 5
	}
	return "label" // RFC 7986 section 6.4
}

// things adds the properties that point to places and documents.
func (e *encoder) things() {
	e.location()
	for n, id := range ids(e.event.VirtualLocations) {
		v := e.event.VirtualLocations[id]
		if v.URI == "" {
			continue
		}
		p := e.object(n, id, "CONFERENCE", v.URI).set("value", "URI").set("label", v.Name)
		for _, feature := range ids(v.Features) {
			p.params["feature"] = append(p.params["feature"], strings.ToUpper(feature))
		}
	}
	for n, id := range ids(e.event.Links) {
		if v := e.event.Links[id]; v.Href != "" {
			e.link(n, id, &v)
		}
	}
}

// location adds the place where an event is, or begins.
func (e *encoder) location() {
	for _, id := range ids(e.event.Locations) {
		v := e.event.Locations[id]
		if v.RelativeTo == "end" || v.Name == "" && v.Coordinates == "" {
			continue
		}
		n := 0
		if v.Name != "" {
			e.object(n, id, "LOCATION", escape(v.Name))
			n = -1 // the id is said
		}
		coordinates, isGeo := strings.CutPrefix(v.Coordinates, "geo:")
		if value := strings.Replace(coordinates, ",", ";", 1); isGeo && geoForm.MatchString(value) {
			if n < 0 {
				e.c.add("GEO", value)
			} else {
				e.object(n, id, "GEO", value)
			}
		}
		return
	}
}

func (e *encoder) link(n int, id string, v *formats.CalendarLink) {
	name := linkNames[v.Rel]
	switch {
	case name == "" && v.Rel == "":
		name = "ATTACH"
	case name == "":
		name = "LINK"
	}
	p := e.object(n, id, name, v.Href)
	if name == "LINK" {
		p.set("linkrel", v.Rel).set("value", "URI")
	}
	if name == "IMAGE" {
		p.set("display", strings.ToUpper(v.Display)).set("value", "URI")
	}
	if data, ok := strings.CutPrefix(v.Href, "data:"+v.ContentType+";base64,"); ok && data != "" && name != "URL" {
		p.value = data
		p.set("encoding", "BASE64").set("value", "BINARY")
	}
	if name != "URL" {
		p.set("fmttype", v.ContentType).set(titleParam(name), v.Title)
	}
	if v.Size > 0 {
		p.set("size", strconv.FormatInt(v.Size, 10))
	}
}
