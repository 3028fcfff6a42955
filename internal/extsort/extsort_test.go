package extsort

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func sorted(t interface{ Fatal(...any) }, s *Sorter) [][]byte {
	var got [][]byte
	for line, err := range s.Sorted() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, bytes.Clone(line))
	}
	return got
}

func TestSortsWhateverFitsOrNot(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 40)).Draw(t, "lines")
		s := New(dir, rapid.IntRange(1, 2000).Draw(t, "memory"))
		defer s.Close()
		for _, l := range lines {
			if err := s.Add(l); err != nil {
				t.Fatal(err)
			}
		}
		want := slices.Clone(lines)
		slices.SortFunc(want, bytes.Compare)
		for range 2 {
			if got := sorted(t, s); !slices.EqualFunc(got, want, bytes.Equal) {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}

func TestCloseLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := New(dir, 10)
	for range 100 {
		if err := s.Add([]byte("some line")); err != nil {
			t.Fatal(err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) == 0 {
		t.Fatal("nothing was spilled: the test proves nothing")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Fatalf("%d files left", len(entries))
	}
}

func TestCutRunIsAnError(t *testing.T) {
	s := New(t.TempDir(), 10)
	defer s.Close()
	for range 10 {
		if err := s.Add([]byte("some line")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.runs[0].Truncate(3); err != nil {
		t.Fatal(err)
	}
	for _, err := range s.Sorted() {
		if err != nil {
			return
		}
	}
	t.Fatal("a cut run went unnoticed")
}

func TestTooLongLineIsRefused(t *testing.T) {
	if New(t.TempDir(), 1<<20).Add(make([]byte, maxLine+1)) == nil {
		t.Fatal("accepted")
	}
}
