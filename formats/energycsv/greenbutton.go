package energycsv

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Bounds of a Green Button file. An entry often has the readings of one day.
const (
	maxElement = 1 << 20 // bytes of an element that is read in one piece
	maxEntries = 1 << 17
	maxTypes   = 1000
	maxType    = 8 << 10 // bytes of a ReadingType, which each reading's native document repeats
	maxAddress = 2 << 10 // bytes of an address
)

// feed is a Green Button file (NAESB REQ.21 ESPI 1.1): an Atom feed whose entries point to each other.
type feed struct {
	in     *meter
	xml    *xml.Decoder
	entry  int // ordinal of the entry that is read
	links  links
	types  map[string]readingType // by the address of their entry
	meters map[string]string      // address of a meter reading's blocks to that of their type
	blocks map[int]string         // ordinal of a block's entry to the address of the collection it is in
	only   *readingType           // the first type
	clock  localTime
	yield  yieldFunc // nil in the first walk
	next   int64     // when a reading without a period of its own begins
}

// links are what an entry says about itself and others.
type links struct {
	self, up string
	related  []string
	isMeter  bool
	isBlock  bool
	typ      *readingType
}

type readingType struct {
	Commodity  int    `xml:"commodity"`
	Multiplier int    `xml:"powerOfTenMultiplier"`
	Unit       string `xml:"uom"`
	Length     int64  `xml:"intervalLength"` // seconds
	XML        string `xml:",innerxml"`
}

type period struct {
	Duration int64 `xml:"duration"` // seconds
	Start    int64 `xml:"start"`    // seconds since 1970, UTC
}

type intervalReading struct {
	Period *period `xml:"timePeriod"`
	Value  string  `xml:"value"`
	XML    string  `xml:",innerxml"`
}

// walkGreenButton reads the file twice: for what units and local time are, then for the readings.
func walkGreenButton(r io.ReadSeeker, yield yieldFunc) error {
	f := &feed{types: map[string]readingType{}, meters: map[string]string{}, blocks: map[int]string{}}
	for _, to := range []yieldFunc{nil, yield} {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("energy: %w", err)
		}
		f.yield, f.entry, f.links = to, 0, links{}
		f.in = &meter{in: r}
		f.xml = xml.NewDecoder(f.in)
		if err := f.walk(); err != nil {
			return err
		}
	}
	return nil
}

