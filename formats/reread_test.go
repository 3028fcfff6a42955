package formats

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReread(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("skipped, then read"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Seek(int64(len("skipped, ")), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	for what, in := range map[string]io.Reader{"file": file, "reader": iotest.OneByteReader(strings.NewReader("then read"))} {
		r := NewReread(in)
		first, err := r.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := first.Read(make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			again, err := r.Open()
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(again); err != nil || string(text) != "then read" {
				t.Errorf("%s: %q, %v", what, text, err)
			}
		}
	}
	broken := NewReread(iotest.ErrReader(os.ErrClosed))
	for range 2 {
		if _, err := broken.Open(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("a broken reader: %v", err)
		}
	}
}
