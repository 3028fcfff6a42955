package icalendar

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/formats"
)

var (
	anyText = rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "Réunion; à, \"deux\"", "line\nline", `\n`, "a^b^n", " x ", "\t", "🎂 \u00a0", "x:y;z=1,2", "\x00\x7f\r\n", strings.Repeat("é", 60)}),
		rapid.String())
	anyID   = rapid.SampledFrom([]string{"1", "2", "3", "10", "a", "x:y", "é", "2-2"})
	anyZone = rapid.SampledFrom([]string{"", "", "Europe/Paris", "America/Toronto", utc, "UTC", "/Own", "Nowhere/There", "Asia/Kolkata"})
	anyURI  = rapid.SampledFrom([]string{"https://example.org/a?b=c,d;e", "mailto:a@b.fr", "data:text/plain;base64,YQ==", "cid:x", "", "no uri", "MAILTO:Z@B.FR"})
	anyDay  = rapid.Map(rapid.IntRange(0, 20000), func(n int) time.Time { return time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) })
	anyTime = rapid.Custom(func(t *rapid.T) string {
		text := anyDay.Draw(t, "day").Add(time.Duration(rapid.IntRange(0, 86399).Draw(t, "second")) * time.Second).Format(localForm)
		return rapid.SampledFrom([]string{text, text, text[:11] + "00:00:00", text[:11] + "02:30:00", text + ".5", ""}).Draw(t, "form")
	})
	anyStamp    = rapid.Map(anyTime, func(s string) string { return strings.TrimSuffix(s+"Z", "\x00") })
	anyDuration = rapid.SampledFrom([]string{"", "PT0S", "PT1H", "P1D", "P1DT2H", "P2W", "PT90M", "P0D", "PT0.5S"})
	anyRule     = rapid.Custom(func(t *rapid.T) formats.RecurrenceRule {
		r := formats.RecurrenceRule{
			Frequency: rapid.SampledFrom(frequencies).Draw(t, "frequency"), Interval: rapid.IntRange(0, 3).Draw(t, "interval"),
			Count: rapid.SampledFrom([]int{0, 0, 5}).Draw(t, "count"), Until: rapid.OneOf(rapid.Just(""), anyTime).Draw(t, "until"),
			ByMonth:    rapid.SampledFrom([][]string{nil, {"1", "12"}, {"5L"}, {"x;y"}}).Draw(t, "months"),
			ByMonthDay: rapid.SampledFrom([][]int{nil, {-1}, {1, 31}}).Draw(t, "days"),
			ByDay:      rapid.SampledFrom([][]formats.NDay{nil, {{Day: "mo"}, {Day: "fr", NthOfPeriod: -1}}}).Draw(t, "weekdays"),
			RScale:     rapid.SampledFrom([]string{"", "hebrew"}).Draw(t, "scale"), FirstDayOfWeek: rapid.SampledFrom([]string{"", "su"}).Draw(t, "first"),
		}
		return r
	})
)

func set(t *rapid.T, name string, values ...string) formats.Set {
	s := formats.Set{}
	for _, v := range rapid.SliceOfN(rapid.SampledFrom(values), 0, 3).Draw(t, name) {
		s[v] = true
	}
	return s
}

func mapOf[T any](t *rapid.T, name string, one func(t *rapid.T) T) map[string]T {
	return rapid.MapOfN(anyID, rapid.Custom(one), 0, 3).Draw(t, name)
}

func anyParticipant(t *rapid.T) formats.CalendarParticipant {
	address := rapid.SampledFrom([]string{"a@b.fr", "c@b.fr", "d@b.fr", ""}).Draw(t, "address")
	v := formats.CalendarParticipant{
		Name: anyText.Draw(t, "name"), Email: rapid.SampledFrom([]string{address, "", "other@b.fr"}).Draw(t, "email"),
		Kind: rapid.SampledFrom([]string{"", "individual", "location", "robot"}).Draw(t, "kind"), Roles: set(t, "roles", "owner", "attendee", "optional", "chair", "informational", "contact"),
		ParticipationStatus: rapid.SampledFrom([]string{"", "accepted", "x"}).Draw(t, "status"), ExpectReply: rapid.Bool().Draw(t, "reply"),
		DelegatedTo: set(t, "delegated", "1", "2", "none"), SentBy: rapid.SampledFrom([]string{"", "s@b.fr"}).Draw(t, "sender"),
		ScheduleAgent: rapid.SampledFrom([]string{"", "none"}).Draw(t, "agent"), ScheduleStatus: rapid.SampledFrom([][]string{nil, {"1.1"}, {"1.1", "2.0"}}).Draw(t, "schedule"),
	}
	if address != "" {
		v.SendTo = map[string]string{rapid.SampledFrom([]string{"imip", "other", "web"}).Draw(t, "method"): "mailto:" + address}
	}
	return v
}

