package cozy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/conformance"
)

// samplePaths are a real export of cozy-stack and its manifest.
func samplePaths(t *testing.T) []string {
	t.Helper()
	root := os.Getenv("PASSERELLE_SAMPLES")
	if root == "" {
		t.Skip("PASSERELLE_SAMPLES is not set: no real export of a Cozy to read")
	}
	return []string{filepath.Join(root, "cozy", "alice-manifest.json"), filepath.Join(root, "cozy", "alice-part000.zip")}
}

func TestSampleSource(t *testing.T) {
	paths := samplePaths(t)
	conformance.Source(t, func(t *testing.T) operators.Source { return open(t, paths...) }, conformance.Expect{
		Counts: map[formats.Dataset]formats.Count{
			formats.Files:    {Records: 13, Files: 6, Bytes: 22 + 2014 + 9332 + 3 + 10 + 22},
			formats.Notes:    {Records: 1, Files: 1, Bytes: 46},
			formats.Photos:   {Records: 1},
			formats.Contacts: {Records: 4},
			formats.Bank:     {Records: 4},
			formats.Bills:    {Records: 1},
			formats.Energy:   {Records: 1},
			formats.Places:   {Records: 1},
			formats.Shares:   {Records: 1},
			formats.Settings: {Records: 3},
			formats.Other:    {Records: 10}, // seven jobs, an account, the root and the trash
		},
	})
}

func TestSampleDescription(t *testing.T) {
	d, err := open(t, samplePaths(t)...).Describe(t.Context())
	if err != nil || d != (operators.Description{Owner: "alice", Locale: "en"}) {
		t.Errorf("got %+v, %v", d, err)
	}
}

// TestSampleRoundTrip writes a real export again and reads that: all records are equal, but for the excuses.
func TestSampleRoundTrip(t *testing.T) {
	before := conformance.Read(t, open(t, samplePaths(t)...))
	dir := t.TempDir()
	outcomes := copyAll(t, open(t, samplePaths(t)...), create(t, dir, Options{}))
	after := conformance.Read(t, open(t, archiveIn(t, dir)...))
	got, want := conformance.Lines(t, after.Records), conformance.Lines(t, withoutRevisions(before.Records))
	excused := map[string]string{"files/574202b99423a29f3b2b4472af0088c2": "trash"}
	for id, line := range want {
		switch {
		case excused[id] != "":
			if out := outcomes[id]; out.Result != operators.Refused || out.Omission.Code != excused[id] || got[id] != "" {
				t.Errorf("%s: %+v, %s", id, out, got[id])
			}
		case got[id] != line:
			t.Errorf("%s is\n%s\nwant\n%s", id, got[id], line)
		}
	}
	if len(got) != len(want)-len(excused) {
		t.Errorf("%d records came back, want %d", len(got), len(want)-len(excused))
	}
	if len(after.Omissions) > 0 {
		t.Errorf("what was written has faults: %+v", after.Omissions)
	}
}

// TestSampleNotices lists exactly what the person is told of the real export.
func TestSampleNotices(t *testing.T) {
	told := map[string]int{}
	for _, out := range copyAll(t, open(t, samplePaths(t)...), create(t, t.TempDir(), Options{})) {
		if out.Omission != nil {
			told[out.Omission.Code]++
		}
	}
	want := map[string]int{"trash": 1, "not-imported": 6} // account, permission, instance twice, bitwarden settings, "me"
	if len(told) != len(want) || told["trash"] != 1 || told["not-imported"] != want["not-imported"] {
		t.Errorf("got %v, want %v", told, want)
	}
}

func archiveIn(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("no archive in %s: %v, %v", dir, paths, err)
	}
	return paths
}

// withoutRevisions drops what only makes sense in the database that a document was in.
func withoutRevisions(records []formats.Record) []formats.Record {
	var out []formats.Record
	for _, r := range records {
		if r.Native != nil && strings.Contains(r.Native.Type, ".") {
			doc := objectOf(compact(r.Native.Document))
			doc.remove("_rev")
			r.Native = &formats.Native{Type: r.Native.Type, Document: doc.bytes()}
		}
		out = append(out, r)
	}
	return out
}

// copyAll loads everything that a source has into a target, and returns the outcomes by dataset and id.
func copyAll(t *testing.T, source operators.Source, target operators.Target) map[string]operators.Outcome {
	t.Helper()
	ctx := t.Context()
	l, err := target.Load(ctx, operators.Origin{Series: "test"})
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]operators.Outcome{}
	for item, err := range source.Records(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Record.ID == "" {
			continue
		}
		if item.Content != nil {
			content, err := item.Content()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.PutBlob(ctx, content, item.Record.Blob.Size); err != nil {
				t.Fatal(err)
			}
			content.Close()
		}
		out, err := l.PutRecord(ctx, item.Record)
		if err != nil {
			t.Fatal(err)
		}
		outcomes[string(item.Record.Dataset)+"/"+item.Record.ID] = out
	}
	if err := l.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	if err := source.Close(); err != nil {
		t.Error(err)
	}
	return outcomes
}
