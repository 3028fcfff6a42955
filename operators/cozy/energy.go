package cozy

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// meter says what the doctypes of a provider measure. The doctype's last part says over which time.
type meter struct{ commodity, unit string }

func meterOf(provider string) (meter, bool) {
	switch provider {
	case "enedis":
		return meter{"electricity", "kWh"}, true
	case "grdf":
		return meter{"gas", "kWh"}, true
	case "egl":
		return meter{"water", "L"}, true
	}
	return meter{}, false
}

// intervalOf returns the ISO 8601 duration of a reading. The load curve of "minute" has a point each half-hour.
func intervalOf(name string) string {
	switch name {
	case "minute":
		return "PT30M"
	case "hour":
		return "PT1H"
	case "day":
		return "P1D"
	case "month":
		return "P1M"
	case "year":
		return "P1Y"
	}
	return ""
}

func knownMeter(doctype string) bool {
	provider, interval, _ := strings.Cut(strings.TrimPrefix(doctype, energyPrefix), ".")
	_, ok := meterOf(provider)
	return ok && intervalOf(interval) != ""
}

// meterDoctype returns the doctype for a reading that a Cozy can hold, or "".
func meterDoctype(r formats.EnergyReading) string {
	for _, provider := range []string{"enedis", "grdf", "egl"} {
		m, _ := meterOf(provider)
		if r.Provider != provider || r.Commodity != m.commodity || r.Unit != m.unit {
			continue
		}
		for _, name := range []string{"minute", "hour", "day", "month", "year"} {
			if intervalOf(name) == r.Interval {
				return energyPrefix + provider + "." + name
			}
		}
	}
	return ""
}

func readMeter(doctype string, doc object, into *reading) error {
	provider, interval, _ := strings.Cut(strings.TrimPrefix(doctype, energyPrefix), ".")
	m, _ := meterOf(provider)
	value, err := formats.ParseDecimal(doc.digits("load"))
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	start, err := startOf(doc)
	if err != nil {
		return err
	}
	return into.setBody(formats.EnergyReading{
		Provider: provider, Commodity: m.commodity, Unit: m.unit, Start: start, Interval: intervalOf(interval), Value: value,
	})
}

// startForm is the form of a reading's local start.
const startForm = "2006-01-02T15:04:05"

// startOf puts the parts of a date together. A month or a day of zero, as readings of a year have, is the first.
func startOf(doc object) (string, error) {
	parts := [5]int{0, 1, 1, 0, 0}
	for i, name := range [5]string{"year", "month", "day", "hour", "minute"} {
		digits := doc.digits(name)
		if digits == "" && i > 0 {
			continue
		}
		n, err := strconv.Atoi(digits)
		if err != nil {
			return "", fmt.Errorf("%w: its %s %q is no whole number", formats.ErrInvalid, name, digits)
		}
		if n != 0 || i > 2 {
			parts[i] = n
		}
	}
	s := fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:00", parts[0], parts[1], parts[2], parts[3], parts[4])
	if _, err := time.Parse(startForm, s); err != nil {
		return "", fmt.Errorf("%w: %s is no date", formats.ErrInvalid, s)
	}
	return s, nil
}

func fillMeter(_ string, doc *object, body json.RawMessage) error {
	r, err := decode[formats.EnergyReading](body)
	if err != nil {
		return err
	}
	setNumber(doc, "load", r.Value)
	if was, err := startOf(*doc); err == nil && was == r.Start {
		return nil
	}
	t, err := time.Parse(startForm, r.Start)
	if err != nil {
		return fmt.Errorf("%w: start of a reading: %v", formats.ErrInvalid, err)
	}
	parts := [5]int{t.Year(), int(t.Month()), t.Day(), t.Hour(), t.Minute()}
	for i, name := range [5]string{"year", "month", "day", "hour", "minute"} {
		doc.set(name, json.RawMessage(strconv.Itoa(parts[i])))
	}
	return nil
}
