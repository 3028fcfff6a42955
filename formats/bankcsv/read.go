package bankcsv

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/encoding"

	"github.com/passerelle-cloud/passerelle/formats"
)

// foreign is what a row from elsewhere says in columns that we do not write.
type foreign struct {
	amount      string // from the columns debit and credit
	outgoing    bool   // the column direction says that the amount leaves the account
	currency    string // that an amount or the header tells
	party       string
	partyNumber string
}

// file is a file that is read.
type file struct {
	*layout
	content
	charset encoding.Encoding
	comma   rune // parts columns
	lazy    bool // quotation marks stand in cells that are not quoted
	skip    int  // rows up to the header, with it
}

func (t table) read(r io.Reader) formats.Records {
	source := formats.NewReread(r)
	return func(yield func(formats.Record, error) bool) {
		f, err := t.survey(source)
		if err != nil {
			yield(formats.Record{}, err)
			return
		}
		if f != nil {
			f.records(yield)
		}
	}
}

// survey finds out how a file is written. It returns nil for a file without any text.
func (t table) survey(source *formats.Reread) (*file, error) {
	whole, err := source.Open()
	if err != nil {
		return nil, fmt.Errorf("csv: %w", err)
	}
	f := &file{content: content{whole}}
	if f.charset, err = f.encoding(); err != nil {
		return nil, err
	}
	head, err := bufio.NewReaderSize(f.text(f.charset), maxHead).Peek(maxHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("csv: %w", err)
	}
	if strings.TrimSpace(string(head)) == "" {
		return nil, nil
	}
	if !f.findHeader(t, string(head)) {
		return nil, fault("csv: line 1: no row names the columns: %s", t.wanted)
	}
	for _, name := range f.header {
		if len(name) > 200 || len(f.header) > 1000 {
			return nil, fault("csv: line 1: the header is too large: at most 1000 columns, with names of at most 200 bytes")
		}
	}
	err = f.evidence()
	if errors.Is(err, csv.ErrBareQuote) {
		f.lazy = true
		err = f.evidence()
	}
	return f, err
}

// A header stands in the first rows.
const (
	maxHead = 64 << 10
	maxSkip = 50
)

// findHeader looks for the row that names most columns, with each of the signs that may part them.
func (f *file) findHeader(t table, head string) bool {
	for _, comma := range []rune{',', ';', '\t', '|'} {
		in := newRows(strings.NewReader(head), comma, true)
		for n := 1; n <= maxSkip; n++ {
			cells, err := in.next()
			if err != nil {
				break
			}
			l := t.layout(slices.Clone(cells))
			if t.enough(l.has) && (f.layout == nil || l.known() > f.known()) {
				f.layout, f.comma, f.skip = l, comma, n
			}
		}
	}
	return f.layout != nil
}

// body returns the rows below the header.
func (f *file) body() (*rows, error) {
	in := newRows(f.text(f.charset), f.comma, f.lazy)
	for range f.skip {
		if _, err := in.next(); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// evidence walks all rows to find out what parts decimals, and whether the month comes first.
func (f *file) evidence() error {
	in, err := f.body()
	if err != nil {
		return err
	}
	var points, commas, monthFirst, dayFirst bool
	for {
		cells, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for i, text := range cells[:min(len(cells), len(f.columns))] {
			switch f.values[f.columns[i]] {
			case isAmount:
				if n, err := takeNumber(unguard(text)); err == nil {
					points = points || n.decimalSign() == '.'
					commas = commas || n.decimalSign() == ','
				}
			case isDay:
				m, d := monthsAndDays(text)
				monthFirst, dayFirst = monthFirst || m, dayFirst || d
			}
		}
	}
	f.sign = '.'
	if commas || !points && f.comma != ',' {
		f.sign = ','
	}
	f.monthFirst = monthFirst && !dayFirst
	return nil
}

// records walks the records of the file.
func (f *file) records(yield func(formats.Record, error) bool) {
	in, err := f.body()
	if err != nil {
		yield(formats.Record{}, err)
		return
	}
	taken := map[uint64]int{}
	for {
		cells, err := in.next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			yield(formats.Record{}, err)
			return
		}
		r, ok, err := f.row(cells, taken)
		if err != nil {
			yield(formats.Record{}, fmt.Errorf("csv: line %d: %w", in.line(), err))
			return
		}
		if ok && !yield(r, nil) {
			return
		}
	}
}

// row reads a row. It returns false for one that is none of the table.
func (f *file) row(cells []string, taken map[uint64]int) (formats.Record, bool, error) {
	w := f.empty()
	other, err := f.fill(w, cells)
	if errors.Is(err, errNoRow) {
		return formats.Record{}, false, nil
	}
	if err != nil {
		return formats.Record{}, false, err
	}
	own := w.env().recordID != ""
	if own && len(cells) < len(f.columns) {
		return formats.Record{}, false, fault("the row has %d cells, the header has %d; if the file was cut off, get it again", len(cells), len(f.columns))
	}
	if !own {
		if err := w.complete(other); err != nil {
			return formats.Record{}, false, err
		}
	}
	r, err := f.record(w)
	if err != nil {
		return r, false, err
	}
	if !own {
		r.ID = newID(w.id(), r.Body, taken)
	}
	if r.Native, err = f.native(cells, own); err != nil {
		return r, false, err
	}
	return r, true, r.Validate()
}

// newID returns an id for a record from elsewhere.
func newID(id string, body []byte, taken map[uint64]int) string {
	r := formats.Record{ID: id + "#999999999", Dataset: formats.Bank, Kind: formats.KindOperation}
	if id == "" || r.Validate() != nil {
		id = formats.HashOf(body).String()[:32]
	}
	sum := sha256.Sum256([]byte(id))
	key := binary.BigEndian.Uint64(sum[:])
	if taken[key]++; taken[key] > 1 {
		return fmt.Sprintf("%s#%d", id, taken[key])
	}
	return id
}

// native keeps the cells as they were: all of a row from elsewhere, and of ours those in columns that somebody added.
func (l *layout) native(cells []string, own bool) (*formats.Native, error) {
	document := map[string]string{}
	for i, text := range cells {
		if text == "" || own && i < len(l.columns) && l.columns[i] != "" {
			continue
		}
		document[l.name(i, document)] = text
	}
	if len(document) == 0 {
		return nil, nil
	}
	raw, err := formats.MarshalBody(document)
	return &formats.Native{Type: "text/csv", Document: raw}, err
}

// name returns a name for a column that is not taken.
func (l *layout) name(i int, taken map[string]string) string {
	if i < len(l.header) {
		if name := strings.TrimSpace(l.header[i]); name != "" {
			if _, twice := taken[name]; !twice {
				return name
			}
		}
	}
	name := "column " + strconv.Itoa(i+1)
	for _, twice := taken[name]; twice; _, twice = taken[name] {
		name += "'"
	}
	return name
}
