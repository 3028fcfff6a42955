package icalendar

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// calendar wraps lines in a calendar.
func calendar(lines ...string) string {
	return "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:" + productID + "\n" + strings.Join(lines, "\n") + "\nEND:VCALENDAR\n"
}

func vevent(lines ...string) string {
	return calendar("BEGIN:VEVENT\nUID:1\nDTSTART:20240610T100000Z\n" + strings.Join(lines, "\n") + "\nEND:VEVENT")
}

// What a property of iCalendar is in JSCalendar, and that it comes back.
func TestProperties(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`SUMMARY:Un\, deux\; trois\nquatre\\`, `"title":"Un, deux; trois\nquatre\\"`},
		{`SUMMARY;LANGUAGE=fr:Réunion`, `["summary",{"language":"fr"},"text","Réunion"]`},
		{`DESCRIPTION:Long`, `"description":"Long"`},
		{`DURATION:PT1H30M`, `"duration":"PT1H30M"`},
		{`DTEND:20240610T120001Z`, `"duration":"PT2H1S"`},
		{`DTEND:20240609T120000Z`, `["dtend",{},"date-time","2024-06-09T12:00:00Z"]`},
		{`RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,-1FR;WKST=SU`, `[{"@type":"RecurrenceRule","frequency":"weekly","interval":2,"firstDayOfWeek":"su","byDay":[{"@type":"NDay","day":"mo"},{"@type":"NDay","day":"fr","nthOfPeriod":-1}]}]`},
		{`RRULE:FREQ=YEARLY;BYMONTH=1,5L;BYSETPOS=-1;RSCALE=HEBREW;SKIP=FORWARD`, `"rscale":"hebrew","skip":"forward","byMonth":["1","5L"],"bySetPosition":[-1]`},
		{`RRULE:FREQ=DAILY;X-ODD=1`, `["rrule",{},"unknown","FREQ=DAILY;X-ODD=1"]`},
		{`EXRULE:FREQ=DAILY;COUNT=3`, `"excludedRecurrenceRules":[{"@type":"RecurrenceRule","frequency":"daily","count":3}]`},
		{`EXDATE:20240611T100000Z,20240612T100000Z`, `{"2024-06-11T10:00:00":{"excluded":true},"2024-06-12T10:00:00":{"excluded":true}}`},
		{`EXDATE:tomorrow`, `["exdate",{},"date-time","tomorrow"]`},
		{`RDATE;VALUE=PERIOD:20240701T100000Z/PT1H,20240801T100000Z/20240801T103000Z`, `{"2024-07-01T10:00:00":{"duration":"PT1H"},"2024-08-01T10:00:00":{"duration":"PT30M"}}`},
		{`STATUS:TENTATIVE`, `"status":"tentative"`},
		{`STATUS:DRAFT`, `["status",{},"text","DRAFT"]`},
		{`TRANSP:TRANSPARENT`, `"freeBusyStatus":"free"`},
		{`CLASS:CONFIDENTIAL`, `"privacy":"secret"`},
		{`PRIORITY:3`, `"priority":3`},
		{`PRIORITY:30`, `["priority",{},"integer",30]`},
		{`SEQUENCE:7`, `"sequence":7`},
		{`COLOR:teal`, `"color":"teal"`},
		{`CATEGORIES:Un\, deux,trois`, `"keywords":{"Un, deux":true,"trois":true}`},
		{`CONCEPT:https://example.org/a`, `"categories":{"https://example.org/a":true}`},
		{`LOCATION;ALTREP="https://example.org":Salle`, `["location",{"altrep":"https://example.org"},"text","Salle"]`},
		{`GEO:48.03970;-4.73920`, `"coordinates":"geo:48.03970,-4.73920"`},
		{`URL:https://example.org/?a=1;b`, `{"@type":"Link","href":"https://example.org/?a=1;b","rel":"describedby"}`},
		{`ATTACH;FMTTYPE=image/png;FILENAME=a.png;SIZE=12:https://example.org/a`, `"href":"https://example.org/a","contentType":"image/png","size":12,"rel":"enclosure","title":"a.png"`},
		{`ATTACH;FMTTYPE=text/plain;ENCODING=BASE64;VALUE=BINARY:YQ==`, `"href":"data:text/plain;base64,YQ=="`},
		{`IMAGE;VALUE=URI;DISPLAY=BADGE:https://example.org/i`, `"rel":"icon","display":"badge"`},
		{`LINK;LINKREL=license;VALUE=URI:https://example.org/l`, `"href":"https://example.org/l","rel":"license"`},
		{`CONFERENCE;VALUE=URI;FEATURE=AUDIO,VIDEO;LABEL="Le lien":https://example.org/c`, `"name":"Le lien","uri":"https://example.org/c","features":{"audio":true,"video":true}`},
		{`RELATED-TO:x`, `"relatedTo":{"x":{"@type":"Relation","relation":{"parent":true}}}`},
		{`RELATED-TO;RELTYPE=CHILD:x`, `{"child":true}`},
		{`REQUEST-STATUS:2.0;Success`, `"requestStatus":"2.0;Success"`},
		{`CREATED:20240101T000000Z`, `"created":"2024-01-01T00:00:00Z"`},
		{`DTSTAMP:20240101T000000Z`, `"updated":"2024-01-01T00:00:00Z"`},
		{`LAST-MODIFIED:20240102T000000Z`, `"updated":"2024-01-02T00:00:00Z"`},
		{`ATTENDEE;CN="Lu, Ma";ROLE=CHAIR;PARTSTAT=DECLINED;RSVP=TRUE;CUTYPE=ROOM:mailto:a@b.fr`, `{"@type":"Participant","name":"Lu, Ma","email":"a@b.fr","sendTo":{"imip":"mailto:a@b.fr"},"kind":"location","roles":{"attendee":true,"chair":true},"participationStatus":"declined","expectReply":true}`},
		{`ATTENDEE;X-GUESTS=2:invalid:nomail`, `["attendee",{"x-guests":"2"},"cal-address","invalid:nomail"]`},
		{`ORGANIZER;CN=Lu;SENT-BY="mailto:s@b.fr":mailto:a@b.fr`, `"sentBy":"s@b.fr"`},
		{`X-ODD;A=1;B="2;3",4:a\,b`, `["x-odd",{"a":"1","b":["2;3","4"]},"unknown","a\\,b"]`},
		{`X-ODD;VALUE=TEXT:a\,b,c`, `["x-odd",{},"text","a,b","c"]`},
		{"BEGIN:VALARM\nTRIGGER;RELATED=END:PT5M\nACTION:DISPLAY\nDESCRIPTION:Reminder\nACKNOWLEDGED:20240610T095900Z\nEND:VALARM", `{"1":{"@type":"Alert","trigger":{"@type":"OffsetTrigger","offset":"PT5M","relativeTo":"end"},"acknowledged":"2024-06-10T09:59:00Z"}}`},
		{"BEGIN:VALARM\nTRIGGER;VALUE=DATE-TIME:20240610T095900Z\nACTION:EMAIL\nATTENDEE:mailto:a@b.fr\nEND:VALARM", `"when":"2024-06-10T09:59:00Z"`},
		{"BEGIN:VALARM\nACTION:DISPLAY\nEND:VALARM", `"components":[["valarm",[["action",{},"text","DISPLAY"]],[]]]`},
		{"BEGIN:X-BOX\nX-A:1\nBEGIN:X-IN\nX-B:2\nEND:X-IN\nEND:X-BOX", `[["x-box",[["x-a",{},"unknown","1"]],[["x-in",[["x-b",{},"unknown","2"]],[]]]]]`},
	} {
		t.Run(c.line, func(t *testing.T) {
			list := decode(t, vevent(c.line))
			if len(list) != 1 || !strings.Contains(string(list[0].Body), c.want) {
				t.Fatalf("%s\nhas no %s", list[0].Body, c.want)
			}
			text := roundTrip(t, list...)
			if strings.Contains(text, jsProp) && !strings.Contains(c.line, "PERIOD") {
				t.Errorf("iCalendar could say it:\n%s", text)
			}
		})
	}
}

