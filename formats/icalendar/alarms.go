package icalendar

import (
	"cmp"
	"encoding/json"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// iCalMember is the member of an alert that keeps what only its VALARM says.
const iCalMember = "iCalComponent"

// alarm takes a VALARM. It returns false for one without a trigger.
func (d *decoded) alarm(c *component) bool {
	var alert formats.CalendarAlert
	id := &property{params: formats.Params{}}
	var kept []property
	for i := range c.properties {
		p := c.properties[i].clone()
		switch {
		case p.name == jsID:
			id.set(jsIDParam, unescape(p.value))
		case !d.alarmProperty(&alert, &p):
			kept = append(kept, c.properties[i])
		case len(p.params) > 0:
			kept = append(kept, p)
		}
	}
	if alert.Trigger == nil {
		return false
	}
	if len(kept)+len(c.components) > 0 {
		all := toJCal(&component{properties: kept, components: c.components})
		own := formats.ICalComponent{Name: "valarm", Properties: all.Properties, Components: all.Components}
		raw, err := formats.MarshalBody(own)
		if err != nil {
			return false
		}
		alert.Others = formats.Members{iCalMember: raw}
	}
	put(&d.event.Alerts, nextID(d.event.Alerts, id), alert)
	return true
}

// alarmProperty takes a property of a VALARM into an alert.
func (d *decoded) alarmProperty(alert *formats.CalendarAlert, p *property) bool {
	switch p.name {
	case "TRIGGER":
		if alert.Trigger != nil {
			return false
		}
		alert.Trigger = readTrigger(p)
		return alert.Trigger != nil
	case "ACTION":
		action := strings.ToUpper(strings.TrimSpace(p.value))
		if alert.Action != "" || action != "DISPLAY" && action != "EMAIL" {
			return false
		}
		if action == "EMAIL" {
			alert.Action = "email"
		}
		return true
	case "ACKNOWLEDGED":
		text, _, ok := p.stamp()
		if !ok || alert.Acknowledged != "" {
			return false
		}
		alert.Acknowledged = text
		return true
	case "RELATED-TO":
		put(&alert.RelatedTo, unescape(p.value), readRelation(p))
		return true
	case "DESCRIPTION", "SUMMARY":
		return unescape(p.value) == alarmText(&d.event) && len(p.params) == 0
	}
	return false
}

// alarmText is what a reminder shows where nothing else is said: RFC 5545 section 3.6.6 obliges it to show something.
func alarmText(e *formats.Event) string { return cmp.Or(strings.TrimSpace(e.Title), "Reminder") }

func readTrigger(p *property) *formats.CalendarTrigger {
	if text, _, ok := p.stamp(); ok {
		timed(p)
		return &formats.CalendarTrigger{When: text}
	}
	offset := strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(p.value)), "+")
	if !isDuration(offset) {
		return nil
	}
	t := &formats.CalendarTrigger{Offset: offset}
	delete(p.params, "value")
	switch strings.ToUpper(p.param("related")) {
	case "END":
		t.RelativeTo = "end"
		p.take("related")
	case "START":
		p.take("related")
	}
	return t
}

// alarms adds a VALARM for each alert.
func (e *encoder) alarms() {
	for n, id := range ids(e.event.Alerts) {
		alert := e.event.Alerts[id]
		c := component{name: "VALARM"}
		if !writeTrigger(&c, alert.Trigger) {
			continue
		}
		if p := (property{params: formats.Params{}}); number(n, id, &p) {
			c.add(jsID, escape(id))
		}
		e.alarm(&c, &alert)
		e.c.components = append(e.c.components, c)
	}
}

func writeTrigger(c *component, t *formats.CalendarTrigger) bool {
	if t == nil {
		return false
	}
	if at, ok := parseUTC(t.When); ok {
		c.add("TRIGGER", formatUTC(at)).set("value", "DATE-TIME")
		return true
	}
	if !isDuration(t.Offset) {
		return false
	}
	p := c.add("TRIGGER", t.Offset)
	if t.RelativeTo == "end" {
		p.set("related", "END")
	}
	return true
}

func (e *encoder) alarm(c *component, alert *formats.CalendarAlert) {
	var kept formats.ICalComponent
	if json.Unmarshal(alert.Others[iCalMember], &kept) != nil {
		kept = formats.ICalComponent{}
	}
	has := func(name string) bool {
		for _, p := range kept.Properties {
			if strings.EqualFold(p.Name, name) {
				return true
			}
		}
		return false
	}
	if at, ok := parseUTC(alert.Acknowledged); ok {
		c.add("ACKNOWLEDGED", formatUTC(at))
	}
	for _, key := range ids(alert.RelatedTo) {
		writeRelation(c, key, alert.RelatedTo[key])
	}
	action := "DISPLAY"
	if alert.Action == "email" {
		action = "EMAIL"
		if !has("SUMMARY") {
			c.add("SUMMARY", escape(alarmText(e.event)))
		}
	}
	if !has("ACTION") {
		c.add("ACTION", action)
	}
	if !has("DESCRIPTION") && !has("ACTION") {
		c.add("DESCRIPTION", escape(alarmText(e.event)))
	}
	c.merge(kept.Properties, kept.Components)
}
