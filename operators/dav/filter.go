package dav

import (
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// filter is what a query asks for, of contacts (RFC 6352, section 10.5) or of a calendar (RFC 4791, section 9.7). What is
// not looked at here, such as parameters, leaves more in the answer than was asked for, never less.
type filter struct {
	Test  string       `xml:"test,attr"`
	Comps []compFilter `xml:"comp-filter"`
	Props []propFilter `xml:"prop-filter"`
}

type compFilter struct {
	Name  string       `xml:"name,attr"`
	Not   *struct{}    `xml:"is-not-defined"`
	Range *timeRange   `xml:"time-range"`
	Comps []compFilter `xml:"comp-filter"`
	Props []propFilter `xml:"prop-filter"`
}

type propFilter struct {
	Name  string      `xml:"name,attr"`
	Test  string      `xml:"test,attr"`
	Not   *struct{}   `xml:"is-not-defined"`
	Texts []textMatch `xml:"text-match"`
}

type textMatch struct {
	Text   string `xml:",chardata"`
	Kind   string `xml:"match-type,attr"`
	Negate string `xml:"negate-condition,attr"`
}

type timeRange struct {
	Start string `xml:"start,attr"`
	End   string `xml:"end,attr"`
}

// matcher reports whether a record is asked for. It gets its text only if it needs that.
type matcher func(r *formats.Record, text func() (string, error)) (bool, error)

func (b *book) matcher(f *filter) (matcher, error) {
	if b == &contacts {
		return func(_ *formats.Record, text func() (string, error)) (bool, error) {
			return matchProps(f.Props, f.Test != "allof", text)
		}, nil
	}
	var comps []compFilter
	for _, c := range f.Comps { // that is VCALENDAR
		comps = append(comps, c.Comps...)
	}
	for _, c := range comps {
		if c.Range != nil && !c.Range.valid() {
			return nil, badRequest("A time-range has UTC times: 20260504T120000Z.")
		}
	}
	return func(r *formats.Record, text func() (string, error)) (bool, error) { return matchComps(comps, r, text) }, nil
}

func matchComps(comps []compFilter, r *formats.Record, text func() (string, error)) (bool, error) {
	name := "VEVENT"
	if r.Kind == formats.KindTask {
		name = "VTODO"
	}
	for _, c := range comps {
		is := strings.EqualFold(c.Name, name)
		if c.Not != nil {
			if is {
				return false, nil
			}
			continue
		}
		if !is {
			return false, nil
		}
		if c.Range != nil {
			if ok, err := c.Range.meets(r); !ok || err != nil {
				return false, err
			}
		}
		if ok, err := matchProps(c.Props, false, text); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// matchProps looks for properties: one of them must match, or all.
func matchProps(props []propFilter, one bool, text func() (string, error)) (bool, error) {
	if len(props) == 0 {
		return true, nil
	}
	content, err := text()
	if err != nil {
		return false, err
	}
	lines := contentLines(content)
	for _, p := range props {
		if p.matches(lines) == one {
			return one, nil
		}
	}
	return !one, nil
}

// line is a property as text.
type line struct{ name, value string }

// contentLines returns the properties of a vCard or an iCalendar text.
func contentLines(content string) (list []line) {
	unfolded := strings.NewReplacer("\r\n ", "", "\r\n\t", "", "\n ", "", "\n\t", "").Replace(content)
	for text := range strings.Lines(unfolded) {
		head, value, ok := cutValue(strings.TrimRight(text, "\r\n"))
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(head, ";")
		if _, bare, grouped := strings.Cut(name, "."); grouped {
			name = bare
		}
		list = append(list, line{strings.ToUpper(name), unescape.Replace(value)})
	}
	return list
}

var unescape = strings.NewReplacer(`\\`, `\`, `\,`, ",", `\;`, ";", `\n`, "\n", `\N`, "\n")

// cutValue cuts at the first colon that is not in quotes.
func cutValue(text string) (head, value string, ok bool) {
	quoted := false
	for i := range len(text) {
		switch text[i] {
		case '"':
			quoted = !quoted
		case ':':
			if !quoted {
				return text[:i], text[i+1:], true
			}
		}
	}
	return "", "", false
}

func (p *propFilter) matches(lines []line) bool {
	defined := false
	for _, l := range lines {
		if !strings.EqualFold(l.name, p.Name) {
			continue
		}
		defined = true
		if p.Not == nil && p.matchesText(l.value) {
			return true
		}
	}
	return p.Not != nil && !defined
}

func (p *propFilter) matchesText(value string) bool {
	one := p.Test != "allof"
	for i := range p.Texts {
		if p.Texts[i].matches(value) == one {
			return one
		}
	}
	return len(p.Texts) == 0 || !one
}

func (m *textMatch) matches(value string) bool {
	value, want := strings.ToLower(value), strings.ToLower(m.Text)
	var is bool
	switch m.Kind {
	case "equals":
		is = value == want
	case "starts-with":
		is = strings.HasPrefix(value, want)
	case "ends-with":
		is = strings.HasSuffix(value, want)
	default:
		is = strings.Contains(value, want)
	}
	return is != (m.Negate == "yes")
}

const utcTime = "20060102T150405Z"

// bounds returns from when to when; zero times are open ends.
func (t *timeRange) bounds() (from, to time.Time, ok bool) {
	var err1, err2 error
	if t.Start != "" {
		from, err1 = time.Parse(utcTime, t.Start)
	}
	if t.End != "" {
		to, err2 = time.Parse(utcTime, t.End)
	}
	return from, to, err1 == nil && err2 == nil && (t.Start != "" || t.End != "")
}

func (t *timeRange) valid() bool {
	_, _, ok := t.bounds()
	return ok
}

// meets reports whether an event or a task is in the range. One that recurs is, from its first day on until the last day
// that its rules name: which of its days are is for the client to find out, as it does anyway to show them.
func (t *timeRange) meets(r *formats.Record) (bool, error) {
	e, err := formats.BodyAs[formats.Event](*r)
	if err != nil {
		return false, err
	}
	from, to, _ := t.bounds()
	begin, end, known := extent(&e)
	if !known {
		return true, nil
	}
	if !to.IsZero() && !begin.Before(to) {
		return len(e.RecurrenceOverrides) > 0, nil // one of its days may have been moved before the first
	}
	if len(e.RecurrenceRules) > 0 || len(e.RecurrenceOverrides) > 0 {
		return from.IsZero() || !over(&e, from), nil
	}
	return from.IsZero() || end.After(from) || end.Equal(begin) && !begin.Before(from), nil
}

// over reports whether all rules of an event say that it ended well before a time.
func over(e *formats.Event, at time.Time) bool {
	if len(e.RecurrenceOverrides) > 0 {
		return false
	}
	for _, rule := range e.RecurrenceRules {
		until, err := time.Parse(localTime, rule.Until)
		if err != nil || until.Add(year).After(at) {
			return false
		}
	}
	return true
}

const (
	localTime = "2006-01-02T15:04:05"
	year      = 366 * 24 * time.Hour // longer than nearly every event, and than zones differ
	aDay      = 24 * time.Hour
)

// extent returns from when to when something is, and false where nothing tells. Where the zone is not known, or where it
// is the same hour everywhere, it is wider.
func extent(e *formats.Event) (begin, end time.Time, known bool) {
	start := e.Start
	if start == "" {
		start = e.Due
	}
	zone, err := time.LoadLocation(e.TimeZone)
	wide := err != nil || e.TimeZone == ""
	if err != nil {
		zone = time.UTC
	}
	begin, err = time.ParseInLocation(localTime, start, zone)
	if err != nil {
		return begin, end, false
	}
	end = begin.Add(lasting(e.Duration))
	if due, err := time.ParseInLocation(localTime, e.Due, zone); err == nil && due.After(begin) {
		end = due
	}
	if wide {
		begin, end = begin.Add(-aDay), end.Add(aDay)
	}
	return begin, end, true
}

// lasting reads a duration such as P1DT2H (RFC 8984, section 1.4.6). What cannot be read is taken for long.
func lasting(text string) time.Duration {
	if text == "" {
		return 0
	}
	units := map[byte]float64{'W': 7 * 24 * 3600, 'D': 24 * 3600, 'H': 3600, 'M': 60, 'S': 1}
	rest, ok := strings.CutPrefix(text, "P")
	var sum, n float64 // seconds
	for i := range len(rest) {
		switch c := rest[i]; {
		case c >= '0' && c <= '9':
			n = 10*n + float64(c-'0')
		case c == 'T' && n == 0:
		case units[c] > 0:
			sum, n = sum+n*units[c], 0
		default:
			ok = false
		}
	}
	if !ok || sum > year.Seconds() {
		return year
	}
	return time.Duration(sum) * time.Second
}
