package energycsv

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/passerelle-cloud/passerelle/formats"
)

// headSize is how many bytes of a file are looked at to find out what it is.
const headSize = 64 << 10

var errStopped = errors.New("the walk was ended")

type yieldFunc = func(formats.Record, error) bool

// read walks the readings of a file.
func read(r io.Reader) formats.Records {
	file := formats.NewReread(r)
	return func(yield func(formats.Record, error) bool) {
		in, err := file.Open()
		if err == nil {
			err = walk(in, yield)
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(formats.Record{}, err)
		}
	}
}

// walk finds out what a file is and reads it. An empty one has no readings.
func walk(r io.ReadSeeker, yield yieldFunc) error {
	in, err := decoded(r)
	if err != nil {
		return err
	}
	head, err := in.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("energy: %w", err)
	}
	text := bytes.TrimSpace(head)
	switch {
	case len(text) == 0:
		return nil
	case text[0] == '<':
		return walkGreenButton(r, yield)
	}
	l, err := layoutOf(head, errors.Is(err, io.EOF))
	if err != nil {
		return err
	}
	t := &table{in: in, comma: l.comma}
	for range l.preamble {
		if _, err := t.row(); err != nil {
			return err
		}
	}
	if _, err := t.row(); err != nil {
		return err
	}
	for {
		cells, err := t.row()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = l.read(t, cells, yield)
		}
		if err != nil {
			return err
		}
	}
}

// decoded returns the text of a file in UTF-8. Without a byte order mark, a beginning that is not UTF-8 is taken for
// Windows-1252, in which spreadsheets of western Europe save CSV.
func decoded(r io.Reader) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(r, headSize)
	head, err := in.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("energy: %w", err)
	}
	switch {
	case bytes.HasPrefix(head, []byte("\ufeff")):
		_, err := in.Discard(len("\ufeff"))
		return in, err
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		utf16 := unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM)
		return bufio.NewReaderSize(utf16.NewDecoder().Reader(in), headSize), nil
	case !utf8.Valid(wholeRunes(head)):
		return bufio.NewReaderSize(charmap.Windows1252.NewDecoder().Reader(in), headSize), nil
	}
	return in, nil
}

// wholeRunes cuts off a last character of which not all bytes are there.
func wholeRunes(text []byte) []byte {
	for cut := 1; cut < utf8.UTFMax && cut <= len(text); cut++ {
		if at := len(text) - cut; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				return text[:at]
			}
			break
		}
	}
	return text
}

// layout is what the beginning of a table tells about its rows.
type layout struct {
	comma    byte
	preamble int // rows before the header
	own      []int
	foreign  *foreign
}

// maxPreamble is how many rows may precede the header.
const maxPreamble = 50

// layoutOf finds the header of a table. Whole says that head is all there is.
func layoutOf(head []byte, whole bool) (layout, error) {
	for _, comma := range []byte(",;\t") {
		rows := headRows(head, comma, whole)
		for i, cells := range rows[:min(len(rows), maxPreamble)] {
			if own := ownHeader(cells); own != nil {
				return layout{comma: comma, preamble: i, own: own}, nil
			}
			if f := foreignHeader(rows[:i], cells); f != nil {
				f.look(rows[i+1:])
				return layout{comma: comma, preamble: i, foreign: f}, nil
			}
		}
	}
	return layout{}, fmt.Errorf("%w: energy: line 1: there is no header with a date and a value: a table of readings has, for example, %q",
		formats.ErrInvalid, strings.Join(columns[:ownColumns], ","))
}

// headRows returns the rows at the beginning of a table, as far as they can be read.
func headRows(head []byte, comma byte, whole bool) [][]string {
	t := table{in: bufio.NewReader(bytes.NewReader(head)), comma: comma}
	var rows [][]string
	for {
		cells, err := t.row()
		if err != nil {
			break
		}
		rows = append(rows, cells)
	}
	if !whole && len(rows) > 1 {
		rows = rows[:len(rows)-1] // it may be cut
	}
	return rows
}

// ownHeader returns where our columns are, -1 for the last if it is not there; or nil for another header. A
// spreadsheet may have added columns or changed their order.
func ownHeader(cells []string) []int {
	at := make([]int, len(columns))
	for i, name := range columns {
		at[i] = slices.IndexFunc(cells, func(c string) bool { return strings.EqualFold(strings.TrimSpace(c), name) })
		if at[i] < 0 && i < ownColumns {
			return nil
		}
	}
	return at
}

// read gives what a row says.
func (l *layout) read(t *table, cells []string, yield yieldFunc) error {
	if l.foreign != nil {
		return l.foreign.read(t, cells, yield)
	}
	row := make([]string, len(columns))
	for i, at := range l.own {
		if at >= 0 && at < len(cells) {
			row[i] = unguarded(cells[at])
		}
	}
	if strings.Join(row, "") == "" {
		return nil // a spreadsheet's empty row
	}
	body, err := ownBody(t, row)
	if err != nil {
		return err
	}
	return give(row[0], cells, body, nil, yield)
}

// ownBody returns the body of a row of ours.
func ownBody(t *table, row []string) (json.RawMessage, error) {
	var patch formats.PatchObject
	if row[patchColumn] != "" && (json.Unmarshal([]byte(row[patchColumn]), &patch) != nil || patch == nil) {
		return nil, t.fault("the column %q is not what it was: %.60q", columns[patchColumn], row[patchColumn])
	}
	if value := row[valueColumn]; value != "" || patch == nil {
		number, err := number(value)
		if err != nil {
			return nil, t.fault("the value %.60q is not a number", value)
		}
		row[valueColumn] = string(number)
	}
	body, err := bodyOf(row)
	if err != nil {
		return nil, err
	}
	return patch.Apply(body)
}

// give yields a record; where the row has no usable id, that is a hash of its cells.
func give(id string, cells []string, body json.RawMessage, native *formats.Native, yield yieldFunc) error {
	r := formats.Record{ID: id, Dataset: formats.Energy, Kind: formats.KindReading, Body: body, Native: native}
	if r.Validate() != nil {
		r.ID = hashID(cells)
	}
	if !yield(r, nil) {
		return errStopped
	}
	return nil
}

func hashID(cells []string) string {
	raw, _ := json.Marshal(cells) // strings cannot fail
	return formats.HashOf(raw).String()[:32]
}

// number returns the digits of a cell. A comma is a decimal one unless a point follows; blanks, which part thousands,
// go.
func number(cell string) (formats.Decimal, error) {
	if plainDecimal.MatchString(cell) {
		return formats.Decimal(cell), nil
	}
	text := strings.NewReplacer(" ", "", "\u00a0", "", "\u202f", "", "+", "").Replace(cell)
	point, comma := strings.LastIndex(text, "."), strings.LastIndex(text, ",")
	switch {
	case comma > point:
		text = strings.ReplaceAll(text[:comma], ".", "") + "." + text[comma+1:]
	case point >= 0:
		text = strings.ReplaceAll(text, ",", "")
	}
	return formats.ParseDecimal(text)
}
