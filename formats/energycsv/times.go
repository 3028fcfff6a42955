package energycsv

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// startForm is how a reading writes when it began: local time at the meter.
const startForm = "2006-01-02T15:04:05"

// grain is what a stamp names.
type grain int

const (
	grainSecond grain = iota
	grainDay
	grainMonth
	grainYear
)

var stampForms = [...]struct {
	layout string
	grain  grain
}{
	{"2006-01-02T15:04:05Z07:00", grainSecond}, {"2006-01-02T15:04:05", grainSecond}, {"2006-01-02 15:04:05", grainSecond},
	{"2006-01-02 15:04:05Z07:00", grainSecond}, {"2006-01-02 15:04", grainSecond}, {"2006-01-02T15:04", grainSecond},
	{"02/01/2006 15:04:05", grainSecond}, {"02/01/2006 15:04", grainSecond}, {"02/01/2006", grainDay}, {"2006-01-02", grainDay},
	{"2006/01/02", grainDay}, {"01/2006", grainMonth}, {"2006-01", grainMonth}, {"2006", grainYear},
}

// parseStamp reads a date as tables write it, days before months. A zone stays as it is written.
func parseStamp(text string) (time.Time, grain, error) {
	for _, form := range stampForms {
		if at, err := time.Parse(form.layout, text); err == nil {
			return at, form.grain, nil
		}
	}
	return time.Time{}, 0, fmt.Errorf("%w: %.60q is not a date", formats.ErrInvalid, text)
}

// interval returns when the interval of a row began and how long it is.
func (f *foreign) interval(cells []string, at time.Time, g grain) (start, interval string, err error) {
	switch {
	case g == grainMonth:
		return at.Format(startForm), "P1M", nil
	case g == grainYear:
		return at.Format(startForm), "P1Y", nil
	case f.daily(), g == grainDay:
		return at.Format(startForm), f.days(cells, at), nil
	}
	length, interval := f.length(cells)
	if interval == "" {
		return "", "", fmt.Errorf("nothing says how long the interval is: a column \"Pas\" in minutes would")
	}
	if !f.stampsEnd {
		return at.Format(startForm), interval, nil
	}
	// The local time at which an interval began is the one at which that before it ended, also when clocks change.
	if begun := at.Add(-length); !f.before.Equal(begun) {
		return begun.Format(startForm), interval, nil
	}
	return f.before.Format(startForm), interval, nil
}

func (f *foreign) daily() bool {
	return strings.Contains(fold(f.facts["type de donnees"]), "quotidien")
}

// days returns how many days a row is about: to its column of ends, else one.
func (f *foreign) days(cells []string, at time.Time) string {
	if end, g, err := parseStamp(cellAt(cells, f.end)); err == nil && g == grainDay && end.After(at) {
		return fmt.Sprintf("P%dD", int(end.Sub(at)/(24*time.Hour)))
	}
	return "P1D"
}

// length returns how long the interval of a row is: as its own cell or the preamble says, as far as stamps are apart,
// or, as in load curves until told otherwise, half an hour.
func (f *foreign) length(cells []string) (time.Duration, string) {
	for _, text := range []string{cellAt(cells, f.step), f.facts["pas en minutes"]} {
		if step := stepOf(text); step > 0 {
			return step, duration(step)
		}
	}
	switch {
	case f.pace > 0:
		return f.pace, duration(f.pace)
	case f.provider == "enedis":
		return 30 * time.Minute, "PT30M"
	}
	return 0, ""
}

var stepForm = regexp.MustCompile(`^(?:PT)?([0-9]{1,5})(M|H)?$`)

// stepOf reads a step: minutes, or an ISO 8601 duration of minutes, hours or one day. It is 0 for other texts.
func stepOf(text string) time.Duration {
	if text == "P1D" {
		return 24 * time.Hour
	}
	m := stepForm.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1]) // five digits cannot fail
	if m[2] == "H" {
		return time.Duration(n) * time.Hour
	}
	return time.Duration(n) * time.Minute
}

// duration writes a length as an ISO 8601 duration.
func duration(d time.Duration) string {
	switch {
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("P%dD", d/(24*time.Hour))
	case d%time.Minute == 0:
		return fmt.Sprintf("PT%dM", d/time.Minute)
	}
	return fmt.Sprintf("PT%dS", d/time.Second)
}
