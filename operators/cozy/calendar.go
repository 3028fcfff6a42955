package cozy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

const (
	// localTime is the form of JSCalendar's LocalDateTime (RFC 8984 section 1.4.4).
	localTime = "2006-01-02T15:04:05"
	zoneUTC   = "Etc/UTC"
)

// readEvent reads an event. A time with a zone is carried in UTC; one without floats; a bare date is a whole day.
func readEvent(_ string, doc object, into *reading) error {
	start, wholeDay, zoned, ok := moment(doc.text("start"))
	if !ok {
		return fmt.Errorf("%w: its start %s is no time", formats.ErrInvalid, doc.get("start"))
	}
	event := formats.Event{
		UID: uidOf(doc), Title: doc.text("label"), Description: doc.text("description"),
		Start: start.Format(localTime), ShowWithoutTime: wholeDay, Status: statusOf(doc.text("status")),
		Created: utc(into.created), Updated: cmp.Or(utc(into.modified), utc(into.created), "1970-01-01T00:00:00Z"),
	}
	if zoned {
		event.TimeZone = zoneUTC
	}
	if location := doc.text("location"); location != "" {
		event.Locations = keyed([]formats.CalendarLocation{{Name: location}})
	}
	if doc.get("end") != nil {
		end, _, _, ok := moment(doc.text("end"))
		if length := end.Sub(start); ok && length >= 0 {
			event.Duration = iso(length, wholeDay)
		} else {
			into.fault("date", fmt.Sprintf("the end %s of the event is no time after its start; the native document keeps it", doc.get("end")), false)
		}
	}
	return into.setBody(event)
}

// moment reads a time: the time on the clock, whether it is a whole day, and whether its zone is known (it is then
// turned into UTC).
func moment(s string) (t time.Time, wholeDay, zoned, ok bool) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, true, false, true
	}
	if t, err := time.Parse("2006-01-02T15:04:05.999999999", s); err == nil {
		return t, false, false, true
	}
	t = instant(s)
	return t.Truncate(time.Second), false, true, !t.IsZero()
}

func statusOf(status string) string {
	switch s := strings.ToLower(status); s {
	case "cancelled", "tentative":
		return s
	}
	return ""
}

// iso writes a duration as ISO 8601.
func iso(d time.Duration, wholeDays bool) string {
	d = d.Truncate(time.Second)
	days := d / (24 * time.Hour)
	d -= days * 24 * time.Hour
	if wholeDays && days > 0 {
		return fmt.Sprintf("P%dD", days)
	}
	clock := ""
	for _, part := range []struct {
		unit time.Duration
		mark string
	}{{time.Hour, "H"}, {time.Minute, "M"}, {time.Second, "S"}} {
		if n := d / part.unit; n > 0 {
			clock += strconv.Itoa(int(n)) + part.mark
			d -= n * part.unit
		}
	}
	switch {
	case days == 0 && clock == "":
		return "PT0S"
	case clock == "":
		return fmt.Sprintf("P%dD", days)
	case days == 0:
		return "PT" + clock
	}
	return fmt.Sprintf("P%dDT%s", days, clock)
}

var isoForm = regexp.MustCompile(`^P(?:(\d{1,3})W)?(?:(\d{1,4})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,7})(?:\.\d+)?S)?)?$`)

// length reads an ISO 8601 duration of weeks, days and times.
func length(s string) (time.Duration, bool) {
	parts := isoForm.FindStringSubmatch(s)
	if parts == nil {
		return 0, false
	}
	var d time.Duration
	for i, unit := range []time.Duration{7 * 24 * time.Hour, 24 * time.Hour, time.Hour, time.Minute, time.Second} {
		n, _ := strconv.Atoi(cmp.Or(parts[i+1], "0")) // digits, by the form
		d += time.Duration(n) * unit
	}
	return d, true
}

func fillEvent(doctype string, doc *object, body json.RawMessage) error {
	want, err := decode[formats.Event](body)
	if err != nil {
		return err
	}
	setUID(doc, want.UID)
	doc.setText("label", want.Title)
	doc.setText("description", want.Description)
	if want.Status != statusOf(doc.text("status")) {
		doc.setText("status", strings.ToUpper(want.Status))
	}
	location := ""
	for _, l := range listed(want.Locations) {
		location = cmp.Or(location, l.Name)
	}
	doc.setText("location", location)
	if got, err := asEvent(doctype, *doc); err == nil && got.Start == want.Start && got.Duration == want.Duration &&
		got.TimeZone == want.TimeZone && got.ShowWithoutTime == want.ShowWithoutTime {
		return nil
	}
	return setMoments(doc, want)
}

// asEvent reads a document as the event that its body is.
func asEvent(doctype string, doc object) (formats.Event, error) {
	var r reading
	if err := readEvent(doctype, doc, &r); err != nil {
		return formats.Event{}, err
	}
	return decode[formats.Event](r.body)
}

// setMoments writes start and end. A zone that this machine does not know leaves the time on the clock, floating.
func setMoments(doc *object, event formats.Event) error {
	start, err := time.Parse(localTime, event.Start)
	if err != nil {
		return fmt.Errorf("%w: start of an event: %v", formats.ErrInvalid, err)
	}
	form := localTime
	switch zone, err := time.LoadLocation(event.TimeZone); {
	case event.ShowWithoutTime:
		form = time.DateOnly
	case event.TimeZone == "" || err != nil:
	default:
		form = time.RFC3339
		start = time.Date(start.Year(), start.Month(), start.Day(), start.Hour(), start.Minute(), start.Second(), 0, zone).UTC()
	}
	doc.setText("start", start.Format(form))
	if d, ok := length(event.Duration); ok {
		doc.setText("end", start.Add(d).Format(form))
	} else {
		doc.remove("end")
	}
	return nil
}