// What a body is in iCalendar, and that it comes back.
func TestBodies(t *testing.T) {
	const start = `"start":"2026-04-03T13:20:00","timeZone":"Europe/Paris"`
	for _, c := range []struct {
		name, body string
		want       []string
	}{
		{"a whole day", `"start":"2026-04-03T00:00:00","showWithoutTime":true,"duration":"P2D"`, []string{"DTSTART;VALUE=DATE:20260403", "DURATION:P2D"}},
		{"a day without duration", `"start":"2026-04-03T00:00:00","showWithoutTime":true`, []string{"DURATION:P0D"}},
		{"floating", `"start":"2026-04-03T07:00:00","duration":"PT0S"`, []string{"DTSTART:20260403T070000", "DURATION:PT0S"}},
		{"with a zone", start, []string{"DTSTART;TZID=Europe/Paris:20260403T132000", "BEGIN:VTIMEZONE", "TZID:Europe/Paris"}},
		{"two zones", start + `,"duration":"PT7H45M","locations":{"a":{"@type":"Location","name":"Paris","relativeTo":"start"},"b":{"@type":"Location","name":"Montréal","relativeTo":"end","timeZone":"America/Toronto"}}`,
			[]string{"DTEND;JSID=b;TZID=America/Toronto:20260403T150500", "LOCATION;JSID=a:Paris", "TZID:America/Toronto"}},
		{"a rule", start + `,"recurrenceRules":[{"@type":"RecurrenceRule","frequency":"weekly","until":"2026-06-30T20:00:00"}]`, []string{"RRULE:FREQ=WEEKLY;UNTIL=20260630T180000Z"}},
		{"excluded", start + `,"recurrenceOverrides":{"2026-04-10T13:20:00":{"excluded":true},"2026-04-11T13:20:00":{}}`,
			[]string{"EXDATE;TZID=Europe/Paris:20260410T132000", "RDATE;TZID=Europe/Paris:20260411T132000"}},
		{"an id", start + `,"alerts":{"x":{"@type":"Alert","trigger":{"@type":"OffsetTrigger","offset":"-PT5M"},"action":"display"}}`, []string{"JSID:x", "TRIGGER:-PT5M", `JSPROP;JSPTR=alerts/x/action:"display"`}},
		{"what only JSON says", start + `,"example.org:x":{"n":9007199254740993,"d":0.10},"locale":"fr","title":"\u0000\u007f a\tb"`,
			[]string{`JSPROP;JSPTR="example.org:x":{"n":9007199254740993\,"d":0.10}`, `JSPROP;JSPTR=locale:"fr"`}},
		{"fractions", start + `,"updated":"2026-01-01T00:00:00.5Z"`, []string{"LAST-MODIFIED:20260101T000000Z"}},
		{"nothing", `"title":"x"`, []string{"SUMMARY:x"}},
		{"owners", start + `,"participants":{"1":{"@type":"Participant","name":"A","email":"a@b.fr","sendTo":{"imip":"mailto:a@b.fr"},"roles":{"owner":true,"attendee":true}},"q":{"@type":"Participant","name":"No address","roles":{"attendee":true}},"z":{"@type":"Participant","email":"z@b.fr","sendTo":{"imip":"mailto:z@b.fr"},"roles":{"attendee":true},"delegatedFrom":{"1":true}}}`,
			[]string{"ORGANIZER;CN=A:mailto:a@b.fr", `ATTENDEE;DELEGATED-FROM="mailto:a@b.fr";JSID=z:mailto:z@b.fr`}},
		{"null and false", `"timeZone":null,"excluded":false`, []string{"JSPROP;JSPTR=:{"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := roundTrip(t, event("e", `{"@type":"Event","uid":"e",`+c.body+`}`))
			unfolded := strings.ReplaceAll(text, "\r\n ", "")
			for _, want := range c.want {
				if !strings.Contains(unfolded, want) {
					t.Errorf("%s\nhas no %s", unfolded, want)
				}
			}
		})
	}
}

