// Package energycsv writes meter readings as a CSV table (RFC 4180) that any spreadsheet opens, and reads that table
// back, also from a spreadsheet that saved it, and the tables and Green Button files that grid operators hand out.
//
// Bodies come back whole, white space and the order of members apart: what the columns cannot say is written as a
// patch in a column "passerelle", which the table only has where it is needed. Values are never taken for binary
// fractions. Text that a spreadsheet would take for a formula is written behind an apostrophe, as is text that begins
// with one; reading takes exactly one away.
//
// It must never know where readings come from or go to, nor another codec.
package energycsv

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// Codec returns the codec of meter readings.
//
// Bodies that are no objects, or of more than 4 MiB, are not written, nor are times, links, blobs and native documents. A record's id is that
// of its row; rows of other programs, and readings of Green Button files, get a hash. Such rows are kept as they are in
// the native document.
func Codec() formats.Codec {
	return formats.Codec{
		Dataset: formats.Energy, MediaType: "text/csv", File: "readings.csv",
		Encode: write, Decode: read,
	}
}

// columns are the header of our table; the last is optional.
var columns = [...]string{"id", "provider", "commodity", "unit", "start", "interval", "value", "passerelle"}

const (
	ownColumns  = 7 // those that are always there
	patchColumn = 7
	valueColumn = 6
)

func isReading(r *formats.Record) bool {
	return r.Dataset == formats.Energy && r.Kind == formats.KindReading && r.Deleted.IsZero() && len(r.Body) > 0
}

// write walks the records twice: for whether the table needs its last column, then to write it.
func write(w io.Writer, records formats.Records) error {
	out := bufio.NewWriter(w)
	empty, width := true, ownColumns
	for row, err := range rowsOf(records) {
		if err != nil {
			return err
		}
		empty = false
		if row[patchColumn] != "" {
			width = len(columns)
			break
		}
	}
	if empty {
		return nil
	}
	writeRow(out, columns[:width])
	for row, err := range rowsOf(records) {
		if err != nil {
			return err
		}
		writeRow(out, row[:width])
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("energy: %w", err)
	}
	return nil
}

// rowsOf walks the rows of those records that the table can hold.
func rowsOf(records formats.Records) func(yield func([]string, error) bool) {
	return func(yield func([]string, error) bool) {
		for r, err := range records {
			if err == nil && !isReading(&r) {
				continue
			}
			var row []string
			if err == nil {
				row, err = rowOf(&r)
			}
			if err == nil && row == nil {
				continue
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// rowOf returns the cells of a record, or nil for a body that is no object or too large.
func rowOf(r *formats.Record) ([]string, error) {
	var members map[string]json.RawMessage
	if !json.Valid(r.Body) {
		return nil, fmt.Errorf("%w: body of reading %q is not JSON", formats.ErrInvalid, r.ID)
	}
	if len(r.Body) > maxRow/2 || json.Unmarshal(r.Body, &members) != nil || members == nil {
		return nil, nil
	}
	row := make([]string, len(columns))
	row[0] = r.ID
	for i := 1; i < ownColumns; i++ {
		var text string
		if json.Unmarshal(members[columns[i]], &text) == nil {
			row[i] = text
		}
	}
	if !plainDecimal.MatchString(row[valueColumn]) {
		row[valueColumn] = ""
	}
	have, err := bodyOf(row)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(have, r.Body) {
		return row, nil // as most are; it saves most of the time
	}
	if patch := formats.Difference(have, r.Body); len(patch) > 0 {
		text, err := formats.MarshalBody(patch)
		if err != nil {
			return nil, err
		}
		row[patchColumn] = string(text)
	}
	return row, nil
}

// bodyOf returns the body that the cells of a row say, the last column apart.
func bodyOf(row []string) (json.RawMessage, error) {
	return formats.MarshalBody(formats.EnergyReading{
		Provider: row[1], Commodity: row[2], Unit: row[3], Start: row[4], Interval: row[5], Value: formats.Decimal(row[valueColumn]),
	})
}

var plainDecimal = regexp.MustCompile(`^-?[0-9]{1,1000}(\.[0-9]{1,1000})?$`)

// writeRow writes a row; an error of a bufio.Writer stays until Flush.
func writeRow(out *bufio.Writer, cells []string) {
	for i, cell := range cells {
		if i > 0 {
			out.WriteByte(',')
		}
		if cell = guarded(cell); strings.ContainsAny(cell, ",;\t\r\n\"") {
			cell = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
		}
		out.WriteString(cell)
	}
	out.WriteString("\r\n")
}

const guard = "'"

// guarded puts an apostrophe before what a spreadsheet would take for a formula, and before what begins with one.
func guarded(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r\n'", rune(cell[0])) && !plainDecimal.MatchString(cell) {
		return guard + cell
	}
	return cell
}

func unguarded(cell string) string { return strings.TrimPrefix(cell, guard) }
