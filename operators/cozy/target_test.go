package cozy

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
	"github.com/passerelle-cloud/passerelle/operators/conformance"
)

// TestRichRoundTrip writes the rich export again: every record comes back equal, but what is in the trash.
func TestRichRoundTrip(t *testing.T) {
	path := rich(t).save(t, "rich.zip")
	_, before := readAll(t, path)
	dir := t.TempDir()
	outcomes := copyAll(t, open(t, path), create(t, dir, Options{Name: "bob"}))
	_, after := readAll(t, archiveIn(t, dir)...)
	got, want := conformance.Lines(t, after.Records), conformance.Lines(t, withoutRevisions(before.Records))
	for id, line := range want {
		out := outcomes[id]
		if strings.Contains(line, `"path":"trash/`) {
			if out.Result != operators.Refused || out.Omission.Code != "trash" {
				t.Errorf("%s is in the trash and %s", id, out.Result)
			}
			delete(want, id)
		} else if got[id] != line {
			t.Errorf("%s is\n%s\nwant\n%s", id, got[id], line)
		}
	}
	if len(got) != len(want) || len(after.Omissions) > 0 {
		t.Errorf("%d records, want %d: %+v", len(got), len(want), after.Omissions)
	}
	for id, code := range map[string]string{
		"other/org.example.unknown/thing-1": "number", "contacts/marie": "number", "passwords/cipher": "not-imported", "shares/permission": "not-imported",
		"other/io.cozy.triggers/trigger": "not-imported", "notes/" + hexOf(12): "", "bank/operation": "",
	} {
		if o := outcomes[id].Omission; o == nil && code != "" || o != nil && (o.Code != code || o.Lost) {
			t.Errorf("%s: %+v, want %q", id, o, code)
		}
	}
}

// TestWrittenForm holds a written archive to what an importer needs: order, pairs, members.
func TestWrittenForm(t *testing.T) {
	dir := t.TempDir()
	copyAll(t, open(t, rich(t).save(t, "rich.zip")), create(t, dir, Options{PartSize: 1}))
	paths := archiveIn(t, dir)
	m, err := readManifest(paths[0])
	if err != nil || len(paths) != 6 || len(m.Data.Attributes.PartsCursors) != 4 || m.Data.Attributes.Domain != "bob.example.net" {
		t.Fatalf("%v: %+v, %v", paths, m, err)
	}
	known, sizes := map[string]bool{rootID: true}, map[string]string{}
	for n, path := range paths[1:] {
		z, err := zip.OpenReader(path)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		if n == 0 && z.File[0].Name != instanceEntry || n > 0 && !strings.HasPrefix(z.File[0].Name, dataDir+m.Data.Attributes.PartsCursors[n-1]) {
			t.Errorf("%s begins with %s", path, z.File[0].Name)
		}
		for i, f := range z.File {
			if e := classify(f); e.kind == documentEntry {
				checkWritten(t, e, z.File[i+1:], known, sizes)
			}
		}
	}
	if len(sizes) != 5 {
		t.Errorf("%d contents were written, want 5: %v", len(sizes), sizes)
	}
}

func checkWritten(t *testing.T, e entry, rest []*zip.File, known map[string]bool, sizes map[string]string) {
	t.Helper()
	doc, err := e.object()
	if err != nil || doc.get("_rev") != nil || doc.text("_id") == "" {
		t.Errorf("%s: %v, %s", e.Name, err, doc.bytes())
	}
	if e.doctype != doctypeFiles && e.doctype != doctypeVersions || doc.text("_id") == rootID || doc.text("_id") == trashID {
		return
	}
	if e.doctype == doctypeFiles && !known[doc.text("dir_id")] {
		t.Errorf("%s comes before the folder that it is in", e.Name)
	}
	if isFolder(doc) {
		known[doc.text("_id")] = true
		return
	}
	members := []string{"type", "_id", "name", "dir_id", "created_at", "updated_at", "size", "md5sum", "mime", "class"}
	if e.doctype == doctypeVersions {
		members = []string{"_id", "updated_at", "size", "md5sum", "relationships"}
	}
	for _, name := range members {
		if doc.get(name) == nil {
			t.Errorf("%s lacks %q", e.Name, name)
		}
	}
	if doc.is("trashed") || len(rest) == 0 || !strings.HasPrefix(rest[0].Name, filesDir) {
		t.Errorf("%s has no content behind it, or is in the trash", e.Name)
		return
	}
	if size := fmt.Sprint(rest[0].UncompressedSize64); size != doc.text("size") {
		t.Errorf("%s says %q bytes, has %s", e.Name, doc.text("size"), size)
	}
	sizes[e.Name] = doc.text("size")
}