func TestTasks(t *testing.T) {
	text := roundTrip(t,
		task("1", `{"@type":"Task","uid":"1","title":"a","progress":"completed","progressUpdated":"2026-01-02T00:00:00Z","percentComplete":100}`),
		task("2", `{"@type":"Task","uid":"2","due":"2026-05-21T23:59:00","timeZone":"Europe/Paris","priority":1}`),
		task("3", `{"@type":"Task","uid":"3","due":"2026-05-21T00:00:00","showWithoutTime":true,"estimatedDuration":"PT2H"}`),
		task("4", `{"@type":"Task","uid":"4","start":"2026-05-21T10:00:00","estimatedDuration":"PT2H","progress":"failed"}`),
		event("5", `{"@type":"Event","uid":"5","progress":"completed","due":"2026-05-21T00:00:00"}`))
	for _, want := range []string{
		"STATUS:COMPLETED", "COMPLETED:20260102T000000Z", "PERCENT-COMPLETE:100", "DUE;TZID=Europe/Paris:20260521T235900",
		"DUE;VALUE=DATE:20260521", "ESTIMATED-DURATION:PT2H", "DURATION:PT2H", "BEGIN:VTODO",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s\nhas no %s", text, want)
		}
	}
}

// Changed instances are components of their own, wherever they stand.
func TestOverrides(t *testing.T) {
	master := "BEGIN:VEVENT\nUID:s\nDTSTART;TZID=Europe/Paris:20250902T200000\nDURATION:PT1H\nSUMMARY:Chorale\nRRULE:FREQ=WEEKLY\n" +
		"ATTENDEE:mailto:a@b.fr\nATTENDEE:mailto:c@b.fr\nEND:VEVENT"
	moved := "BEGIN:VEVENT\nUID:s\nRECURRENCE-ID:20260106T190000Z\nDTSTART;TZID=Europe/Paris:20260107T203000\nDTEND;TZID=Europe/Paris:20260107T213000\n" +
		"SUMMARY:Salle du haut\nATTENDEE;PARTSTAT=DECLINED:mailto:c@b.fr\nEND:VEVENT"
	const want = `"recurrenceOverrides":{"2026-01-06T20:00:00":{"participants/1":null,"participants/2/participationStatus":"declined","start":"2026-01-07T20:30:00","title":"Salle du haut"}}`
	for name, text := range map[string]string{"before": calendar(moved, master), "after": calendar(master, "BEGIN:VTODO\nUID:t\nEND:VTODO", moved)} {
		t.Run(name, func(t *testing.T) {
			list := decode(t, text)
			i := slices.IndexFunc(list, func(r formats.Record) bool { return r.ID == "s" })
			if i < 0 || len(list) > 2 || !strings.Contains(string(list[i].Body), want) {
				t.Fatalf("%s\nhas no %s", list[i].Body, want)
			}
			again := roundTrip(t, list...)
			if n := strings.Count(again, "RECURRENCE-ID;TZID=Europe/Paris:20260106T200000"); n != 1 || strings.Contains(again, "RDATE") {
				t.Errorf("%s\nhas %d instances", again, n)
			}
		})
	}
	t.Run("alone", func(t *testing.T) {
		list := decode(t, calendar(moved, moved))
		if len(list) != 2 || list[0].ID != "s" || list[1].ID != "s#2" || !strings.Contains(string(list[0].Body), `"recurrenceId":"2026-01-06T19:00:00"`) {
			t.Fatalf("%v", list)
		}
		roundTrip(t, list...)
		// Beside an event of that UID they stay what they are.
		roundTrip(t, append(list, event("x", `{"@type":"Event","uid":"s","start":"2025-09-02T20:00:00","recurrenceRules":[{"@type":"RecurrenceRule","frequency":"daily"}]}`))...)
	})
	t.Run("twice", func(t *testing.T) {
		old := strings.Replace(moved, "Salle du haut", "Ancien", 1)
		newer := strings.Replace(moved, "SUMMARY", "SEQUENCE:2\nSUMMARY", 1)
		list := decode(t, calendar(master, newer, old))
		if len(list) != 1 || !strings.Contains(string(list[0].Body), "Salle du haut") {
			t.Fatalf("%v", list)
		}
	})
	t.Run("beside the rule", func(t *testing.T) {
		list := decode(t, calendar(master, strings.Replace(moved, "20260106T190000Z", "20260107T190000Z", 1)))
		if again := roundTrip(t, list...); !strings.Contains(again, "RDATE;TZID=Europe/Paris:20260107T200000") {
			t.Errorf("nothing says that there is an occurrence:\n%s", again)
		}
	})
}

