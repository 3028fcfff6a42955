package icalendar

import (
	"encoding/json"
	"maps"
	"reflect"
	"strconv"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// valueTypes are the value types that registered properties have without a VALUE parameter.
var valueTypes = map[string]string{
	"CALSCALE": "text", "METHOD": "text", "PRODID": "text", "VERSION": "text", "CATEGORIES": "text", "CLASS": "text",
	"COMMENT": "text", "DESCRIPTION": "text", "LOCATION": "text", "RESOURCES": "text", "STATUS": "text",
	"SUMMARY": "text", "TRANSP": "text", "TZID": "text", "TZNAME": "text", "CONTACT": "text", "RELATED-TO": "text",
	"UID": "text", "ACTION": "text", "NAME": "text", "COLOR": "text", "PERCENT-COMPLETE": "integer",
	"PRIORITY": "integer", "REPEAT": "integer", "SEQUENCE": "integer", "ATTACH": "uri", "TZURL": "uri", "URL": "uri",
	"IMAGE": "uri", "CONFERENCE": "uri", "SOURCE": "uri", "ATTENDEE": "cal-address", "ORGANIZER": "cal-address",
	"COMPLETED": "date-time", "DTEND": "date-time", "DUE": "date-time", "DTSTART": "date-time", "CREATED": "date-time",
	"DTSTAMP": "date-time", "LAST-MODIFIED": "date-time", "RECURRENCE-ID": "date-time", "EXDATE": "date-time",
	"RDATE": "date-time", "ACKNOWLEDGED": "date-time", "DURATION": "duration", "TRIGGER": "duration",
	"REFRESH-INTERVAL": "duration", "TZOFFSETFROM": "utc-offset", "TZOFFSETTO": "utc-offset",
}

const unknown = "unknown"

// maxValues is how many values a property is split into.
const maxValues = 10_000

func defaultType(name string) string {
	if t := valueTypes[name]; t != "" {
		return t
	}
	return unknown
}

// json returns the property in jCal form (RFC 7265 section 3.4). A value that this form could not give back exactly is
// of the type "unknown": the text as it stands in the file.
func (p *property) json() formats.Property {
	out := formats.Property{Name: strings.ToLower(p.name), Params: maps.Clone(p.params), Type: defaultType(p.name)}
	if v := strings.ToLower(p.param("value")); v != "" {
		out.Type = v
		delete(out.Params, "value")
	}
	parts := []string{p.value}
	switch out.Type {
	case "text", "integer", "date", "date-time", "duration":
		if strings.Count(p.value, ",") < maxValues {
			parts = split(p.value, ',')
		}
	}
	for _, part := range parts {
		out.Values = append(out.Values, jsonValue(part, out.Type))
	}
	if back, ok := fromJSON(out); ok && back.value == p.value && sameParams(&back, p) {
		return out
	}
	return formats.Property{
		Name: strings.ToLower(p.name), Params: maps.Clone(p.params), Type: unknown, Values: []json.RawMessage{jsonString(p.value)},
	}
}

// sameParams reports whether two properties have the same parameters; the case of VALUE does not matter.
func sameParams(a, b *property) bool {
	x, y := maps.Clone(a.params), maps.Clone(b.params)
	for _, params := range []formats.Params{x, y} {
		if v := params["value"]; len(v) == 1 {
			params["value"] = []string{strings.ToLower(v[0])}
		}
	}
	return reflect.DeepEqual(x, y)
}

func jsonValue(value, typ string) json.RawMessage {
	switch typ {
	case "text":
		return jsonString(unescape(value))
	case "integer":
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && strconv.FormatInt(n, 10) == value {
			return json.RawMessage(value)
		}
	case "date", "date-time":
		if local, form := parseTime(value); form != noTime {
			text := local
			switch form {
			case dateOnly:
				text = local[:len(dateForm)]
			case utcTime:
				text += "Z"
			}
			return jsonString(text)
		}
	case "utc-offset":
		if len(value) == 5 {
			return jsonString(value[:3] + ":" + value[3:])
		}
	}
	return jsonString(value)
}

// fromJSON is the reverse of json. It returns false for what no line can say.
func fromJSON(j formats.Property) (property, bool) {
	p := property{name: strings.ToUpper(j.Name), params: formats.Params{}}
	maps.Copy(p.params, j.Params)
	if j.Type != unknown && j.Type != defaultType(p.name) {
		p.params["value"] = []string{strings.ToUpper(j.Type)}
	}
	var values []string
	for _, raw := range j.Values {
		v, ok := lineValue(raw, j.Type)
		if !ok {
			return p, false
		}
		values = append(values, v)
	}
	p.value = strings.Join(values, ",")
	return p, p.writable() && token.MatchString(j.Type)
}

func lineValue(raw json.RawMessage, typ string) (string, bool) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return string(raw), typ == "integer" && json.Valid(raw) && strings.IndexByte("-0123456789", raw[0]) >= 0
	}
	switch typ {
	case "text":
		return escape(s), true
	case "date", "date-time":
		return strings.NewReplacer("-", "", ":", "").Replace(s), true
	case "utc-offset":
		return strings.ReplaceAll(s, ":", ""), true
	}
	return s, true
}

func jsonString(s string) json.RawMessage { return formats.AppendString(nil, s) }

// toJCal returns a component in its JSON form.
func toJCal(c *component) formats.Component {
	out := formats.Component{Name: strings.ToLower(c.name)}
	for i := range c.properties {
		out.Properties = append(out.Properties, c.properties[i].json())
	}
	for i := range c.components {
		out.Components = append(out.Components, toJCal(&c.components[i]))
	}
	return out
}

// fromJCal is the reverse of toJCal. What no line can say is left out.
func fromJCal(j formats.Component, depth int) (component, bool) {
	c := component{name: strings.ToUpper(j.Name)}
	if !token.MatchString(c.name) || depth > maxDepth-2 { // it stands in an event, or in an alarm of it
		return c, false
	}
	for _, p := range j.Properties {
		if p, ok := fromJSON(p); ok {
			c.properties = append(c.properties, p)
		}
	}
	for _, inner := range j.Components {
		if inner, ok := fromJCal(inner, depth+1); ok {
			c.components = append(c.components, inner)
		}
	}
	return c, true
}