func anyAlert(t *rapid.T) formats.CalendarAlert {
	a := formats.CalendarAlert{
		Trigger: &formats.CalendarTrigger{Offset: rapid.SampledFrom([]string{"-PT5M", "PT0S", "P1D"}).Draw(t, "offset"), RelativeTo: rapid.SampledFrom([]string{"", "start", "end"}).Draw(t, "to")},
		Action:  rapid.SampledFrom([]string{"", "display", "email"}).Draw(t, "action"),
	}
	if rapid.Bool().Draw(t, "absolute") {
		a.Trigger = &formats.CalendarTrigger{When: "2026-01-01T00:00:00Z"}
	}
	return a
}

func anyProperty(t *rapid.T) formats.Property {
	return formats.Property{
		Name:   rapid.SampledFrom([]string{"x-a", "comment", "dtstart", "summary", "contact", "attendee", "uid", "jsprop", "x-passerelle-id", "rdate"}).Draw(t, "name"),
		Params: formats.Params(rapid.SampledFrom([]map[string][]string{nil, {"x": {"1"}}, {"x": {"a,b", "c\"d"}}, {"value": {"text"}}}).Draw(t, "params")),
		Type:   rapid.SampledFrom([]string{"text", "unknown", "uri", "integer", "date-time"}).Draw(t, "type"),
		Values: []json.RawMessage{jsonString(anyText.Draw(t, "value"))},
	}
}

func anyEvent(t *rapid.T) formats.Event {
	e := formats.Event{
		UID: "e", Created: rapid.OneOf(rapid.Just(""), rapid.Just("2024-01-01T00:00:00Z")).Draw(t, "created"), Updated: rapid.OneOf(rapid.Just(""), anyStamp).Draw(t, "updated"),
		Sequence: rapid.IntRange(0, 2).Draw(t, "sequence"), Title: anyText.Draw(t, "title"), Description: anyText.Draw(t, "description"),
		Start: anyTime.Draw(t, "start"), TimeZone: anyZone.Draw(t, "zone"), ShowWithoutTime: rapid.Bool().Draw(t, "day"),
		Keywords: set(t, "keywords", "a", "b,c", "é;"), Color: rapid.SampledFrom([]string{"", "teal"}).Draw(t, "color"),
		Priority: rapid.IntRange(0, 9).Draw(t, "priority"), FreeBusyStatus: rapid.SampledFrom([]string{"", "free", "busy"}).Draw(t, "busy"),
		Privacy:         rapid.SampledFrom([]string{"", "private", "secret", "own"}).Draw(t, "privacy"),
		RecurrenceRules: rapid.SliceOfN(anyRule, 0, 2).Draw(t, "rules"), ExcludedRules: rapid.SliceOfN(anyRule, 0, 1).Draw(t, "excluded"),
		Participants: mapOf(t, "people", anyParticipant), Alerts: mapOf(t, "alerts", anyAlert),
		RelatedTo: mapOf(t, "related", func(t *rapid.T) formats.CalendarRelation {
			return formats.CalendarRelation{Relation: set(t, "relation", "parent", "child", "next")}
		}),
		Locations: mapOf(t, "locations", func(t *rapid.T) formats.CalendarLocation {
			return formats.CalendarLocation{Name: anyText.Draw(t, "name"), RelativeTo: rapid.SampledFrom([]string{"", "start", "end"}).Draw(t, "to"),
				TimeZone: anyZone.Draw(t, "zone"), Coordinates: rapid.SampledFrom([]string{"", "geo:48.1,-4.70", "geo:1,2,3"}).Draw(t, "geo")}
		}),
		VirtualLocations: mapOf(t, "virtual", func(t *rapid.T) formats.CalendarVirtualLocation {
			return formats.CalendarVirtualLocation{Name: anyText.Draw(t, "name"), URI: anyURI.Draw(t, "uri"), Features: set(t, "features", "audio", "video")}
		}),
		Links: mapOf(t, "links", func(t *rapid.T) formats.CalendarLink {
			return formats.CalendarLink{Href: anyURI.Draw(t, "href"), Rel: rapid.SampledFrom([]string{"", "enclosure", "icon", "describedby", "license"}).Draw(t, "rel"),
				ContentType: rapid.SampledFrom([]string{"", "text/plain"}).Draw(t, "type"), Title: anyText.Draw(t, "title"), Size: rapid.SampledFrom([]int64{0, 9}).Draw(t, "size")}
		}),
	}
	if rapid.Bool().Draw(t, "kept") {
		e.ICalComponent = &formats.ICalComponent{Name: "vevent", Properties: rapid.SliceOfN(rapid.Custom(anyProperty), 0, 3).Draw(t, "properties")}
	}
	if e.TimeZone == "/Own" {
		e.TimeZones = map[string]formats.CalendarTimeZone{"/Own": {TZID: rapid.SampledFrom([]string{"Own", "Other", ""}).Draw(t, "tzid"),
			Standard: []formats.CalendarZoneRule{{Start: "2000-01-01T00:00:00", OffsetFrom: "+01:00", OffsetTo: "+01:30"}}}}
	}
	return e
}