func put(t *testing.T, l operators.Load, r formats.Record, content string) operators.Outcome {
	t.Helper()
	if r.Blob != nil {
		blob, err := l.PutBlob(t.Context(), strings.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		blob.Type, r.Blob = r.Blob.Type, &blob
	}
	out, err := l.PutRecord(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func begin(t *testing.T, target *Target) operators.Load {
	t.Helper()
	l, err := target.Load(t.Context(), operators.Origin{Time: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestEdited changes the bodies of records that came from a Cozy: the documents say the new, and keep all else.
func TestEdited(t *testing.T) {
	records, _ := readAll(t, rich(t).save(t, "rich.zip"))
	dir := t.TempDir()
	l := begin(t, create(t, dir, Options{}))
	edits := map[string][2]string{
		"contacts/marie":                     {`"given","value":"Marie"`, `"given","value":"Anne-Marie"`},
		"bank/operation":                     {`"amount":"-12.50"`, `"amount":"-12.500"`},
		"bills/water":                        {`"2024-03-01"`, `"2024-03-31"`},
		"calendar/dentist":                   {`"PT30M"`, `"PT45M"`},
		"photos/album":                       {`"Été"`, `"Hiver"`},
		"energy/com.grandlyon.egl.year/year": {`"41000"`, `"41000.1"`},
		"notes/" + hexOf(12):                 {`"version":3`, `"version":4`},
		"files/" + hexOf(10):                 {`"été"`, `"hiver"`},
		"settings/" + instanceID:             {`"Bob"`, `"Robert"`},
		"places/trip":                        {`1.5`, `1.50`},
		"passwords/cipher":                   {`"login"`, `"card"`},
	}
	want := map[string]json.RawMessage{}
	for id, edit := range edits {
		r := records[id]
		r.Body = json.RawMessage(strings.Replace(string(r.Body), edit[0], edit[1], 1))
		want[id] = r.Body
		content := map[string]string{"notes/" + hexOf(12): "# Liste\n\n- lait\n", "files/" + hexOf(10): "la mer"}[id]
		put(t, l, r, content)
	}
	if err := l.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, _ := readAll(t, archiveIn(t, dir)...)
	for id := range edits {
		if !sameJSON(got[id].Body, want[id]) || string(got[id].Body) == string(records[id].Body) {
			t.Errorf("%s is\n%s\nwant\n%s", id, got[id].Body, want[id])
		}
	}
	for id, text := range map[string]string{
		"contacts/marie": `"unknown":{"n":9007199254740993},"note":"a \u00e9"`, "bank/operation": `"amount":-12.500,`, "bills/water": `"date":"2024-03-31T12:00:00.000Z"`,
		"bank/operation ": `"reimbursements":[{"billId":"io.cozy.bills:doctor","amount":16.5}]`, "files/" + hexOf(10): `{"id":"io.cozy.apps/drive","type":"io.cozy.apps"}`,
		"photos/album": `{"_id":"album","name":"Hiver","auto":false,"created_at":"2024-01-01T00:00:00Z"}`,
	} {
		if doc := string(got[strings.TrimSpace(id)].Native.Document); !strings.Contains(doc, text) {
			t.Errorf("%s has lost %s: %s", id, text, doc)
		}
	}
}

// TestForeign writes records that were in no Cozy, with all that their documents cannot say: it comes back.
func TestForeign(t *testing.T) {
	native := &formats.Native{Type: "text/vcard", Document: json.RawMessage(`["vcard",[["fn",{},"text","Zoé"]]]`)}
	records := []formats.Record{
		{ID: "c1", Dataset: formats.Contacts, Kind: formats.KindCard, Native: native,
			Body: json.RawMessage(`{"@type":"Card","version":"1.0","uid":"urn:x","name":{"full":"Zoé"},"keywords":{"a":true},"emails":{"k":{"address":"z@example.org","contexts":{"work":true}}}}`)},
		{ID: "g1", Dataset: formats.Contacts, Kind: formats.KindCard, Body: json.RawMessage(`{"@type":"Card","version":"1.0","uid":"urn:g","kind":"group","name":{"full":"Amis"}}`)},
		{ID: "e1", Dataset: formats.Calendar, Kind: formats.KindEvent, Body: json.RawMessage(`{"@type":"Event","uid":"e1","updated":"2024-01-01T00:00:00Z","title":"T","start":"2024-03-12T09:00:00","timeZone":"Europe/Paris","recurrenceRules":[{"frequency":"daily"}]}`)},
		{ID: "a1", Dataset: formats.Bank, Kind: formats.KindAccount, Body: json.RawMessage(`{"iban":"FR76","currency":"CHF","name":"C","bic":"X","balances":[{"balanceAmount":{"currency":"CHF","amount":"1.00"},"balanceType":"closingBooked"}]}`)},
		{ID: "o1", Dataset: formats.Bank, Kind: formats.KindOperation, Links: []formats.Link{{Rel: "account", Dataset: formats.Bank, ID: "a1"}},
			Body: json.RawMessage(`{"bookingDate":"2024-03-10","transactionAmount":{"currency":"CHF","amount":"-0.10"},"remittanceInformationUnstructured":"x"}`)},
		{ID: "b1", Dataset: formats.Bills, Kind: formats.KindBill, Body: json.RawMessage(`{"issuer":"I","date":"2024-03-10","amount":{"currency":"EUR","amount":"9007199254740993.01"},"category":"health_costs"}`)},
		{ID: "r1", Dataset: formats.Energy, Kind: formats.KindReading, Body: json.RawMessage(`{"provider":"grdf","commodity":"gas","unit":"kWh","start":"2024-03-01T00:00:00","interval":"P1D","value":"007.250"}`)},
		{ID: "t1", Dataset: formats.Calendar, Kind: formats.KindTask, Body: json.RawMessage(`{"@type":"Task","uid":"t1","title":"T"}`)},
		{ID: "n1", Dataset: formats.Notes, Kind: formats.KindNote, Path: "tree/N/note.md", Blob: &formats.Blob{Type: "text/markdown"}, Body: json.RawMessage(`{"title":"N","markdown":"text","frontMatter":{"k":1}}`)},
		{ID: "m1", Dataset: formats.Other, Kind: formats.KindDocument, Blob: &formats.Blob{Type: "message/rfc822"}, Body: json.RawMessage(`{"subject":"S"}`)},
		{ID: "f1", Dataset: formats.Files, Kind: formats.KindFile, Path: "tree/N/f.bin", Blob: &formats.Blob{}, Body: json.RawMessage(`{"nameBytes":"/w==","checksums":{"sha1":"aa"}}`),
			Links: []formats.Link{{Rel: "album", Dataset: formats.Photos, ID: "p1"}}},
		{ID: "p1", Dataset: formats.Photos, Kind: formats.KindAlbum, Body: json.RawMessage(`{"name":"A","auto":true}`)},
		{ID: "lost", Dataset: formats.Files, Kind: formats.KindFile, Path: "tree/N/lost.bin", Body: json.RawMessage(`{"mediaType":"x/y"}`)},
		{ID: "odd", Dataset: formats.Bills, Kind: formats.KindBill, Body: json.RawMessage(`{"issuer":"I","date":"0000-99-99","amount":{"currency":"XXX","amount":"-0.0000000000000000001"},"category":"\u0000","extra":1e400}`)},
		{ID: "s1", Dataset: formats.Settings, Kind: formats.KindSetting, Body: json.RawMessage(`{"locale":"fr"}`)},
	}
	dir := t.TempDir()
	l := begin(t, create(t, dir, Options{}))
	held := map[string]formats.Record{}
	for _, r := range records {
		out := put(t, l, r, "bytes of "+r.ID)
		if out.Result != operators.Stored {
			t.Errorf("%s is %s: %+v", r.ID, out.Result, out.Omission)
		}
		held[string(out.Record.Dataset)+"/"+out.Record.ID] = r
	}
	if err := l.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, instance := readAll(t, archiveIn(t, dir)...)
	for id, want := range held {
		r := got[id]
		if r.Kind != want.Kind || r.Path != want.Path || (r.Blob == nil) != (want.Blob == nil) || len(r.Links) != len(want.Links) {
			t.Errorf("%s (%s) came back as %+v", want.ID, id, r)
		}
		if !carries(r.Body, want.Body) {
			t.Errorf("%s says\n%s\nwant\n%s", want.ID, r.Body, want.Body)
		}
		for _, link := range r.Links {
			if _, ok := got[string(link.Dataset)+"/"+link.ID]; !ok {
				t.Errorf("%s links to %+v, which is not there", want.ID, link)
			}
		}
		if id := regexp.MustCompile(`[0-9a-f]{32}$`); !id.MatchString(r.ID) {
			t.Errorf("%s has the id %q", want.ID, r.ID)
		}
		if want.ID == "c1" && (r.Native == nil || string(r.Native.Document) != string(native.Document)) {
			t.Errorf("the native document of %s is %+v", want.ID, r.Native)
		}
	}
	if len(instance.Omissions) > 0 {
		t.Errorf("what was written has faults: %+v", instance.Omissions)
	}
}

// carries reports whether got says all that want says; a target may add members to what files are.
func carries(got, want json.RawMessage) bool {
	a, b := objectOf(compact(got)), objectOf(compact(want))
	for _, m := range b.members {
		if !sameJSON(a.get(m.name), m.raw) {
			return false
		}
	}
	return len(b.members) > 0
}

// TestRefusedByCozy writes what a Cozy would choke on.
func TestRefusedByCozy(t *testing.T) {
	dir := t.TempDir()
	l := begin(t, create(t, dir, Options{}))
	doc := func(id, text string) operators.Outcome {
		body := objectOf(json.RawMessage(text))
		body.remove("_id")
		return put(t, l, formats.Record{ID: "org.example/" + id, Dataset: formats.Other, Kind: formats.KindDocument,
			Body: body.bytes(), Native: &formats.Native{Type: "org.example", Document: json.RawMessage(text)}}, "")
	}
	for id, want := range map[string]string{"proto": "name", "ab": "", "number": "number", "fine": ""} {
		text := map[string]string{"proto": `{"_id":"proto","__proto__":{"a":1}}`, "ab": `{"_id":"ab"}`, "number": `{"_id":"number","n":1e400}`, "fine": `{"_id":"fine","n":0.10,"m":1e21}`}[id]
		out := doc(id, text)
		if got := out.Omission; got == nil && want != "" || got != nil && want != "" && got.Code != want {
			t.Errorf("%s: %+v, want %q", id, got, want)
		}
		if id == "ab" && !strings.HasSuffix(out.Record.ID, madeID(formats.Other, "org.example/ab")) {
			t.Errorf("a short id became %q", out.Record.ID)
		}
	}
	for name, want := range map[string]string{".cozy_trash": "_cozy_trash", "a\nb": "a_b", strings.Repeat("é", 130) + ".txt": strings.Repeat("é", 120) + "~"} {
		out := put(t, l, formats.Record{ID: hexOf(len(name)), Dataset: formats.Files, Kind: formats.KindFile, Path: "tree/" + name, Blob: &formats.Blob{}, Body: json.RawMessage(`{}`)}, name)
		_, got := splitLast(out.Record.Path)
		if out.Result != operators.Renamed || !strings.HasPrefix(got, want) || len(got) > maxName || out.Omission == nil || out.Omission.Lost {
			t.Errorf("%.20q became %q, %s", name, got, out.Result)
		}
	}
	if err := l.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, _ := readAll(t, archiveIn(t, dir)...)
	if text := string(got["other/org.example/proto"].Native.Document); !strings.HasPrefix(text, `{"_id":"proto","passerelle__proto__":{"a":1}`) {
		t.Errorf("the document is %s", text)
	}
	if body := string(got["other/org.example/proto"].Body); body != `{"__proto__":{"a":1}}` {
		t.Errorf("the body is %s", body)
	}
}

// TestVersionOfTrash leaves out the versions of a file in the trash, in whatever order they come.
func TestVersionOfTrash(t *testing.T) {
	for _, versionFirst := range []bool{false, true} {
		dir := t.TempDir()
		l := begin(t, create(t, dir, Options{}))
		records := []formats.Record{
			{ID: hexOf(1), Dataset: formats.Files, Kind: formats.KindFile, Path: "trash/x", Blob: &formats.Blob{}, Body: json.RawMessage(`{}`)},
			{ID: "v", Dataset: formats.Files, Kind: formats.KindVersion, Path: "versions/x/1", Blob: &formats.Blob{}, Body: json.RawMessage(`{}`),
				Links: []formats.Link{{Rel: "file", Dataset: formats.Files, ID: hexOf(1)}}},
		}
		if versionFirst {
			slices.Reverse(records)
		}
		for _, r := range records {
			put(t, l, r, r.ID)
		}
		if err := l.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, _ := readAll(t, archiveIn(t, dir)...); len(got) != 0 {
			t.Errorf("version first %v: %v", versionFirst, got)
		}
	}
}

// TestLeftovers kills a load at each step of publishing, as far as files show it: the next one starts afresh.
func TestLeftovers(t *testing.T) {
	file := formats.Record{ID: "f", Dataset: formats.Files, Kind: formats.KindFile, Path: "tree/f", Blob: &formats.Blob{}, Body: json.RawMessage(`{}`)}
	for _, journal := range []bool{false, true} {
		dir := t.TempDir()
		target := create(t, dir, Options{})
		put(t, begin(t, target), file, "half")
		if _, err := Create(dir, Options{}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a second target beside one that is being written: %v", err)
		}
		if journal {
			for path, text := range map[string]string{target.partPath(0): "zip", filepath.Join(target.staging(), journalName): "cozy-part000.zip\n../x\ncozy-part001.zip\n"} {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		killed := target.load
		if err := errors.Join(killed.spool.Close(), killed.lock.Close()); err != nil {
			t.Fatal(err)
		}
		again := create(t, dir, Options{})
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("a killed run (journal %v) leaves %v", journal, left)
		}
		l := begin(t, again)
		put(t, l, file, "whole")
		if err := l.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if paths := archiveIn(t, dir); len(paths) != 2 {
			t.Errorf("the folder holds %v", paths)
		}
		if _, err := again.Load(t.Context(), operators.Origin{}); !errors.Is(err, operators.ErrUnsupported) {
			t.Errorf("a second load: %v", err)
		}
		if _, err := Create(dir, Options{}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a target where an archive is: %v", err)
		}
	}
}

// TestAbort leaves nothing, also when the disk or the caller gives up in Finish.
func TestAbort(t *testing.T) {
	dir := t.TempDir()
	target := create(t, dir, Options{})
	l := begin(t, target)
	put(t, l, formats.Record{ID: "f", Dataset: formats.Files, Kind: formats.KindFile, Path: "tree/f", Blob: &formats.Blob{}, Body: json.RawMessage(`{}`)}, "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Finish(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Finish, cancelled: %v", err)
	}
	for hash := range target.load.blobs { // bytes that vanish between PutBlob and Finish
		if err := os.Remove(target.load.blobPath(hash)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Finish(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Finish without the bytes: %v", err)
	}
	if err := errors.Join(l.Abort(), l.Abort(), target.Close()); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("Abort leaves %v", left)
	}
	if _, err := l.Held(t.Context()); err == nil {
		t.Error("Held counts what was given up")
	}
}

func TestCreateRefuses(t *testing.T) {
	for _, name := range []string{"../x", "a/b", ".hidden", "a*", "a\nb", "..", "."} {
		if _, err := Create(t.TempDir(), Options{Name: name}); !errors.Is(err, formats.ErrInvalid) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if _, err := Create(filepath.Join("target_test.go", "x"), Options{}); err == nil {
		t.Error("a folder inside a file was made")
	}
}
