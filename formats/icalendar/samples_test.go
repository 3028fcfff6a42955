package icalendar

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Files of other programs are read, written and read again the same.
func TestSamples(t *testing.T) {
	root := os.Getenv("PASSERELLE_SAMPLES")
	if root == "" {
		t.Skip("PASSERELLE_SAMPLES is not set: files of other programs are not read")
	}
	files, _ := filepath.Glob(filepath.Join(root, "calendar", "*.ics"))
	more, _ := filepath.Glob(filepath.Join(root, "takeout", "*", "*", "*.ics"))
	if len(files) == 0 {
		t.Fatal("there are no calendars in the samples")
	}
	for _, name := range append(files, more...) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			list := decode(t, string(text))
			if len(list) == 0 && bytes.Contains(text, []byte("BEGIN:VEVENT")) {
				t.Error("nothing was read")
			}
			roundTrip(t, list...)
		})
	}
}
