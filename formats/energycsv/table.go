package energycsv

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

// maxRow is how many bytes a row may have. One of a reading has some 100.
const maxRow = 8 << 20

// table reads the rows of delimited text. Unlike encoding/csv it keeps carriage returns inside quotes, and what
// follows a closing quote.
type table struct {
	in    *bufio.Reader
	comma byte
	line  int // of the row last read, from 1
	next  int // of the row to come, less 1
}

// row returns the cells of the next row that is not blank, or io.EOF.
func (t *table) row() ([]string, error) {
	for {
		cells, err := t.anyRow()
		if err != nil || len(cells) > 1 || cells[0] != "" {
			return cells, err
		}
	}
}

// anyRow returns the cells of the next row; a blank one has one empty cell.
func (t *table) anyRow() ([]string, error) {
	t.line = t.next + 1
	if _, err := t.in.Peek(1); err != nil {
		return nil, err
	}
	var cells []string
	var cell strings.Builder
	quoted, begun := false, false // begun: the cell is not at its first character any more
	for size := 0; ; size++ {
		c, err := t.in.ReadByte()
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return nil, fmt.Errorf("energy: line %d: %w", t.line, err)
		case size > maxRow:
			return nil, t.fault("the row has more than %d bytes", maxRow)
		case err != nil && quoted:
			return nil, t.fault("a quote is never closed: the file may be cut off, get it again")
		case err != nil, c == '\n' && !quoted:
			t.next++
			return t.valid(append(cells, unterminated(cell.String(), err == nil)))
		case c == '"' && quoted && t.peek() == '"':
			t.in.ReadByte() // cannot fail: it was peeked
			cell.WriteByte('"')
		case c == '"' && (quoted || !begun):
			quoted, begun = !quoted, true
		case c == t.comma && !quoted:
			cells = append(cells, cell.String())
			cell.Reset()
			begun = false
		default:
			if c == '\n' {
				t.next++
			}
			begun = true
			cell.WriteByte(c)
		}
	}
}

// peek returns the byte to come, or 0.
func (t *table) peek() byte {
	if b, err := t.in.Peek(1); err == nil {
		return b[0]
	}
	return 0
}

// unterminated takes the carriage return away that belongs to the end of a line.
func unterminated(cell string, ended bool) string {
	if ended {
		return strings.TrimSuffix(cell, "\r")
	}
	return cell
}

func (t *table) valid(cells []string) ([]string, error) {
	for _, c := range cells {
		if !utf8.ValidString(c) {
			return nil, t.fault("it is not UTF-8: convert the file to UTF-8")
		}
	}
	return cells, nil
}

func (t *table) fault(format string, args ...any) error {
	return fmt.Errorf("%w: energy: line %d: %s", formats.ErrInvalid, t.line, fmt.Sprintf(format, args...))
}
