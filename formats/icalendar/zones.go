package icalendar

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// maxZones is how many time zones a calendar may define, and maxZone how many bytes each may have. Others are taken for
// unknown.
const maxZones, maxZone = 200, 256 << 10

// maxName is how many bytes the name of a zone may have that is looked up.
const maxName = 255

// zones says what the names of time zones in a file mean. It is for one walk at a time.
type zones struct {
	custom map[string]*customZone    // by TZID; only zones that are none of IANA's
	names  map[string]string         // TZID to the name that JSCalendar has for it
	places map[string]*time.Location // by the name of JSCalendar; nil where nothing is known
}

// customZone is a zone that a calendar defines itself.
type customZone struct {
	name       string // a key of timeZones: it begins with "/"
	definition formats.CalendarTimeZone
	place      *time.Location // nil if its rules are too unusual to follow
}

func newZones() *zones {
	return &zones{custom: map[string]*customZone{}, names: map[string]string{}, places: map[string]*time.Location{}}
}

// walk returns the same zones for another walk.
func (z *zones) walk() *zones {
	return &zones{custom: z.custom, names: maps.Clone(z.names), places: map[string]*time.Location{}}
}

// define notes a VTIMEZONE. Of two with the same TZID the first counts.
func (z *zones) define(c *component) {
	id := c.text("TZID")
	if _, twice := z.names[id]; twice || id == "" || len(id) > maxName || len(z.names) >= maxZones || c.size > maxZone {
		return
	}
	if name := z.iana(id); name != "" {
		z.names[id] = name
		return
	}
	if hint := c.text("X-LIC-LOCATION"); hint == id || z.iana(hint) != "" {
		z.names[id] = hint
		return
	}
	zone := &customZone{name: "/" + strings.TrimPrefix(id, "/"), definition: readZone(c)}
	for z.named(zone.name) != nil { // "x" and "/x" are both there
		zone.name = "/" + zone.name
	}
	zone.place = follow(&zone.definition)
	z.names[id], z.custom[id] = zone.name, zone
}

// name returns the name that JSCalendar has for a TZID. One that means nothing known stays as it is.
func (z *zones) name(id string) string {
	if name, ok := z.names[id]; ok || id == "" {
		return name
	}
	if len(id) > maxName {
		return id
	}
	name := z.iana(id)
	if name == "" {
		name = id
	}
	if len(z.names) < 2*maxZones {
		z.names[id] = name
	}
	return name
}

var ianaForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,3}$`)

// iana returns the IANA name that a TZID means, or "". Programs put a name of their own before it
// ("/example.org/20210210/Europe/Paris"), and Windows has its own names.
func (z *zones) iana(id string) string {
	if z.known(id) {
		return canonical(id)
	}
	if name := windowsZones[id]; name != "" && z.known(name) {
		return name
	}
	parts := strings.Split(strings.Trim(id, "/"), "/")
	if len(id) > maxName || !strings.HasPrefix(id, "/") {
		return ""
	}
	for n := min(3, len(parts)); n > 1; n-- {
		if name := strings.Join(parts[len(parts)-n:], "/"); z.known(name) {
			return canonical(name)
		}
	}
	return ""
}

// canonical gives UTC the one name that times with a "Z" have.
func canonical(name string) string {
	if slices.Contains([]string{"UTC", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu", "Etc/Universal", "Universal"}, name) {
		return utc
	}
	return name
}

// known reports whether this machine knows a zone of that IANA name.
func (z *zones) known(name string) bool {
	return !strings.HasPrefix(name, "/") && z.location(name) != nil
}

// location returns the zone of that JSCalendar name, or nil if nothing is known of it.
func (z *zones) location(name string) *time.Location {
	if name == utc {
		return time.UTC
	}
	if place, done := z.places[name]; done || len(name) > maxName {
		return place
	}
	place := z.load(name)
	if len(z.places) >= 4*maxZones {
		clear(z.places)
	}
	z.places[name] = place
	return place
}

func (z *zones) load(name string) *time.Location {
	if strings.HasPrefix(name, "/") {
		if custom := z.named(name); custom != nil {
			return custom.place
		}
		return nil
	}
	if !ianaForm.MatchString(name) || name == "Local" {
		return nil
	}
	place, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	return place
}

// named returns the zone that the calendar defines itself under that JSCalendar name, or nil.
func (z *zones) named(name string) *customZone {
	for _, custom := range z.custom {
		if custom.name == name {
			return custom
		}
	}
	return nil
}

// id returns the TZID for a JSCalendar name.
func (z *zones) id(name string) string {
	if custom := z.named(name); custom != nil {
		return custom.definition.TZID
	}
	return name
}
