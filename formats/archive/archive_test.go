package archive

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

var packedAt = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

// testKey is a key that is the same in every run.
func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// item is a record with the bytes of its blob.
type item struct {
	record formats.Record
	bytes  string
}

// fileItem is a file record whose hash is not known beforehand.
func fileItem(path, text string) item {
	return item{formats.Record{
		ID: fmt.Sprintf("f:%x", path), Dataset: formats.Files, Kind: formats.KindFile, Path: formats.Tree.Place(path),
		Modified: packedAt.Add(-time.Hour), Blob: &formats.Blob{Size: int64(len(text))}, Body: []byte(`{}`),
	}, text}
}

func contact(id, name string) item {
	return item{record: formats.Record{
		ID: id, Dataset: formats.Contacts, Kind: formats.KindCard,
		Body:   fmt.Appendf(nil, `{"@type":"Card","version":"1.0","uid":%q,"name":{"full":%q}}`, id, name),
		Native: &formats.Native{Type: "io.cozy.contacts", Document: []byte(`{"n":9007199254740993,"e":1e21,"d":0.10}`)},
	}}
}

func someItems() []item {
	return []item{
		fileItem("Docs/lettre.txt", "Chère Marie,\n"), fileItem("Docs/vide", ""),
		fileItem("awkward/a\nb%41\\c", "newline"), fileItem("awkward/Été 🎉 مرحبا ", "unicode"),
		fileItem("copy of lettre.txt", "Chère Marie,\n"), contact("c1", "Marie <Dupont> & fils"),
	}
}

func testOptions(out string) Options {
	return Options{
		Out: out, Signer: testKey("archive"), Statement: []byte(`{"a":"statement"}`), Owner: "Alice Martin", Locale: "fr",
		Claims: Claims{
			ExportID: "export-0123456789", Person: Person{Pseudonym: "p1"}, Source: Party{ID: "a.example", Name: "Banque A"},
			Created: packedAt, Snapshot: 7,
		},
	}
}

func pack(t testing.TB, opts Options, items []item) Sealed {
	t.Helper()
	w, err := Create(opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		var content func() (io.ReadCloser, error)
		if it.record.Blob != nil {
			content = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(it.bytes)), nil }
		}
		if err := w.Add(it.record, content); err != nil {
			t.Fatal(err)
		}
	}
	sealed, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// verify opens and verifies; an archive that cannot even be opened gives a report with that one fault.
func verify(t testing.TB, opts OpenOptions, want Expectations, paths ...string) Report {
	t.Helper()
	var failed Report
	a, err := Open(paths, opts)
	if err != nil {
		failed.faultf("unreadable", "", "%v", err)
		return failed
	}
	defer a.Close()
	v, err := a.Verify(t.Context(), "", want)
	if err != nil {
		failed.faultf("unreadable", "", "%v", err)
		return failed
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	return v.Report
}

// carriages are the ways in which an archive is carried, as the name that is asked for and the file to open.
var carriages = []struct{ name, out, open string }{
	{"volumes", "alice", "alice.index.json"},
	{"zip", "alice.zip", "alice.zip"},
}

func TestWhatIsPackedIsFoundAgain(t *testing.T) {
	for _, carriage := range carriages {
		t.Run(carriage.name, func(t *testing.T) {
			dir := t.TempDir()
			opts := testOptions(filepath.Join(dir, carriage.out))
			opts.VolumeSize = 20 << 10
			sealed := pack(t, opts, someItems())
			if carriage.name == "volumes" && len(sealed.Volumes) < 2 {
				t.Fatal("one volume: the test does not show that several work")
			}
			a, err := Open([]string{filepath.Join(dir, carriage.open)}, OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			v, err := a.Verify(t.Context(), t.TempDir(), Expectations{})
			if err != nil {
				t.Fatal(err)
			}
			if !v.Report.Intact || v.Report.Repacked || v.Report.Root != sealed.Root {
				t.Fatalf("report %+v", v.Report)
			}
			sameItems(t, v, someItems())
			if left, _ := filepath.Glob(filepath.Join(dir, "*.partial*")); len(left) > 0 {
				t.Fatalf("left behind: %v", left)
			}
		})
	}
}

func sameItems(t *testing.T, v *Verified, want []item) {
	t.Helper()
	contents := map[formats.Hash]string{}
	err := v.Blobs(t.Context(), func(b formats.Blob, r io.Reader) error {
		data, err := io.ReadAll(r)
		contents[b.SHA256] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]formats.Record{}
	for _, d := range formats.Datasets() {
		for r, err := range v.Records(d) {
			if err != nil {
				t.Fatal(err)
			}
			got[r.ID] = r
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for _, it := range want {
		r := got[it.record.ID]
		if r.Blob != nil && contents[r.Blob.SHA256] != it.bytes {
			t.Errorf("%s: bytes %q, want %q", r.ID, contents[r.Blob.SHA256], it.bytes)
		}
		r.Blob, it.record.Blob = nil, nil
		a, _ := r.AppendLine(nil)
		b, err := it.record.AppendLine(nil)
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("record\n%s, want\n%s", a, b)
		}
	}
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	for _, carriage := range carriages {
		t.Run(carriage.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			sealed := pack(t, testOptions(filepath.Join(dir, carriage.out)), someItems()[:3])
			for _, name := range sealed.Files {
				eachFlip(t, filepath.Join(dir, name), filepath.Join(dir, carriage.open))
			}
		})
	}
}

func eachFlip(t *testing.T, file, open string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := 0; i < len(data); i += flipStep {
		if _, err := f.WriteAt([]byte{data[i] ^ 1<<(i%8)}, int64(i)); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, OpenOptions{}, Expectations{}, open); r.Intact || len(r.Faults) == 0 {
			t.Errorf("%s: byte %d, bit %d: not found", filepath.Base(file), i, i%8)
		}
		if _, err := f.WriteAt(data[i:i+1], int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if r := verify(t, OpenOptions{}, Expectations{}, open); !r.Intact {
		t.Fatalf("after all flips were undone: %+v", r.Faults)
	}
}

func TestEveryCutIsFound(t *testing.T) {
	for _, carriage := range carriages {
		t.Run(carriage.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			sealed := pack(t, testOptions(filepath.Join(dir, carriage.out)), someItems()[:3])
			file := filepath.Join(dir, sealed.Files[0])
			// A single volume without its index must not rely on the size that the index states.
			os.Remove(filepath.Join(dir, "alice.index.json"))
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for n := len(data) - 1; n >= 0; n -= flipStep {
				if err := os.Truncate(file, int64(n)); err != nil {
					t.Fatal(err)
				}
				if r := verify(t, OpenOptions{}, Expectations{}, file); r.Intact {
					t.Fatalf("cut to %d of %d bytes: not found", n, len(data))
				}
			}
		})
	}
}