func TestOverridesFromBody(t *testing.T) {
	const head = `{"@type":"Event","uid":"s","start":"2025-09-02T20:00:00","timeZone":"Europe/Paris","title":"A","color":"red","recurrenceRules":[{"@type":"RecurrenceRule","frequency":"weekly"}],"recurrenceOverrides":`
	for _, overrides := range []string{
		`{"2025-09-09T20:00:00":{"title":"B","start":"2025-09-10T20:00:00"}}`,
		`{"2025-09-09T20:00:00":{"title":"A"}}`,
		`{"2025-09-09T20:00:00":{"title":null,"color":null}}`,
		`{"2025-09-09T20:00:00":{"timeZone":"America/Toronto","duration":"PT1H"}}`,
		`{"2025-09-09T20:00:00":{"excluded":true,"title":"B"}}`,
		`{"not a time":{"title":"B"}}`,
		`{"2025-09-09T20:00:00":{"locations":{"1":{"@type":"Location","name":"L"}}},"2025-09-10T20:00:00":{"example.org:x":1}}`,
		`{"2025-09-09T20:00:00":{"recurrenceRules":[],"uid":"other"}}`,
		`{"2025-09-09T20:00:00":{"":{"a":1}}}`,
	} {
		t.Run(overrides, func(t *testing.T) { roundTrip(t, event("s", head+overrides+`}`)) })
	}
}

