// Package markdown writes each note as a Markdown file with YAML front matter, as static site generators and note
// programs use it, and reads such files back, also those that others wrote.
//
// The Markdown is kept byte for byte. Of the body of a note only proseMirror is not written: the document of the
// note's editor stays in the record. Links, blobs and native documents are not written either. What front matter
// cannot say of the rest of a body is written as a patch in its member "passerelle", which writing finds by reading
// back what it wrote. Of the front matter that others wrote, comments and style are not kept, nor anchors, which are
// written out where they are used. Front matter that is not YAML, or says what JSON cannot, stays where it is, as text.
//
// It must never know where notes come from or go to, nor another codec.
package markdown

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

// maxNote is how many bytes a file may have; a record could not hold more.
const maxNote = 64 << 20

const byteOrderMark = "\ufeff"

// Codec returns the codec of notes.
//
// A record's id is the member "id" of the front matter, or a hash of the file that has none. A title that the front
// matter lacks is that of the first heading.
func Codec() formats.Codec {
	return formats.Codec{Dataset: formats.Notes, MediaType: "text/markdown", Name: name, Encode: write, Decode: read}
}

func isNote(r *formats.Record) bool {
	return r.Dataset == formats.Notes && r.Kind == formats.KindNote && r.Deleted.IsZero() && len(r.Body) > 0
}

// write writes one note. A file cannot hold a second.
func write(w io.Writer, records formats.Records) error {
	written := ""
	for r, err := range records {
		if err != nil {
			return err
		}
		if !isNote(&r) {
			continue
		}
		if written != "" {
			return fmt.Errorf("%w: markdown: a file holds one note, not both %q and %q", formats.ErrInvalid, written, r.ID)
		}
		written = r.ID
		text, err := encode(&r)
		if err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return fmt.Errorf("markdown: %w", err)
		}
	}
	return nil
}

// encode returns the file of a note.
func encode(r *formats.Record) ([]byte, error) {
	note, err := formats.BodyAs[formats.Note](*r)
	if err != nil {
		return nil, err
	}
	want, err := formats.PatchObject{"proseMirror": json.RawMessage("null")}.Apply(r.Body)
	if err != nil {
		return nil, err
	}
	members := frontOf(r, &note)
	text, err := join(members, note.Markdown)
	if err != nil {
		return nil, fmt.Errorf("note %q: %w", r.ID, err)
	}
	missing, err := patch(text, r, want)
	if err != nil || len(missing) == 0 {
		return text, err
	}
	if text, err = join(append(members, patchMember(missing)), note.Markdown); err != nil {
		return nil, fmt.Errorf("note %q: %w", r.ID, err)
	}
	if missing, err = patch(text, r, want); err == nil && len(missing) > 0 {
		err = fmt.Errorf("%w: note %q: its front matter would not be read back", formats.ErrInvalid, r.ID)
	}
	return text, err
}

// patch returns what somebody who reads the text does not learn of the body, or learns wrongly.
func patch(text []byte, r *formats.Record, want json.RawMessage) (formats.PatchObject, error) {
	have, err := decode(text)
	if err != nil {
		return nil, err
	}
	if have.ID != r.ID || have.Path != r.Path || !have.Created.Equal(r.Created) || !have.Modified.Equal(r.Modified) {
		return nil, fmt.Errorf("%w: note %q: its id, path or times would not be read back", formats.ErrInvalid, r.ID)
	}
	return formats.Difference(have.Body, want), nil
}

// read gives the one note of a file.
func read(r io.Reader) formats.Records {
	file := sync.OnceValues(func() ([]byte, error) { return slurp(r) })
	return func(yield func(formats.Record, error) bool) {
		text, err := file()
		if err != nil || len(text) == 0 {
			if err != nil {
				yield(formats.Record{}, err)
			}
			return
		}
		yield(decode(text))
	}
}

func slurp(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxNote+1))
	if err != nil {
		return nil, fmt.Errorf("markdown: %w", err)
	}
	if len(text) > maxNote {
		return nil, fmt.Errorf("%w: markdown: the file has more than %d bytes: it is no note, keep it as a file", formats.ErrInvalid, maxNote)
	}
	if at := invalidAt(text); at >= 0 {
		return nil, fmt.Errorf("%w: markdown: byte %d is not UTF-8: convert the file to UTF-8", formats.ErrInvalid, at)
	}
	return text, nil
}

// invalidAt returns where the first bytes are that are not UTF-8, or -1.
func invalidAt(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	at := 0
	for {
		c, n := utf8.DecodeRune(text[at:])
		if c == utf8.RuneError && n < 2 {
			return at
		}
		at += n
	}
}

// decode returns the note of a file. Front matter that cannot be understood is part of the Markdown.
func decode(text []byte) (formats.Record, error) {
	record := formats.Record{Dataset: formats.Notes, Kind: formats.KindNote}
	content := bytes.TrimPrefix(text, []byte(byteOrderMark))
	yamlText, markdown := split(content, "---", "...")
	f := front{}
	if members, err := parse(yamlText); err == nil {
		f.read(members)
		content = markdown
	}
	record.ID, record.Path, record.Created, record.Modified = f.id, f.path, f.created, f.modified
	if record.ID == "" {
		record.ID = formats.HashOf(text).String()[:32]
	}
	f.note.Markdown = string(content)
	if !f.titled {
		f.note.Title = heading(content)
	}
	f.note.FrontMatter = object(f.rest)
	body, err := formats.MarshalBody(f.note)
	if err != nil {
		return record, err
	}
	record.Body, err = f.patch.Apply(body)
	return record, err
}
