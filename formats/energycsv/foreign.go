package energycsv

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// foreign is how a table of another program says readings: the load curves, daily consumptions and peaks that Enedis
// hands out (rows of facts, then "Horodate;Valeur"), those of GRDF ("Date de relevé", "Volume consommé (m3)",
// "Energie consommée (kWh)", …), and others whose header names a date and values with their units.
type foreign struct {
	preamble [][]string
	columns  []string
	facts    map[string]string // of the preamble, by folded name

	date, hour, end, step, unit int // columns, or -1
	values                      []valueIn
	provider, commodity         string

	// Found by looking at the first rows:
	stampsEnd bool          // a stamp is the end of its interval, not the beginning
	pace      time.Duration // between stamps; 0 if unknown

	before time.Time // the stamp of the row before
	latest time.Time // the latest stamp so far
}

// valueIn is a column of values.
type valueIn struct {
	at   int
	unit string // "" where another column or the preamble says it
}

// Folded names of columns and facts.
var (
	dateNames = []string{"horodate", "horodatage", "date et heure", "date/heure", "timestamp", "date de releve", "journee gaziere", "date de consommation", "date de debut", "debut", "date", "jour", "mois", "start"}
	endNames  = []string{"date de fin", "fin", "end"}
	factNames = []string{"identifiant prm", "type de donnees", "date de debut", "date de fin", "grandeur physique", "grandeur metier", "etape metier", "unite", "pas en minutes"}
)

// unitForm finds a unit at the end of a folded header.
var unitForm = regexp.MustCompile(`(?:^|[ (_])(mwh|kwh|wh|kva|va|kw|w|m3|litres?|l)\)?$`)

// notReadings are words of columns that hold a state of the meter or a factor, and no consumption.
var notReadings = regexp.MustCompile(`index|coefficient|temperature|tarif|prix|cout|max autorise`)

var unitNames = map[string]string{
	"mwh": "MWh", "kwh": "kWh", "wh": "Wh", "kva": "kVA", "va": "VA", "kw": "kW", "w": "W", "m3": "m3", "litre": "L", "litres": "L", "l": "L",
}

var folder = strings.NewReplacer("é", "e", "è", "e", "ê", "e", "à", "a", "â", "a", "î", "i", "ï", "i", "ô", "o", "û", "u", "ù", "u", "ç", "c",
	"³", "3", "°", "o", "º", "o", "\u00a0", " ", "\u202f", " ")

// fold returns a name without case, accents and needless blanks.
func fold(name string) string {
	return strings.Join(strings.Fields(folder.Replace(strings.ToLower(name))), " ")
}

// maxAbove is how many bytes a foreign header and the rows above it may have, since each reading's native document
// repeats them.
const maxAbove = 4 << 10

// foreignHeader returns how a table with that header says readings, or nil if it says none.
func foreignHeader(preamble [][]string, header []string) *foreign {
	if len(joinRows(preamble))+len(joinRows([][]string{header})) > maxAbove {
		return nil
	}
	f := &foreign{preamble: preamble, columns: header, facts: factsOf(preamble)}
	names := make([]string, len(header))
	for i, cell := range header {
		names[i] = fold(cell)
	}
	f.date = firstOf(names, dateNames...)
	f.hour = firstOf(names, "heure")
	f.step = firstOf(names, "pas", "pas en minutes", "pas (en minutes)")
	f.unit = firstOf(names, "unite")
	f.end = -1
	if f.date >= 0 && slices.Contains([]string{"date de debut", "debut", "start"}, names[f.date]) {
		f.end = firstOf(names, endNames...)
	}
	if f.date < 0 {
		return nil
	}
	unitElsewhere := f.unit >= 0 || f.facts["unite"] != "" || strings.HasPrefix(names[f.date], "horoda")
	for i, name := range names {
		unit := unitOf(name)
		if name == "valeur" && unitElsewhere || unit != "" && !notReadings.MatchString(name) {
			f.values = append(f.values, valueIn{i, unit})
		}
	}
	if len(f.values) == 0 {
		return nil
	}
	f.provider, f.commodity = sourceOf(strings.Join(names, " ") + " " + fold(joinRows(preamble)))
	return f
}

// firstOf returns where the first of the wanted names is that is there, or -1.
func firstOf(names []string, wanted ...string) int {
	for _, w := range wanted {
		if i := slices.Index(names, w); i >= 0 {
			return i
		}
	}
	return -1
}

// unitOf returns the unit that a folded header ends with, or "".
func unitOf(name string) string {
	if m := unitForm.FindStringSubmatch(name); m != nil {
		return unitNames[m[1]]
	}
	return ""
}

func joinRows(rows [][]string) string {
	var cells []string
	for _, r := range rows {
		cells = append(cells, r...)
	}
	return strings.Join(cells, " ")
}

// factsOf returns what rows before the header say: names in one row and values below, or names and values in turn.
func factsOf(rows [][]string) map[string]string {
	facts := map[string]string{}
	isFact := func(row []string, i int) bool { return i < len(row) && slices.Contains(factNames, fold(row[i])) }
	for n, row := range rows {
		listed := isFact(row, 0) && isFact(row, 1)
		for i := range row {
			switch {
			case !isFact(row, i):
			case listed && n+1 < len(rows) && i < len(rows[n+1]):
				facts[fold(row[i])] = strings.TrimSpace(rows[n+1][i])
			case !listed && i+1 < len(row):
				facts[fold(row[i])] = strings.TrimSpace(row[i+1])
			}
		}
	}
	return facts
}

