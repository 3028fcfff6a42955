package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/passerelle-cloud/passerelle/compliance/audit"
)

// chart is a drawing of bars, which the table beside it says too.
type chart struct {
	Width, Height int
	Bars          []bar
}

// bar is one of them. What it is called is either a text of the page, by its key, or a name.
type bar struct {
	Y, TextY, Length, ValueX int // TextY is the base line of the name, above the bar
	Key, Name                string
	Count                    int64
	Hidden                   bool
}

// The measures of a chart, in its own units.
const (
	chartWidth = 360
	valueWidth = 80
	lineHeight = 18
	barHeight  = 14
	barGap     = 12
	mostBars   = 15
)

// draw places bars.
func draw(bars []bar) *chart {
	bars = bars[:min(len(bars), mostBars)]
	if len(bars) == 0 {
		return nil
	}
	greatest := int64(1)
	for _, b := range bars {
		greatest = max(greatest, b.Count)
	}
	c := &chart{Width: chartWidth, Height: len(bars) * (lineHeight + barHeight + barGap)}
	for i, b := range bars {
		b.Y = i*(lineHeight+barHeight+barGap) + lineHeight
		b.TextY = b.Y - 5
		if b.Length = int(b.Count * (chartWidth - valueWidth) / greatest); b.Count > 0 {
			b.Length = max(b.Length, 2)
		}
		b.ValueX = b.Length + 6
		c.Bars = append(c.Bars, b)
	}
	return c
}

// ValueY is the base line of the number beside a bar.
func (b bar) ValueY() int { return b.Y + barHeight - 2 }

// nameRoom is how many letters of a name there is room for.
const nameRoom = 40

func cut(name string) string {
	if letters := []rune(name); len(letters) > nameRoom {
		return string(letters[:nameRoom-1]) + "…"
	}
	return name
}

// numbers is what the page of numbers shows.
type numbers struct {
	*audit.Aggregates
	DatasetChart, ServiceChart *chart
}

// Numbers shows numbers about all consents.
func (w *Web) Numbers(s *seat) error {
	a, err := w.opt.Desk.Aggregates(s.r.Context(), s.who)
	if err != nil {
		return err
	}
	page := numbers{Aggregates: a}
	var datasets, services []bar
	for _, c := range a.Datasets {
		datasets = append(datasets, bar{Key: "set." + c.Label, Count: c.Count, Hidden: c.Hidden})
	}
	for _, c := range a.Services {
		services = append(services, bar{Name: cut(c.Label), Count: c.Count, Hidden: c.Hidden})
	}
	page.DatasetChart, page.ServiceChart = draw(datasets), draw(services)
	return w.show(s, "desk-numbers", "numbers", page)
}

// Took is how long something took, in a unit that reads well.
type Took struct {
	Number string // with a point, or none
	Unit   string // "ms", "s", "min", "h", "d"
}

func took(d time.Duration) Took {
	short := func(n float64) string {
		if n < 10 {
			return strconv.FormatFloat(n, 'f', 1, 64)
		}
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
	switch {
	case d < time.Second:
		return Took{short(float64(d) / float64(time.Millisecond)), "ms"}
	case d < time.Minute:
		return Took{short(d.Seconds()), "s"}
	case d < time.Hour:
		return Took{short(d.Minutes()), "min"}
	case d < 48*time.Hour:
		return Took{short(d.Hours()), "h"}
	}
	return Took{short(d.Hours() / 24), "d"}
}

// withdrawals is what the page about withdrawals shows.
type withdrawals struct {
	*audit.Withdrawals
	Days         int
	Dead, Answer times
	Chart        *chart
}

// times are a spread in words.
type times struct {
	Count              int
	P50, P95, P99, Max Took
}

func timesOf(s audit.Spread) times {
	return times{s.Count, took(s.P50), took(s.P95), took(s.P99), took(s.Max)}
}

// Ending is one of the last endings.
type ending struct {
	Consent, Service, State string
	At                      time.Time
	Took                    Took
}

// Endings are the last ones.
func (w withdrawals) Endings() []ending {
	var list []ending
	for _, e := range w.Last {
		list = append(list, ending{e.Consent, e.Service, string(e.State), e.Asked, took(e.Dead.Sub(e.Asked))})
	}
	return list
}

// Withdrawals shows how long it takes to end a consent.
func (w *Web) Withdrawals(s *seat) error {
	days := 30
	if text := s.r.URL.Query().Get("days"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 3660 {
			return fmt.Errorf("%w: days is a number from 1 to 3660", audit.ErrInvalid)
		}
		days = n
	}
	found, err := w.opt.Desk.Withdrawals(s.r.Context(), s.who, time.Now().AddDate(0, 0, -days))
	if err != nil {
		return err
	}
	page := withdrawals{Withdrawals: found, Days: days, Dead: timesOf(found.Dead), Answer: timesOf(found.Answer)}
	if found.Dead.Count > 0 {
		var bars []bar
		for i, n := range found.Dead.Buckets {
			bars = append(bars, bar{Key: "desk.bucket-" + strconv.Itoa(i), Count: int64(n)})
		}
		page.Chart = draw(bars)
	}
	return w.show(s, "desk-withdrawals", "withdrawals", page)
}

// registers is what the page of registers shows.
type registers struct {
	*audit.Registers
	Now time.Time
}

// Registers shows the registers.
func (w *Web) Registers(s *seat) error {
	r, err := w.opt.Desk.Registers(s.r.Context(), s.who)
	if err != nil {
		return err
	}
	return w.show(s, "desk-registers", "registers", registers{r, time.Now()})
}

// Conduct shows what the operator did, and what auditors asked.
func (w *Web) Conduct(s *seat) error {
	list, err := w.opt.Desk.Conduct(s.r.Context(), s.who)
	if err != nil {
		return err
	}
	auditors, err := w.opt.Desk.Auditors.Auditors(s.r.Context())
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, a := range auditors {
		names[a.As()] = a.Name + ", " + a.Authority
	}
	var page []conducted
	for _, c := range list {
		one := conducted{Conducted: c, Name: names[c.Who]}
		var about map[string]string
		if json.Unmarshal([]byte(c.Text), &about) == nil {
			one.Text = ""
			for _, name := range slices.Sorted(maps.Keys(about)) {
				if about[name] != "" {
					one.About = append(one.About, name+": "+about[name])
				}
			}
		}
		page = append(page, one)
	}
	return w.show(s, "desk-conduct", "conduct", page)
}

// conducted is something that the operator did, or that an auditor asked, in words.
type conducted struct {
	audit.Conducted
	Name  string // of the auditor; "" if it was none
	About []string
}

// Periods are those of the tabs, in days.
func (w withdrawals) Periods() []int { return []int{7, 30, 365} }
