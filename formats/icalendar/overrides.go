package icalendar

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/passerelle-cloud/passerelle/formats"
)

// maxOverrides is how many bytes the overridden instances of one event may have.
const maxOverrides = 64 << 20

// instance reports whether a component is an overridden instance of another with the same UID, and not a record of its
// own.
func (c *component) instance() bool {
	if c.name != "VEVENT" && c.name != "VTODO" || c.first(ownID) != nil || c.text("UID") == "" {
		return false
	}
	p := c.first("RECURRENCE-ID")
	if p == nil {
		return false
	}
	_, form := parseTime(p.value)
	return form != noTime
}

// decodeAll reads an event or task with its overridden instances, which become patches (RFC 8984 section 4.3.5). Of
// two for the same occurrence the one with the higher SEQUENCE counts, else the later one.
func (z *zones) decodeAll(c *component, instances []component) (*decoded, error) {
	d := z.decode(c, nil)
	if len(instances) == 0 {
		return d, nil
	}
	common, err := base(&d.event)
	if err != nil {
		return nil, err
	}
	sequences := map[string]int{}
	for i := range instances {
		one := z.decode(&instances[i], &d.event)
		key := z.occurrence(moment{
			local: one.event.RecurrenceID, zone: one.event.RecurrenceIDTimeZone,
			date: isDateValue(instances[i].first("RECURRENCE-ID")),
		}, d.start)
		if last, twice := sequences[key]; twice && last > one.event.Sequence {
			continue
		}
		sequences[key] = one.event.Sequence
		patch, err := patchOf(common, &one.event, key)
		if err != nil {
			return nil, err
		}
		put(&d.event.RecurrenceOverrides, key, patch)
	}
	return d, nil
}

func isDateValue(p *property) bool {
	_, form := parseTime(p.value)
	return form == dateOnly
}

// base returns the members that the occurrences of an event have in common with it. All but the start.
func base(event *formats.Event) (json.RawMessage, error) {
	e := *event
	e.UID, e.ProdID, e.Method, e.Start = "", "", "", ""
	e.RecurrenceRules, e.ExcludedRules, e.RecurrenceOverrides = nil, nil, nil
	e.RecurrenceID, e.RecurrenceIDTimeZone, e.TimeZones = "", "", nil
	return formats.MarshalBody(e)
}

// patchOf returns how an occurrence differs from the event.
func patchOf(common json.RawMessage, one *formats.Event, key string) (formats.PatchObject, error) {
	own, err := base(one)
	if err != nil {
		return nil, err
	}
	patch := formats.Difference(common, own)
	if one.Start != key {
		patch["start"] = jsonString(one.Start)
	}
	return patch, nil
}

// instances writes the overridden instances of an event. Those that would make it too long to be read again are left
// to a JSPROP.
func (z *zones) instances(event *formats.Event, task bool, complete func(*component, *formats.Event)) ([]byte, error) {
	if len(event.RecurrenceOverrides) == 0 {
		return nil, nil
	}
	common, err := base(event)
	if err != nil {
		return nil, err
	}
	start, known := parseLocal(event.Start)
	date := known && event.ShowWithoutTime && event.TimeZone == "" && start.Format(localForm)[len(dateForm):] == midnight
	var lines bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(event.RecurrenceOverrides)) {
		patch := event.RecurrenceOverrides[key]
		t, ok := parseLocal(key)
		if !ok || !known || len(patch) == 0 || string(patch["excluded"]) == "true" || lines.Len() > maxOverrides/8 {
			continue
		}
		if date && t.Format(localForm)[len(dateForm):] != midnight {
			continue
		}
		one, err := apply(common, patch, key)
		if err != nil {
			return nil, err
		}
		one.UID = event.UID
		c := z.encode(one, task, &moment{local: key, zone: event.TimeZone, date: date})
		complete(&c, one)
		c.write(&lines)
	}
	return lines.Bytes(), nil
}

// apply returns an occurrence as an event.
func apply(common json.RawMessage, patch formats.PatchObject, key string) (*formats.Event, error) {
	whole := maps.Clone(patch)
	if _, moved := whole["start"]; !moved {
		whole["start"] = jsonString(key)
	}
	raw, err := whole.Apply(common)
	if err != nil {
		return nil, err
	}
	var e formats.Event
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	e.RecurrenceRules, e.ExcludedRules, e.RecurrenceOverrides = nil, nil, nil
	return &e, nil
}