// sourceOf returns who measured what, as far as the words of a header tell. The commodity is "" where only its unit
// can tell.
func sourceOf(words string) (provider, commodity string) {
	has := func(signs ...string) bool {
		return slices.ContainsFunc(signs, func(w string) bool { return strings.Contains(words, w) })
	}
	switch {
	case has("grdf", "coefficient de conversion", "journee gaziere", "pce"):
		return "grdf", "gas"
	case has("identifiant prm", "enedis", "horodate"):
		return "enedis", "electricity"
	case has("gaz"):
		return "", "gas"
	case has("eau ", "water"):
		return "", "water"
	}
	return "", ""
}

// commodityOf returns what is measured in a unit where nothing else tells.
func commodityOf(unit string) string {
	if unit == "m3" || unit == "L" {
		return "water"
	}
	return "electricity"
}

// look finds out, from the first rows, how far apart stamps are and whether they end their intervals. Those of load
// curves do: the first of a day is 00:30. Where the first is the beginning of what was asked for, they do not.
func (f *foreign) look(rows [][]string) {
	var first, before time.Time
	for _, cells := range rows {
		at, grain, err := f.stamp(cells)
		if err != nil || grain != grainSecond {
			continue
		}
		if first.IsZero() {
			first = at
		} else if gap := at.Sub(before).Abs(); gap > 0 && (f.pace == 0 || gap < f.pace) {
			f.pace = gap
		}
		before = at
	}
	if f.provider != "enedis" || f.step >= 0 {
		return
	}
	if begin, _, err := parseStamp(f.facts["date de debut"]); err == nil {
		f.stampsEnd = first.Format(startForm) != begin.Format(startForm)
	} else {
		f.stampsEnd = first.Format(time.TimeOnly) != "00:00:00"
	}
}

func cellAt(cells []string, i int) string {
	if i < 0 || i >= len(cells) {
		return ""
	}
	return strings.TrimSpace(cells[i])
}

func (f *foreign) stamp(cells []string) (time.Time, grain, error) {
	return parseStamp(strings.TrimSpace(cellAt(cells, f.date) + " " + cellAt(cells, f.hour)))
}

// read gives the readings of a row: one for each column of values that is not empty there.
func (f *foreign) read(t *table, cells []string, yield yieldFunc) error {
	at, grain, err := f.stamp(cells)
	if err != nil {
		if f.blank(cells) || strings.HasPrefix(fold(cellAt(cells, f.date)), "total") {
			return nil
		}
		return t.fault("%.60q is not a date", cellAt(cells, f.date))
	}
	start, interval, err := f.interval(cells, at, grain)
	if err != nil {
		return t.fault("%v", err)
	}
	// When clocks go back, an hour comes twice; only the order of rows tells them apart if stamps have no zone.
	again := !at.After(f.latest) && !f.latest.IsZero()
	if f.before = at; at.After(f.latest) {
		f.latest = at
	}
	for n, column := range f.values {
		text := cellAt(cells, column.at)
		if noValue(text) {
			continue
		}
		value, err := number(text)
		if err != nil {
			return t.fault("the value %.60q is not a number", text)
		}
		if err := f.reading(cells, column, n, again, formats.EnergyReading{Start: start, Interval: interval, Value: value}, yield); err != nil {
			return err
		}
	}
	return nil
}

func (f *foreign) blank(cells []string) bool {
	return !slices.ContainsFunc(f.values, func(c valueIn) bool { return !noValue(cellAt(cells, c.at)) })
}

// noValue reports whether a cell says that there was no measurement.
func noValue(cell string) bool {
	switch strings.ToLower(cell) {
	case "", "-", "null", "nan", "n/a", "na":
		return true
	}
	return false
}

// nativeRow is the native document of a row.
type nativeRow struct {
	Preamble [][]string `json:"preamble,omitempty"`
	Columns  []string   `json:"columns"`
	Row      []string   `json:"row"`
}

// usualUnit is the unit of Enedis where none is told: that of peaks, else of load curves.
func (f *foreign) usualUnit() string {
	if strings.Contains(fold(f.facts["type de donnees"]), "maximale") {
		return "VA"
	}
	return "W"
}

// reading gives the nth reading of a row.
func (f *foreign) reading(cells []string, column valueIn, n int, again bool, r formats.EnergyReading, yield yieldFunc) error {
	r.Unit = column.unit
	if r.Unit == "" {
		told := cmp.Or(cellAt(cells, f.unit), f.facts["unite"], f.usualUnit())
		r.Unit = cmp.Or(unitNames[fold(told)], told)
	}
	r.Provider, r.Commodity = f.provider, f.commodity
	if r.Commodity == "" {
		r.Commodity = commodityOf(r.Unit)
	}
	body, err := formats.MarshalBody(r)
	if err != nil {
		return err
	}
	document, err := formats.MarshalBody(nativeRow{f.preamble, f.columns, cells})
	if err != nil {
		return err
	}
	id := hashID(append([]string{f.facts["identifiant prm"], f.facts["grandeur metier"], strconv.Itoa(n), fmt.Sprint(again)}, cells...))
	return give(id, nil, body, &formats.Native{Type: "text/csv", Document: document}, yield)
}