func (f *feed) walk() error {
	readings := false
	for {
		f.in.mark = f.xml.InputOffset()
		token, err := f.xml.Token()
		if errors.Is(err, io.EOF) {
			f.end()
			if !readings && f.yield == nil && f.only == nil {
				return f.fault("this is no Green Button file: it has no ReadingType and no IntervalReading")
			}
			return nil
		}
		if err != nil {
			return f.broken(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			readings = readings || t.Name.Local == "IntervalReading"
			err = f.element(t)
		case xml.EndElement:
			if t.Name.Local == "entry" {
				f.end()
			}
		}
		if err != nil {
			return err
		}
	}
}

func (f *feed) element(t xml.StartElement) error {
	switch t.Name.Local {
	case "entry":
		if f.entry++; f.entry > maxEntries {
			return f.fault("it has more than %d entries", maxEntries)
		}
	case "link":
		f.link(t)
	case "MeterReading":
		f.links.isMeter = true
	case "ReadingType":
		f.links.typ = &readingType{}
		err := f.decode(t, f.links.typ)
		if err == nil && (len(f.links.typ.XML) > maxType || len(f.types) >= maxTypes) {
			err = f.fault("a ReadingType has more than %d bytes, or there are more than %d", maxType, maxTypes)
		}
		return err
	case "LocalTimeParameters":
		return f.decode(t, &f.clock)
	case "IntervalBlock":
		f.links.isBlock = true
	case "interval":
		var p period
		err := f.decode(t, &p)
		f.next = p.Start
		return err
	case "IntervalReading":
		var r intervalReading
		if err := f.decode(t, &r); err != nil || f.yield == nil {
			return err
		}
		return f.reading(r)
	}
	return nil
}

func (f *feed) link(t xml.StartElement) {
	var rel, href string
	for _, a := range t.Attr {
		switch a.Name.Local {
		case "rel":
			rel = a.Value
		case "href":
			href = strings.TrimRight(a.Value, "/")
		}
	}
	switch {
	case len(href) > maxAddress:
	case rel == "self":
		f.links.self = href
	case rel == "up":
		f.links.up = href
	case len(f.links.related) < 100:
		f.links.related = append(f.links.related, href)
	}
}

// end notes, in the first walk, what an entry says about others.
func (f *feed) end() {
	l := f.links
	f.links = links{}
	if f.yield != nil {
		return
	}
	switch {
	case l.typ != nil:
		f.types[l.self] = *l.typ
		if f.only == nil {
			f.only = l.typ
		}
	case l.isMeter:
		for _, blocks := range l.related {
			for _, typ := range l.related {
				if blocks != typ && path.Base(blocks) == "IntervalBlock" {
					f.meters[blocks] = typ
				}
			}
		}
	case l.isBlock:
		up := l.up
		if up == "" {
			up = path.Dir(l.self)
		}
		f.blocks[f.entry] = up
	}
}

// decode decodes an element.
func (f *feed) decode(t xml.StartElement, into any) error {
	if err := f.xml.DecodeElement(into, &t); err != nil {
		return f.broken(err)
	}
	return nil
}

// typeOf returns the type of the readings of the present entry.
func (f *feed) typeOf() (readingType, error) {
	if typ, ok := f.types[f.meters[f.blocks[f.entry]]]; ok {
		return typ, nil
	}
	if len(f.types) == 1 {
		return *f.only, nil
	}
	return readingType{}, f.fault("entry %d: no ReadingType says in which unit its readings are", f.entry)
}

// nativeReading is the native document of a Green Button reading.
type nativeReading struct {
	Meter       string `json:"meter,omitempty"` // the address of its blocks
	Type        string `json:"readingType"`     // XML inside the elements of these names
	Reading     string `json:"intervalReading"`
	StartsAtUTC string `json:"start"`
}

func (f *feed) reading(r intervalReading) error {
	typ, err := f.typeOf()
	if err != nil {
		return err
	}
	p := period{Duration: typ.Length, Start: f.next}
	if r.Period != nil {
		p = *r.Period
	}
	if p.Duration <= 0 || p.Duration > 1e9 || p.Start < -6e10 || p.Start > 2e11 {
		return f.fault("a reading of %d seconds that begins at %d", p.Duration, p.Start)
	}
	f.next = p.Start + p.Duration
	value, err := formats.ParseDecimal(strings.TrimSpace(r.Value) + "e" + strconv.Itoa(typ.Multiplier))
	if err != nil {
		return f.fault("the value %.60q times ten to the power of %d is not a number", r.Value, typ.Multiplier)
	}
	start := time.Unix(p.Start, 0).UTC()
	body, err := formats.MarshalBody(formats.EnergyReading{
		Commodity: typ.commodity(), Unit: typ.unit(), Start: f.clock.of(start).Format(startForm),
		Interval: duration(time.Duration(p.Duration) * time.Second), Value: value,
	})
	if err != nil {
		return err
	}
	n := nativeReading{f.blocks[f.entry], typ.XML, r.XML, start.Format(time.RFC3339)}
	document, err := formats.MarshalBody(n)
	if err != nil {
		return err
	}
	id := hashID([]string{n.Meter, n.StartsAtUTC, n.Type, n.Reading})
	return give(id, nil, body, &formats.Native{Type: "espi:IntervalReading", Document: document}, f.yield)
}

// unit returns the unit of ESPI's UnitSymbolKind; one that we have no name for keeps its number.
func (t *readingType) unit() string {
	switch uom := strings.TrimSpace(t.Unit); uom {
	case "38":
		return "W"
	case "42":
		return "m3"
	case "61":
		return "VA"
	case "72":
		return "Wh"
	case "119":
		return "ft3"
	case "132":
		return "Btu"
	case "134":
		return "L"
	case "169":
		return "therm"
	default:
		return "espi:" + uom
	}
}

// commodity returns the commodity of ESPI's CommodityKind.
func (t *readingType) commodity() string {
	switch t.Commodity {
	case 0: // not said
		return commodityOf(t.unit())
	case 1, 2:
		return "electricity"
	case 7:
		return "gas"
	case 9:
		return "water"
	}
	return "espi:" + strconv.Itoa(t.Commodity)
}

func (f *feed) fault(format string, args ...any) error {
	line, _ := f.xml.InputPos()
	return fmt.Errorf("%w: energy: line %d: %s", formats.ErrInvalid, line, fmt.Sprintf(format, args...))
}

// broken says where an error of the XML decoder is. What the reader itself reports is no fault of the file.
func (f *feed) broken(err error) error {
	if f.in.err != nil && errors.Is(err, f.in.err) {
		return fmt.Errorf("energy: %w", err)
	}
	return f.fault("%v", err)
}

// meter is a reader that refuses to give more than maxElement bytes for one element.
type meter struct {
	in   io.Reader
	read int64
	mark int64 // where the element began
	err  error // of the reader
}

var errTooLong = fmt.Errorf("%w: an element has more than %d bytes", formats.ErrInvalid, maxElement)

func (m *meter) Read(p []byte) (int, error) {
	if m.read-m.mark > maxElement {
		return 0, errTooLong
	}
	n, err := m.in.Read(p)
	m.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}
