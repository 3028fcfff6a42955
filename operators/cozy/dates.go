package cozy

import (
	"strings"
	"time"
)

// instant reads a time of a document, to the nanosecond and in UTC. A time without zone is taken as UTC; what is no
// time, or is outside the years that JSON times can say, is the zero time.
func instant(s string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05Z07:00", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
				return time.Time{}
			}
			return t
		}
	}
	return time.Time{}
}

// day reads the calendar day, YYYY-MM-DD, that a date of a document means, or "" if it is no date. Connectors write
// a day as midnight in France turned into UTC, so that 22:00:00 and 23:00:00 UTC sharp mean the day after.
func day(s string) string {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		if strings.HasSuffix(s, "Z") && t.Hour() >= 22 && t.Minute() == 0 && t.Second() == 0 && t.Nanosecond() == 0 {
			t = t.AddDate(0, 0, 1)
		}
		if t.Year() > 9999 {
			return ""
		}
		return t.Format(time.DateOnly)
	}
	if len(s) >= 10 {
		if _, err := time.Parse(time.DateOnly, s[:10]); err == nil && (len(s) == 10 || s[10] == ' ' || s[10] == 'T') {
			return s[:10]
		}
	}
	if len(s) >= 15 { // what JavaScript prints: Fri Mar 09 2018 19:04:40 GMT+0100 (CET)
		if t, err := time.Parse("Mon Jan 02 2006", s[:15]); err == nil {
			return t.Format(time.DateOnly)
		}
	}
	return ""
}

// noon writes a calendar day as documents hold it. Noon is the same day in every zone where people live.
func noon(day string) string {
	if day == "" {
		return ""
	}
	return day + "T12:00:00.000Z"
}
