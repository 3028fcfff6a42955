package archive

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// held is an operator's answer that it holds these texts.
func held(texts ...string) func(formats.Hash) bool {
	return func(h formats.Hash) bool {
		for _, text := range texts {
			if formats.HashOf([]byte(text)) == h {
				return true
			}
		}
		return false
	}
}

// known are items whose hashes are known before their bytes are read.
func known(items []item) []item {
	for _, it := range items {
		if b := it.record.Blob; b != nil {
			b.SHA256 = formats.HashOf([]byte(it.bytes))
		}
	}
	return items
}

func optionsForOperator(out string, held func(formats.Hash) bool) Options {
	opts := testOptions(out)
	expires := packedAt.Add(time.Hour)
	opts.Claims.Recipient, opts.Claims.Expires, opts.Held = &Party{ID: "b.example"}, &expires, held
	return opts
}

var atB = Expectations{Recipient: "b.example", Now: packedAt}

// TestWhatTheRecipientHoldsIsLeftOut packs, among others, a text that two files have: it counts once, and is not read.
func TestWhatTheRecipientHoldsIsLeftOut(t *testing.T) {
	for _, carriage := range carriages {
		t.Run(carriage.name, func(t *testing.T) {
			dir := t.TempDir()
			w, err := Create(optionsForOperator(filepath.Join(dir, carriage.out), held("Chère Marie,\n", "", "unknown here")))
			if err != nil {
				t.Fatal(err)
			}
			for _, it := range known(someItems()) {
				err := w.Add(it.record, func() (io.ReadCloser, error) {
					if it.bytes == "" || strings.HasPrefix(it.bytes, "Chère") {
						t.Errorf("%s was read", it.record.Path)
					}
					return io.NopCloser(strings.NewReader(it.bytes)), nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			sealed, err := w.Close()
			if err != nil {
				t.Fatal(err)
			}
			want := LeftOut{Blobs: 2, Bytes: int64(len("Chère Marie,\n"))}
			if sealed.Claims.LeftOut == nil || *sealed.Claims.LeftOut != want {
				t.Errorf("%+v", sealed.Claims.LeftOut)
			}
			a, err := Open([]string{filepath.Join(dir, carriage.open)}, OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			v, err := a.Verify(t.Context(), t.TempDir(), atB)
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			if !v.Report.Intact || *v.Report.Claims.LeftOut != want {
				t.Fatalf("%+v", v.Report)
			}
			got := map[formats.Hash]int64{}
			for b, err := range v.LeftOut() {
				if err != nil {
					t.Fatal(err)
				}
				got[b.SHA256] = b.Size
			}
			if len(got) != 2 || got[formats.HashOf([]byte("Chère Marie,\n"))] != want.Bytes {
				t.Errorf("%v", got)
			}
		})
	}
}

// TestWholeArchiveClaimsNothing has a recipient that holds nothing of it: the claims say nothing, and the same as ever.
func TestWholeArchiveClaimsNothing(t *testing.T) {
	sealed := pack(t, optionsForOperator(filepath.Join(t.TempDir(), "a"), held("something else")), known(someItems()))
	if text, _ := json.Marshal(sealed.Claims); sealed.Claims.LeftOut != nil || strings.Contains(string(text), "left_out") {
		t.Errorf("%s", text)
	}
}

// TestOnlyForAnOperator has nobody but an operator be what something is left out for.
func TestOnlyForAnOperator(t *testing.T) {
	opts := testOptions(filepath.Join(t.TempDir(), "a"))
	opts.Held = held("newline")
	w, err := Create(opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range known(someItems()) {
		if err := w.Add(it.record, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(it.bytes)), nil }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err == nil || !strings.Contains(err.Error(), "left_out") {
		t.Errorf("%v", err)
	}
}

// TestForgedLeftOutIsRefused changes what is left out, and what the claims say of it.
func TestForgedLeftOutIsRefused(t *testing.T) {
	const lacking = "data/files/tree/Docs/lettre.txt"
	for _, test := range []struct {
		name string
		do   func([]bagFile) []bagFile
		want string
	}{
		{"as it is", func(f []bagFile) []bagFile { return f }, ""},
		{"too many", claiming(func(c *Claims) { c.LeftOut.Blobs++ }), "are not there"},
		{"too few", claiming(func(c *Claims) { c.LeftOut.Blobs, c.LeftOut.Bytes = 1, 7 }), "are not there"},
		{"other bytes", claiming(func(c *Claims) { c.LeftOut.Bytes++ }), "are not there"},
		{"no claim", claiming(func(c *Claims) { c.LeftOut = nil }), "that is not there"},
		{"nothing", claiming(func(c *Claims) { c.LeftOut = &LeftOut{} }), "left_out counts"},
		{"below nothing", claiming(func(c *Claims) { c.LeftOut.Bytes = -1 }), "left_out counts"},
		{"for the person", claiming(func(c *Claims) { c.Recipient, c.Expires = nil, nil }), "left_out belongs"},
		{"in a delta", claiming(func(c *Claims) { c.Sequence, c.PreviousRoot = 1, &formats.Hash{1} }), "left_out belongs"},
		{"one more is missing", func(f []bagFile) []bagFile { return reseal(without(f, "data/files/tree/Docs/vide"), true) }, "are not there"},
		{"one is there", func(f []bagFile) []bagFile {
			return reseal(append(f, plainFile(bagRoot+lacking, "Chère Marie,\n")), true)
		}, "are not there"},
		{"other bytes in its place", func(f []bagFile) []bagFile {
			return reseal(append(f, plainFile(bagRoot+lacking, "x")), true)
		}, "no record names"},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := unpackAs(t, optionsForOperator("", held("Chère Marie,\n", "newline")), known(someItems()))
			report := verify(t, OpenOptions{}, atB, repack(t, test.do(files)))
			if said := fmt.Sprint(report.Faults); report.Intact != (test.want == "") || !strings.Contains(said, test.want) {
				t.Fatalf("intact %v, faults %v; want one with %q", report.Intact, report.Faults, test.want)
			}
		})
	}
}