func TestIdentity(t *testing.T) {
	same := `{"@type":"Event","uid":"u","title":"a"}`
	modified := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	withTimes := event("t", `{"@type":"Event","uid":"t"}`)
	withTimes.Created, withTimes.Modified = modified.Truncate(time.Second), modified
	withTimes.Links = []formats.Link{{Rel: "document", Dataset: formats.Files, ID: "a;b,c"}}
	journal := formats.Record{ID: "j", Dataset: formats.Calendar, Kind: formats.KindDocument, Modified: modified,
		Body: json.RawMessage(`{"@type":"ICalComponent","name":"vjournal","properties":[["summary",{},"text","a"]],"x":1}`)}
	tricky, title, second := journal, journal, journal
	tricky.ID, tricky.Body = "k", json.RawMessage(`{"@type":"ICalComponent","name":"vevent","properties":[["uid",{},"text","u"]]}`)
	title.ID, title.Body = "l", json.RawMessage(`{"@type":"ICalComponent","name":"vcalendar","properties":[["x-wr-calname",{},"unknown","Moi"]]}`)
	second.ID, second.Body = "m", title.Body
	text := roundTrip(t, event("u", same), event("v", same), event("no uid", `{"@type":"Event"}`), withTimes, journal, tricky, title, second)
	if strings.Index(text, "X-WR-CALNAME:Moi") > strings.Index(text, "BEGIN:VEVENT") {
		t.Errorf("the calendar does not say its name first:\n%s", text)
	}
	list := decode(t, calendar("BEGIN:VEVENT\nUID:u\nEND:VEVENT", "BEGIN:VEVENT\nUID:u\nEND:VEVENT", "BEGIN:VEVENT\nUID:u\nEND:VEVENT", "BEGIN:VEVENT\nSUMMARY:x\nEND:VEVENT"))
	var ids []string
	for _, r := range list {
		ids = append(ids, r.ID)
	}
	if len(ids) != 4 || !slices.Equal(ids[:3], []string{"u", "u#2", "u#3"}) || len(ids[3]) != 32 {
		t.Errorf("the ids are %q", ids)
	}
}

func TestSkipped(t *testing.T) {
	gone := formats.Tombstone(formats.Calendar, "gone", formats.KindEvent, time.Now())
	document := formats.Record{ID: "d", Dataset: formats.Calendar, Kind: formats.KindDocument, Body: json.RawMessage(`{"a":1}`)}
	other := formats.Record{ID: "c", Dataset: formats.Contacts, Kind: formats.KindCard, Body: json.RawMessage(`{"@type":"Card"}`)}
	if list := decode(t, encode(t, gone, document, other)); len(list) != 0 {
		t.Errorf("%v", list)
	}
	failing := func(yield func(formats.Record, error) bool) { yield(formats.Record{}, errors.ErrUnsupported) }
	if err := Codec().Encode(&strings.Builder{}, failing); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("the error of the records is lost: %v", err)
	}
	if err := Codec().Encode(&strings.Builder{}, walkOf([]formats.Record{event("x", `[]`)})); !errors.Is(err, formats.ErrInvalid) {
		t.Errorf("a body that is no object: %v", err)
	}
}

