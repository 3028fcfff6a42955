package icalendar

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// What is written of a zone, followed by its own rules alone, gives the offsets that the zone database has.
func TestVTimezone(t *testing.T) {
	for _, name := range []string{
		"Europe/Paris", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca",
		"Asia/Jerusalem", "America/Sao_Paulo", "Pacific/Apia", "America/St_Johns", "Europe/Dublin", "Asia/Tehran", "Etc/GMT+5",
	} {
		for _, span := range [][2]int{{2020, 2026}, {1950, 1999}, {2030, 2090}} {
			t.Run(fmt.Sprint(name, span), func(t *testing.T) {
				place, err := time.LoadLocation(name)
				if err != nil {
					t.Skipf("this machine does not know %s", name)
				}
				c := vtimezone(name, place, span[0], span[1])
				var lines bytes.Buffer
				c.write(&lines)
				checkLines(t, lines.String())
				again, err := readOne(lines.String())
				if err != nil {
					t.Fatal(err)
				}
				definition := readZone(&again)
				followed := follow(&definition)
				if followed == nil {
					t.Fatal("the rules cannot be followed")
				}
				end := time.Date(max(span[1], openYear), 12, 30, 0, 0, 0, 0, time.UTC)
				for at := time.Date(span[0], 1, 1, 0, 0, 0, 0, time.UTC); at.Before(end); at = at.Add(5 * time.Hour) {
					_, want := at.In(place).Zone()
					if _, got := at.In(followed).Zone(); got != want {
						t.Fatalf("at %v the offset is %d, not %d", at, got, want)
					}
				}
			})
		}
	}
}

func TestVTimezoneStays(t *testing.T) {
	place, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Skip("this machine does not know Europe/Paris")
	}
	c := vtimezone("Europe/Paris", place, 2024, 2026)
	var lines bytes.Buffer
	c.write(&lines)
	want := "BEGIN:VTIMEZONE TZID:Europe/Paris X-LIC-LOCATION:Europe/Paris " +
		"BEGIN:DAYLIGHT DTSTART:20230326T020000 RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU TZNAME:CEST TZOFFSETFROM:+0100 TZOFFSETTO:+0200 END:DAYLIGHT " +
		"BEGIN:STANDARD DTSTART:20231029T030000 RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU TZNAME:CET TZOFFSETFROM:+0200 TZOFFSETTO:+0100 END:STANDARD " +
		"END:VTIMEZONE"
	if got := strings.Join(strings.Fields(lines.String()), " "); got != want {
		t.Errorf("%s\nnot\n%s", got, want)
	}
}

const ownZone = `BEGIN:VTIMEZONE
TZID:Bureau
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
`

func TestZoneNames(t *testing.T) {
	for _, c := range []struct{ name, zones, tzid, want string }{
		{"IANA", "", "Europe/Paris", `"timeZone":"Europe/Paris"`},
		{"a prefix", "", "/example.org/20210210_1/Europe/Paris", `"timeZone":"Europe/Paris"`},
		{"Windows", "", "Romance Standard Time", `"timeZone":"Europe/Paris"`},
		{"UTC", "", "UTC", `"timeZone":"Etc/UTC"`},
		{"unknown", "", "Nowhere", `"timeZone":"Nowhere"`},
		{"quoted", "", `"Europe/Paris"`, `"timeZone":"Europe/Paris"`},
		{"its own", ownZone, "Bureau", `"timeZone":"/Bureau"`},
		{"a hint", strings.Replace(ownZone, "BEGIN:STANDARD", "X-LIC-LOCATION:Europe/Rome\nBEGIN:STANDARD", 1), "Bureau", `"timeZone":"Europe/Rome"`},
		{"a path", "", "../../etc/passwd", `"timeZone":"../../etc/passwd"`},
		{"local", "", "Local", `"timeZone":"Local"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := decode(t, "BEGIN:VCALENDAR\n"+c.zones+"BEGIN:VEVENT\nUID:1\nDTSTART;TZID="+c.tzid+":20240610T100000\n"+
				"DTEND:20240610T093000Z\nEND:VEVENT\nEND:VCALENDAR\n")
			if len(list) != 1 || !strings.Contains(string(list[0].Body), c.want) {
				t.Fatalf("%v has no %s", list, c.want)
			}
			roundTrip(t, list...)
		})
	}
}

// The rules of a calendar's own zone count: for the end of an event, and for the last time of a rule.
func TestOwnZone(t *testing.T) {
	list := decode(t, "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART;TZID=Bureau:20240610T100000\nDTEND:20240610T093000Z\n"+
		"RRULE:FREQ=WEEKLY;UNTIL=20241216T090000Z\nEND:VEVENT\n"+ownZone+"END:VCALENDAR\n")
	for _, want := range []string{`"duration":"PT1H30M"`, `"until":"2024-12-16T10:00:00"`, `"timeZones":{"/Bureau":{"@type":"TimeZone","tzId":"Bureau"`} {
		if !strings.Contains(string(list[0].Body), want) {
			t.Errorf("%s has no %s", list[0].Body, want)
		}
	}
	text := roundTrip(t, list...)
	for _, want := range []string{"TZID:Bureau", "DTSTART;TZID=Bureau:20240610T100000", "UNTIL=20241216T090000Z"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s\nhas no %s", text, want)
		}
	}
}

func TestInstant(t *testing.T) {
	z := newZones()
	if !z.known("Europe/Paris") {
		t.Skip("this machine does not know Europe/Paris")
	}
	for local, want := range map[string]string{
		"2026-03-29T01:59:59": "2026-03-29T00:59:59Z", "2026-03-29T02:30:00": "2026-03-29T01:30:00Z", // skipped
		"2026-10-25T02:30:00": "2026-10-25T00:30:00Z", // shown twice: the first
		"2026-10-25T03:00:00": "2026-10-25T02:00:00Z",
	} {
		at, ok := z.instant(local, "Europe/Paris")
		if !ok || at.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s is %v, not %s", local, at, want)
		}
	}
}

// Zones whose names differ by a slash stay apart, in whatever order they are defined.
func TestZonesAlike(t *testing.T) {
	body := func(id, tzid, offset string) formats.Record {
		return event(id, `{"@type":"Event","uid":"`+id+`","start":"2024-06-10T10:00:00","timeZone":"/Own","timeZones":{"/Own":{"@type":"TimeZone",`+
			tzid+`"standard":[{"@type":"TimeZoneRule","start":"2000-01-01T00:00:00","offsetFrom":"+01:00","offsetTo":"`+offset+`"}]}}}`)
	}
	first, second, third := body("a", "", "+01:30"), body("b", `"tzId":"Own",`, "+01:30"), body("c", `"tzId":"Other",`, "+02:00")
	for range 5 { // the order of a map must not matter
		roundTrip(t, first, second, third)
		roundTrip(t, third, second, first)
	}
}
