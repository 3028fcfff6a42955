package cozy

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/passerelle-cloud/passerelle/formats"
)

const (
	noteMime  = "text/vnd.cozy.note+markdown"
	noteExt   = ".cozy-note"
	noteIndex = "index.md"
	// maxNote bounds the Markdown of one note that is taken into a record.
	maxNote = 16 << 20
)

func isNote(doc object) bool {
	mime, _, _ := strings.Cut(doc.text("mime"), ";")
	return mime == noteMime || mime == "" && strings.HasSuffix(doc.text("name"), noteExt)
}

// editorMembers are the members of a note's metadata that are the editor's document.
var editorMembers = [...]string{"schema", "content", "version"}

// readNote reads what the document says; the Markdown is in the note's bytes, see noteText.
func readNote(_ string, doc object, into *reading) error {
	meta := doc.object("metadata")
	into.refs = fileRefs(doc)
	note := formats.Note{
		Title: meta.text("title"), Tags: doc.texts("tags"), MediaType: doc.text("mime"), RestorePath: doc.text("restore_path"),
	}
	if note.Title == "" {
		note.Title = strings.TrimSuffix(doc.text("name"), noteExt)
	}
	var editor object
	for _, name := range editorMembers {
		if raw := meta.get(name); raw != nil {
			editor.set(name, raw)
		}
	}
	if len(editor.members) > 0 {
		note.ProseMirror = editor.bytes()
	}
	return into.setBody(note)
}

func fillNote(_ string, doc *object, body json.RawMessage) error {
	n, err := decode[formats.Note](body)
	if err != nil {
		return err
	}
	doc.setText("type", fileType)
	setTags(doc, n.Tags)
	doc.setText("restore_path", n.RestorePath)
	meta := doc.object("metadata")
	if meta.text("title") != "" || strings.TrimSuffix(doc.text("name"), noteExt) != n.Title {
		meta.setText("title", n.Title)
	}
	editor := objectOf(compact(n.ProseMirror))
	for _, name := range editorMembers {
		if !sameJSON(meta.get(name), editor.get(name)) {
			meta.set(name, editor.get(name))
		}
	}
	doc.setObject("metadata", meta)
	return nil
}

var errNoIndex = errors.New("the note's archive has no " + noteIndex)

// noteText returns the Markdown of a note's bytes: these are Markdown, or a tar of index.md and pictures.
func noteText(r io.Reader) (string, error) {
	head := make([]byte, 512)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	whole := io.MultiReader(bytes.NewReader(head[:n]), r)
	if n == len(head) && string(head[257:262]) == "ustar" {
		if whole, err = noteInTar(whole); err != nil {
			return "", err
		}
	}
	text, err := io.ReadAll(io.LimitReader(whole, maxNote+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read the note: %w", err)
	case len(text) > maxNote:
		return "", fmt.Errorf("%w: the note's text is longer than %d bytes", formats.ErrInvalid, maxNote)
	case !utf8.Valid(text):
		return "", fmt.Errorf("%w: the note's text is not UTF-8", formats.ErrInvalid)
	}
	return string(text), nil
}

func noteInTar(r io.Reader) (io.Reader, error) {
	t := tar.NewReader(r)
	for {
		header, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%w: %v", formats.ErrInvalid, errNoIndex)
		case err != nil:
			return nil, fmt.Errorf("%w: the note's archive: %v", formats.ErrInvalid, err)
		case header.Typeflag == tar.TypeReg && path.Clean(header.Name) == noteIndex:
			return t, nil
		}
	}
}