func anyBody(t *rapid.T, uid string) (formats.Kind, json.RawMessage) {
	e := anyEvent(t)
	e.UID = uid
	for range rapid.IntRange(0, 3).Draw(t, "overrides") {
		key := anyTime.Draw(t, "key")
		if rapid.Bool().Draw(t, "same time") && len(e.Start) > 10 && len(key) > 10 {
			key = key[:10] + e.Start[10:]
		}
		put(&e.RecurrenceOverrides, key, anyPatch(t))
	}
	kind := formats.KindEvent
	var body any
	if rapid.Bool().Draw(t, "task") {
		task := formats.Task(e)
		task.Due, task.PercentComplete = anyTime.Draw(t, "due"), rapid.IntRange(0, 100).Draw(t, "percent")
		task.EstimatedDuration, task.Progress = anyDuration.Draw(t, "estimated"), rapid.SampledFrom([]string{"", "completed", "failed", "x"}).Draw(t, "progress")
		task.ProgressUpdated = rapid.OneOf(rapid.Just(""), rapid.Just("2026-01-01T00:00:00Z")).Draw(t, "progress updated")
		kind, body = formats.KindTask, any(task)
	} else {
		e.Duration, e.Status = anyDuration.Draw(t, "duration"), rapid.SampledFrom([]string{"", "confirmed", "cancelled", "x"}).Draw(t, "status")
		body = e
	}
	raw, err := formats.MarshalBody(body)
	if err != nil {
		t.Fatal(err)
	}
	return kind, raw
}

func anyPatch(t *rapid.T) formats.PatchObject {
	all := []formats.PatchObject{
		{}, {"excluded": json.RawMessage("true")}, {"title": json.RawMessage(`"B"`)}, {"title": json.RawMessage("null")},
		{"start": json.RawMessage(`"2026-01-01T10:00:00"`), "duration": json.RawMessage(`"PT2H"`)}, {"timeZone": json.RawMessage(`"Asia/Kolkata"`)},
		{"participants/1/participationStatus": json.RawMessage(`"declined"`)}, {"locations": json.RawMessage("null")},
		{"showWithoutTime": json.RawMessage("true"), "timeZone": json.RawMessage("null")}, {"x:y": json.RawMessage("1e400")}, {"a/b": json.RawMessage("[]")},
	}
	return rapid.SampledFrom(all).Draw(t, "patch")
}

// Whatever a body says comes back, and every line is one that RFC 5545 allows.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []formats.Record
		for n := range rapid.IntRange(1, 3).Draw(t, "records") {
			kind, body := anyBody(t, rapid.SampledFrom([]string{"e", "f", ""}).Draw(t, "uid"))
			if formats.CheckBody(kind, body) != nil {
				continue // it is not a body: decoding may not give it back
			}
			r := formats.Record{ID: fmt.Sprint("r", n), Dataset: formats.Calendar, Kind: kind, Body: body}
			if rapid.Bool().Draw(t, "times") {
				r.Created, r.Modified = time.Unix(1, 0).UTC(), time.Unix(1, 5).UTC()
			}
			list = append(list, r)
		}
		roundTrip(t, list...)
	})
}

// Texts that are not what the format wants are read without a panic, and what is read can be written and read again.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		vevent("SUMMARY:a", "RRULE:FREQ=WEEKLY;UNTIL=20240101", "EXDATE;VALUE=DATE:20240611"), calendar(ownZone), vevent("JSPROP;JSPTR=title:1"),
		vevent("ATTENDEE;DELEGATED-TO=\"mailto:b\":mailto:a", "ATTENDEE:mailto:b", "ORGANIZER:mailto:b"),
		calendar("BEGIN:VTODO\nUID:1\nDUE:20240101\nEND:VTODO\nBEGIN:VTODO\nUID:1\nRECURRENCE-ID:20240101\nEND:VTODO"),
		calendar("BEGIN:VJOURNAL\nX;A=1:\nEND:VJOURNAL"), vevent("BEGIN:VALARM\nTRIGGER:-PT5M\nEND:VALARM"),
		strings.Replace(calendar(ownZone, "BEGIN:VEVENT\nDTSTART;TZID=Bureau:20240101T100000\nDTEND;TZID=Europe/Paris:20240101T110000\nEND:VEVENT"), "Passerelle", "X", 1),
	} {
		f.Add(text)
	}
	f.Add("BEGIN:\nEND:")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := collect(Codec().Decode(strings.NewReader(text))); err == nil {
			roundTrip(t, decode(t, text)...)
		}
	})
}
