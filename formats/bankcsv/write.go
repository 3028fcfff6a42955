package bankcsv

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// write writes nothing at all, not even a header, if there is no record for the table.
func (t table) write(w io.Writer, records formats.Records) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	header := names(t.empty())
	own, begun := t.layout(header), false
	for r, err := range records {
		if err != nil {
			return err
		}
		texts, err := own.texts(&r)
		if err != nil {
			return err
		}
		if texts == nil {
			continue
		}
		if !begun {
			if err := out.Write(header); err != nil {
				return err
			}
			begun = true
		}
		if err := out.Write(texts); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func names(w row) []string {
	var list []string
	for _, c := range w.cells() {
		list = append(list, c.name)
	}
	return list
}

// texts returns the cells of a record, or nil if the table cannot hold it. To find out what the other cells do not say
// it reads them back.
func (l *layout) texts(r *formats.Record) ([]string, error) {
	if r.Dataset != formats.Bank || r.Kind != l.kind || !r.Deleted.IsZero() || len(r.Body) > maxRow/4 {
		return nil, nil
	}
	w := l.empty()
	if ok, err := w.take(r); err != nil || !ok {
		return nil, err
	}
	back, err := l.reread(guarded(w))
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", l.kind, r.ID, err)
	}
	if patch := formats.Difference(back.Body, r.Body); len(patch) > 0 {
		text, err := formats.MarshalBody(patch)
		if err != nil {
			return nil, err
		}
		w.env().other = string(text)
	}
	return guarded(w), nil
}

func guarded(w row) []string {
	var list []string
	for _, c := range w.cells() {
		// Bytes that are not UTF-8 would make readers take the whole file for another encoding, and few read on after
		// a zero.
		text := strings.ToValidUTF8(strings.ReplaceAll(*c.text, "\x00", ""), "\ufffd")
		if c.value == isDay {
			text = dayOf(text)
		}
		list = append(list, guard(text))
	}
	return list
}

// reread returns the record that somebody reads from these cells.
func (l *layout) reread(texts []string) (formats.Record, error) {
	var text bytes.Buffer
	out := csv.NewWriter(&text)
	out.UseCRLF = true
	if err := out.Write(texts); err != nil {
		return formats.Record{}, err
	}
	out.Flush()
	cells, err := csv.NewReader(&text).Read()
	if err != nil {
		return formats.Record{}, err
	}
	w := l.empty()
	if _, err := l.fill(w, cells); err != nil {
		return formats.Record{}, err
	}
	return l.record(w)
}
