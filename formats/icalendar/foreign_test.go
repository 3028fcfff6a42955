package icalendar

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var (
	anyName = rapid.SampledFrom([]string{
		"SUMMARY", "DESCRIPTION", "DTSTART", "DTEND", "DUE", "DURATION", "ESTIMATED-DURATION", "RRULE", "EXRULE", "RDATE", "EXDATE",
		"RECURRENCE-ID", "STATUS", "TRANSP", "CLASS", "PRIORITY", "SEQUENCE", "PERCENT-COMPLETE", "CREATED", "LAST-MODIFIED", "DTSTAMP",
		"COMPLETED", "CATEGORIES", "CONCEPT", "RELATED-TO", "REQUEST-STATUS", "LOCATION", "GEO", "URL", "ATTACH", "IMAGE", "LINK",
		"CONFERENCE", "ATTENDEE", "ORGANIZER", "COLOR", "COMMENT", "X-ODD", "TRIGGER", "ACTION", "ACKNOWLEDGED", "REPEAT", "JSID", "JSPROP",
		"X-PASSERELLE-CREATED", "X-PASSERELLE-LINK", "X-PASSERELLE-ID", "UID", "TZID", "TZOFFSETTO", "TZOFFSETFROM",
	})
	anyParam = rapid.SampledFrom([]string{
		"", "", "", "", ";VALUE=DATE", ";VALUE=date-time", ";VALUE=TEXT", ";VALUE=URI", ";VALUE=PERIOD", ";VALUE=BINARY;ENCODING=BASE64",
		";TZID=Europe/Paris", ";TZID=Bureau", ";TZID=Nowhere", ";X=1", ";X=\"a,b\",c", ";JSID=2", ";JSID=x", ";CN=A", ";ROLE=CHAIR", ";PARTSTAT=ODD",
		";RSVP=FALSE", ";SENT-BY=\"mailto:s@b.fr\"", ";RELTYPE=SIBLING", ";RELATED=END", ";FMTTYPE=a/b", ";LINKREL=x", ";LINKREL=icon;VALUE=URI", ";SIZE=0",
		";DELEGATED-TO=\"mailto:a@b.fr\",\"mailto:c@b.fr\"", ";JSPTR=title", ";JSPTR=start", ";JSPTR=", ";JSPTR=recurrenceOverrides", ";RANGE=THISANDFUTURE",
		";X-PASSERELLE-BY=record", ";REL=a;DATASET=files", ";LANGUAGE=fr", ";EMAIL=z@b.fr", ";LABEL=L", ";DISPLAY=", ";=", ";;",
	})
	anyValue = rapid.OneOf(rapid.SampledFrom([]string{
		"", "a", `a\,b;c\n`, "20240610T100000Z", "20240610T100000", "20240611", "20240331T023000", "20241301", "16010101T000000", "99991231T235959Z",
		"00000101T000000", "20240610T100000,20240611T100000", "20240610T100000/PT1H", "20240610T100000Z/20240610T110000Z", "PT1H", "-PT5M", "P1W2D", "P0D", "+PT0S", "P",
		"FREQ=WEEKLY;BYDAY=MO", "FREQ=DAILY;UNTIL=20240701", "FREQ=DAILY;UNTIL=20240701T000000Z", "freq=yearly;bymonth=2,3L;interval=1", "FREQ=ODD", "FREQ=DAILY;UNTIL=99991231T235959Z", "FREQ=DAILY;UNTIL=00000101T000000Z", "FREQ=DAILY;COUNT=0",
		"CONFIRMED", "COMPLETED", "needs-action", "TRANSPARENT", "PRIVATE", "5", "-1", "007", "1e3", "99999999999", "48.1;-4.7", "48,1", "mailto:a@b.fr", "MAILTO:A@B.FR",
		"mailto:c@b.fr", "invalid:nomail", "https://example.org/a,b;c", "EMAIL", "DISPLAY", "AUDIO", "YQ==", `"x"`, "null", "{}", "[1]", `{"2024-06-11T10:00:00":{"title":"x"}}`,
		"2024-01-01T00:00:00.5+01:00", "9999-12-31T23:59:59-23:00", "+0100", "-003000", "Bureau", "Europe/Paris",
	}), rapid.StringMatching(`[ -~é]{0,20}`))
	anyLine = rapid.Custom(func(t *rapid.T) string {
		return anyName.Draw(t, "name") + anyParam.Draw(t, "param") + anyParam.Draw(t, "param") + ":" + anyValue.Draw(t, "value")
	})
)

func anyComponent(t *rapid.T) string {
	name := rapid.SampledFrom([]string{"VEVENT", "VEVENT", "VTODO", "VJOURNAL", "VTIMEZONE", "X-PASSERELLE-VEVENT"}).Draw(t, "component")
	lines := append([]string{"BEGIN:" + name}, rapid.SliceOfN(anyLine, 0, 8).Draw(t, "lines")...)
	if rapid.Bool().Draw(t, "usual") {
		lines = append(lines, "UID:u", "DTSTART;TZID=Europe/Paris:20240610T100000", "RRULE:FREQ=DAILY")
	}
	for range rapid.IntRange(0, 2).Draw(t, "inner") {
		inner := rapid.SampledFrom([]string{"VALARM", "STANDARD", "X-IN"}).Draw(t, "inner")
		lines = append(lines, "BEGIN:"+inner)
		lines = append(lines, rapid.SliceOfN(anyLine, 0, 5).Draw(t, "lines")...)
		if rapid.Bool().Draw(t, "trigger") {
			lines = append(lines, "TRIGGER:-PT5M")
		}
		lines = append(lines, "END:"+inner)
	}
	return strings.Join(append(lines, "END:"+name), "\n")
}

// Whatever stands in a calendar becomes bodies that their schemas allow, and comes back.
func TestForeign(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := "BEGIN:VCALENDAR\n" + strings.Join(rapid.SliceOfN(anyLine, 0, 3).Draw(t, "header"), "\n") + "\n" + ownZone
		for range rapid.IntRange(1, 4).Draw(t, "components") {
			text += anyComponent(t) + "\n"
		}
		roundTrip(t, decode(t, text+"END:VCALENDAR\n")...)
	})
}
