package bankcsv

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/passerelle-cloud/passerelle/formats"
)

// maxRow is how many bytes a row may have.
const maxRow = 8 << 20

var errTooLong = fmt.Errorf("%w: a row has more than 8 MiB; perhaps a quotation mark has no end", formats.ErrInvalid)

// content is a file that can be read from its beginning as often as is wanted.
type content struct {
	whole *io.SectionReader
}

func (c content) bytes() io.Reader { return io.NewSectionReader(c.whole, 0, c.whole.Size()) }

// text returns the file in UTF-8, without a byte order mark.
func (c content) text(from encoding.Encoding) io.Reader {
	if from != nil {
		return from.NewDecoder().Reader(c.bytes())
	}
	in := bufio.NewReaderSize(c.bytes(), 64<<10)
	if head, _ := in.Peek(3); bytes.Equal(head, []byte("\ufeff")) {
		in.Discard(3)
	}
	return in
}

// encoding finds out in which encoding the file is, nil for UTF-8: by its byte order mark, else UTF-8 if it is that to
// the end, else Windows-1252, of which ISO-8859-1 is a part.
func (c content) encoding() (encoding.Encoding, error) {
	in := bufio.NewReaderSize(c.bytes(), 64<<10)
	head, err := in.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if bytes.Equal(head, []byte{0xff, 0xfe}) || bytes.Equal(head, []byte{0xfe, 0xff}) {
		return unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM), nil
	}
	for line := 1; ; {
		char, size, err := in.ReadRune()
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil
		case err != nil:
			return nil, err
		case char == utf8.RuneError && size == 1:
			return charmap.Windows1252, nil
		case char == '\n':
			line++
		case char == 0:
			return nil, fault("csv: line %d: there is a zero byte; save the file as UTF-8", line)
		}
	}
}

// rows reads the rows of a text in bounded memory.
type rows struct {
	*csv.Reader
	in *limited
}

// limited fails when more was read than a row may have.
type limited struct {
	in   io.Reader
	room int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.room <= 0 {
		return 0, errTooLong
	}
	n, err := l.in.Read(p[:min(len(p), l.room)])
	l.room -= n
	return n, err
}

func newRows(in io.Reader, comma rune, lazy bool) *rows {
	l := &limited{in: in}
	r := csv.NewReader(l)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord, r.ReuseRecord = comma, lazy, -1, true
	return &rows{r, l}
}

// next returns the next row, or io.EOF. It is good until the next one is read.
func (r *rows) next() ([]string, error) {
	r.in.room = maxRow
	cells, err := r.Read()
	var at *csv.ParseError
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return cells, err
	case errors.As(err, &at) && errors.Is(err, csv.ErrQuote):
		return nil, fault("csv: line %d: the quoted cell that begins on line %d has no proper end; if the file was cut off, get it again", at.Line, at.StartLine)
	case errors.As(err, &at):
		return nil, fmt.Errorf("csv: line %d: %w", at.Line, at.Err)
	}
	return nil, fmt.Errorf("csv: %w", err)
}

// line returns the line on which the row begins that was read last.
func (r *rows) line() int {
	line, _ := r.FieldPos(0)
	return line
}