// A reader that cannot go back is read from a copy; records can be walked twice, and left early.
func TestWalks(t *testing.T) {
	text := calendar("BEGIN:VEVENT\nUID:a\nEND:VEVENT", "BEGIN:VEVENT\nUID:b\nEND:VEVENT")
	records := Codec().Decode(struct{ *strings.Reader }{strings.NewReader(text)})
	stream := Codec().Decode(fmtReader{strings.NewReader(text)})
	for _, walk := range []formats.Records{records, stream} {
		for range walk {
			break
		}
		for range 2 {
			list, err := collect(walk)
			if err != nil || len(list) != 2 {
				t.Errorf("%v, %v", list, err)
			}
		}
	}
}

type fmtReader struct{ r *strings.Reader }

func (r fmtReader) Read(b []byte) (int, error) { return r.r.Read(b) }

func TestDamaged(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"cut off in an event", "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\n", "line 3: the file ends within the VEVENT that begins on line 2"},
		{"cut off in the calendar", "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nEND:VEVENT\n", "the file ends within the calendar that begins on line 1"},
		{"wrong end", "BEGIN:VCALENDAR\nBEGIN:VEVENT\nBEGIN:VALARM\nEND:VEVENT\n", "line 4: END:VEVENT does not end the VALARM that begins on line 3"},
		{"no calendar", "<html>\n", `line 1: "<html>" is outside of any calendar`},
		{"deep", "BEGIN:VCALENDAR\n" + strings.Repeat("BEGIN:VEVENT\n", 100_000), "line 10: components stand more than 8 deep"},
		{"calendars in each other", strings.Repeat("BEGIN:VCALENDAR\n", 100_000), "line 2: a calendar begins before"},
		{"endless line", "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:" + strings.Repeat("a", maxComponent+1), "this component has more than 32 MiB"},
		{"endless fold", "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:" + strings.Repeat("a\n ", maxComponent/3+1), "this component has more than 32 MiB"},
		{"endless header", "BEGIN:VCALENDAR\n" + strings.Repeat("X:"+strings.Repeat("a", 1000)+"\n", 2000), "the calendar itself has more than 1 MiB"},
		{"many properties", "BEGIN:VCALENDAR\nBEGIN:VEVENT\n" + strings.Repeat("A:\n", maxParts+1), "more than 200000 properties"},
		{"many parameters", "BEGIN:VCALENDAR\nBEGIN:VEVENT\nX" + strings.Repeat(";A=1", maxParts+1) + ":\n", "more than 200000 properties"},
		{"many dates", "BEGIN:VCALENDAR\nBEGIN:VEVENT\nEXDATE:" + strings.Repeat("20240101,", maxParts+1) + "\n", "more than 200000 properties"},
		{"UTF-16", "\xff\xfeB\x00", "save it as UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := collect(Codec().Decode(strings.NewReader(c.text)))
			if !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// What is wrong but readable is read.
func TestTolerated(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"no calendar around", "BEGIN:VEVENT\nUID:1\nEND:VEVENT\n", `"uid":"1"`},
		{"byte order mark", "\ufeff" + vevent("SUMMARY:x"), `"title":"x"`},
		{"lower case", strings.ToLower(vevent("SUMMARY:x")), `"title":"x"`},
		{"CR LF", strings.ReplaceAll(vevent("SUMMARY:x"), "\n", "\r\n"), `"title":"x"`},
		{"NUL", vevent("SUMMARY:a\x00b"), `"title":"ab"`},
		{"Windows-1252", vevent("SUMMARY:caf\xe9"), `"title":"café"`},
		{"a torn character", vevent("SUMMARY:caf\xc3\n \xa9"), `"title":"café"`},
		{"a line that was not folded", vevent("DESCRIPTION:a", "b", "c"), `"description":"a\nb\nc"`},
		{"two calendars", vevent("SUMMARY:x") + strings.Replace(vevent(), "UID:1", "UID:2", 1), `"title":"x"`},
		{"a zone without a name", vevent("SUMMARY:x", "BEGIN:VTIMEZONE", "END:VTIMEZONE"), `"title":"x"`},
		{"a JSPROP that lies", vevent("SUMMARY:x", `JSPROP;JSPTR=@type:"Task"`), `"title":"x"`},
		{"a JSPROP that is no JSON", vevent("SUMMARY:x", `JSPROP;JSPTR=title:{`), `"title":"x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := decode(t, c.text)
			if c.want == "" && len(list) > 0 || c.want != "" && !strings.Contains(string(list[0].Body), c.want) {
				t.Errorf("%v has no %s", list, c.want)
			}
			roundTrip(t, list...)
		})
	}
}

func TestManyOverrides(t *testing.T) {
	overrides := map[string]formats.PatchObject{}
	start := time.Date(2020, 1, 1, 10, 0, 0, 0, time.UTC)
	for n := range 3000 {
		overrides[start.AddDate(0, 0, n).Format(localForm)] = formats.PatchObject{"title": jsonString(fmt.Sprint("n", n))}
	}
	e := formats.Event{UID: "m", Start: start.Format(localForm), Description: strings.Repeat("é", 100_000), RecurrenceOverrides: overrides,
		RecurrenceRules: []formats.RecurrenceRule{{Frequency: "daily"}}}
	body, err := formats.MarshalBody(e)
	if err != nil {
		t.Fatal(err)
	}
	if text := roundTrip(t, event("m", string(body))); len(text) > maxOverrides {
		t.Errorf("%d bytes were written", len(text))
	}
}

// The changed instances of one event that are held at once have a limit.
func TestInstancesTooLarge(t *testing.T) {
	one := func(n int) string {
		return fmt.Sprintf("BEGIN:VEVENT\nUID:1\nRECURRENCE-ID:2024061%dT100000Z\nSUMMARY:%s\nEND:VEVENT", n, strings.Repeat("a", maxComponent-1000))
	}
	text := calendar("BEGIN:VEVENT\nUID:1\nDTSTART:20240610T100000Z\nRRULE:FREQ=DAILY\nEND:VEVENT", one(1), one(2), one(3))
	_, err := collect(Codec().Decode(strings.NewReader(text)))
	if !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), "the changed instances of one event have more than 64 MiB") {
		t.Errorf("the error is %v", err)
	}
}

func TestEndElsewhere(t *testing.T) {
	list := decode(t, calendar("BEGIN:VEVENT\nUID:1\nDTSTART;TZID=Europe/Paris:20260403T132000\nDTEND;TZID=America/Toronto:20260403T150500\nLOCATION:Paris\nEND:VEVENT"))
	for _, want := range []string{`"duration":"PT7H45M"`, `{"@type":"Location","relativeTo":"end","timeZone":"America/Toronto"}`, `"name":"Paris"`} {
		if !strings.Contains(string(list[0].Body), want) {
			t.Errorf("%s has no %s", list[0].Body, want)
		}
	}
	if text := roundTrip(t, list...); !strings.Contains(text, "DTEND;TZID=America/Toronto:20260403T150500") || strings.Contains(text, jsProp) {
		t.Errorf("%s", text)
	}
}

func TestIsRegular(t *testing.T) {
	for _, c := range []struct {
		rule, key string
		want      bool
	}{
		{"FREQ=DAILY;INTERVAL=3", "2025-09-05T20:00:00", true},
		{"FREQ=DAILY;INTERVAL=3", "2025-09-06T20:00:00", false},
		{"FREQ=DAILY", "2025-09-05T20:30:00", false},
		{"FREQ=DAILY", "2025-09-01T20:00:00", false},
		{"FREQ=DAILY;UNTIL=20250904T200000", "2025-09-05T20:00:00", false},
		{"FREQ=DAILY;COUNT=100", "2025-09-05T20:00:00", false},
		{"FREQ=WEEKLY", "2025-09-09T20:00:00", true},
		{"FREQ=WEEKLY", "2025-09-10T20:00:00", false},
		{"FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,TU", "2025-09-09T20:00:00", false},
		{"FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,TU", "2025-09-07T20:00:00", true},          // the Sunday of the same week
		{"FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,TU;WKST=SU", "2025-09-07T20:00:00", false}, // that begins another
		{"FREQ=MONTHLY", "2025-11-02T20:00:00", true},
		{"FREQ=MONTHLY", "2025-11-03T20:00:00", false},
		{"FREQ=MONTHLY;INTERVAL=3", "2025-11-02T20:00:00", false},
		{"FREQ=MONTHLY;BYMONTHDAY=-1", "2025-11-30T20:00:00", true},
		{"FREQ=MONTHLY;BYMONTHDAY=-1", "2025-12-30T20:00:00", false},
		{"FREQ=MONTHLY;BYDAY=-1FR", "2025-11-28T20:00:00", true},
		{"FREQ=MONTHLY;BYDAY=-1FR", "2025-11-21T20:00:00", false},
		{"FREQ=YEARLY", "2027-09-02T20:00:00", true},
		{"FREQ=YEARLY;BYMONTH=9", "2027-09-02T20:00:00", false}, // not looked at
		{"FREQ=HOURLY", "2025-09-02T20:00:00", true},
	} {
		e := formats.Event{Start: "2025-09-02T20:00:00"}
		rule, ok := newZones().readRule(c.rule, moment{local: e.Start})
		if e.RecurrenceRules = []formats.RecurrenceRule{rule}; !ok || isRegular(&e, c.key) != c.want {
			t.Errorf("%s at %s is %v", c.rule, c.key, !c.want)
		}
	}
}

// Ids that are said twice are told apart.
func TestSameID(t *testing.T) {
	list := decode(t, vevent("ATTACH;JSID=2:https://example.org/a", "ATTACH;JSID=2:https://example.org/b", "ATTACH:https://example.org/c",
		"ATTENDEE;JSID=x:mailto:a@b.fr", "ATTENDEE;JSID=x:mailto:b@b.fr", "ATTENDEE:mailto:A@b.fr"))
	var e formats.Event
	if err := json.Unmarshal(list[0].Body, &e); err != nil || len(e.Links) != 3 || len(e.Participants) != 2 || len(e.ICalComponent.Properties) != 1 {
		t.Errorf("%v: %s", err, list[0].Body)
	}
	roundTrip(t, list...)
}

// What is too large for one part of the format goes another way, or is refused.
func TestLimits(t *testing.T) {
	nested := strings.Repeat("BEGIN:X-IN\n", maxDepth-1) + "X-A:1\n" + strings.Repeat("END:X-IN\n", maxDepth-1)
	roundTrip(t, decode(t, vevent(strings.TrimSuffix(nested, "\n")))...)
	roundTrip(t, decode(t, vevent("X-ODD;VALUE=TEXT:"+strings.Repeat("a,", maxValues)))...)
	zone := strings.Replace(ownZone, "BEGIN:STANDARD", "COMMENT:"+strings.Repeat("a", maxZone)+"\nBEGIN:STANDARD", 1)
	list := decode(t, calendar(zone, "BEGIN:VEVENT\nUID:1\nDTSTART;TZID=Bureau:20240610T100000\nEND:VEVENT"))
	if !strings.Contains(string(list[0].Body), `"timeZone":"Bureau"`) {
		t.Errorf("%.200s", list[0].Body)
	}
	roundTrip(t, list...)
	many := calendar(strings.Repeat("BEGIN:VTIMEZONE\nTZID:X\nEND:VTIMEZONE\n", 2*maxZones) + "BEGIN:VEVENT\nUID:1\nEND:VEVENT")
	roundTrip(t, decode(t, many)...)
	large := event("large", `{"@type":"Event","uid":"large","title":"`+strings.Repeat("x", maxComponent-10)+`"}`)
	err := Codec().Encode(&strings.Builder{}, walkOf([]formats.Record{large}))
	if !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), `event "large"`) {
		t.Errorf("the error is %v", err)
	}
}
