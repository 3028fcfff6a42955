package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/cozy"
	"github.com/passerelle-cloud/passerelle/operators/example"
)

// TestOpenFilesAndBack writes the records of whole instances with every codec, reads the files, and finds the bodies
// again, but for what the documents of a codec say that it does not hold.
func TestOpenFilesAndBack(t *testing.T) {
	sources := map[string]operators.Source{"an invented person": example.Person(3, example.Scale{Files: 40, Bytes: 500_000})}
	if samples := os.Getenv("PASSERELLE_SAMPLES"); samples != "" {
		real, err := cozy.Open(samples + "/cozy/alice-part000.zip")
		if err != nil {
			t.Fatal(err)
		}
		defer real.Close()
		sources["a real export of a Cozy"] = real
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			records := map[formats.Dataset][]formats.Record{}
			for item, err := range source.Records(t.Context(), 0) {
				if err != nil {
					t.Fatal(err)
				}
				if r := item.Record; r.ID != "" {
					records[r.Dataset] = append(records[r.Dataset], r)
					if err := formats.CheckBody(r.Kind, r.Body); err != nil {
						t.Errorf("%s/%s: %v", r.Dataset, r.ID, err)
					}
				}
			}
			for _, c := range codecs() {
				checkCodec(t, c, records[c.Dataset])
			}
		})
	}
}

func checkCodec(t *testing.T, c formats.Codec, records []formats.Record) {
	t.Helper()
	var groups [][]formats.Record
	if c.Name == nil {
		groups = [][]formats.Record{records}
	} else {
		for _, r := range records {
			groups = append(groups, []formats.Record{r})
		}
	}
	for _, group := range groups {
		want := map[string]string{}
		for _, r := range group {
			want[r.ID] = bodyText(t, r)
		}
		var file bytes.Buffer
		if err := c.Encode(&file, recordsOf(group)); err != nil {
			t.Fatalf("%s: %v", c.MediaType, err)
		}
		held := 0
		for r, err := range c.Decode(io.MultiReader(&file)) { // a reader that can do nothing but read
			if err != nil {
				t.Fatalf("%s: %v", c.MediaType, err)
			}
			held++
			if got := bodyText(t, r); got != want[r.ID] {
				t.Errorf("%s: %s/%s came back as\n%s\nwas\n%s", c.MediaType, r.Dataset, r.ID, got, want[r.ID])
			}
		}
		if len(group) > 0 && held == 0 {
			t.Errorf("%s: none of %d records of %s came back", c.MediaType, len(group), c.Dataset)
		}
	}
}

func recordsOf(list []formats.Record) formats.Records {
	return func(yield func(formats.Record, error) bool) {
		for _, r := range list {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// bodyText is a body with its members in order, without the editor's own document of a note, which stays in the record.
func bodyText(t *testing.T, r formats.Record) string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(r.Body))
	dec.UseNumber()
	var body map[string]any
	if err := dec.Decode(&body); err != nil {
		t.Fatalf("%s/%s: %v", r.Dataset, r.ID, err)
	}
	delete(body, "proseMirror")
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
