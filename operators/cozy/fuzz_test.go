package cozy

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/operators"
)

// FuzzZip reads anything as an export.
func FuzzZip(f *testing.F) {
	f.Add(rich(f).zip(f))
	f.Add(newExport().zip(f))
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.zip")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		walkAny(t, path)
	})
}

// FuzzDocument reads anything as a document of each doctype, beside a sound export.
func FuzzDocument(f *testing.F) {
	for _, e := range rich(f).entries {
		if name, ok := strings.CutPrefix(e.name, dataDir); ok {
			doctype, _, _ := strings.Cut(name, "/")
			f.Add(doctype, "x", e.text)
		}
	}
	f.Fuzz(func(t *testing.T, doctype, id, text string) {
		e := newExport()
		e.raw(dataDir+doctype+"/"+id+".json", text)
		e.raw(filesDir+"a", "bytes")
		walkAny(t, e.save(t, "x.zip"))
	})
}

// walkAny reads an export to its end, or to its error: whatever it gives is sound.
func walkAny(t *testing.T, path string) {
	source, err := Open(path)
	if err != nil {
		return
	}
	defer source.Close()
	if _, err := source.Describe(t.Context()); err != nil {
		return
	}
	for item, err := range source.Records(t.Context(), 0) {
		if err != nil {
			return
		}
		checkItem(t, item)
	}
}

func checkItem(t *testing.T, item operators.Item) {
	if item.Record.ID == "" {
		if len(item.Omissions) == 0 {
			t.Fatal("neither a record nor an omission")
		}
		return
	}
	if _, err := item.Record.AppendLine(nil); err != nil {
		t.Fatalf("a record that is not sound: %v", err)
	}
	if item.Content == nil {
		return
	}
	content, err := item.Content()
	if err != nil {
		return
	}
	defer content.Close()
	n, err := io.Copy(io.Discard, content)
	if err == nil && n != item.Record.Blob.Size {
		t.Fatalf("%d bytes, the blob says %d", n, item.Record.Blob.Size)
	}
}
